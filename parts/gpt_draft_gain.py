# %% [markdown]
# ### Exercise [[gpt.draft_gain]]: Work out this number, what a draft brings
# core · importance 3 of 5 · 5 minutes · 1 point
#
# A small model drafts 4 tokens, and a large one checks them in a single pass. Each drafted token is accepted with
# probability 0.8, provided that all before it were, whatever they are. How many tokens does one pass of the large model
# bring on average? Count the one that is drawn after a rejection, and the free one after four acceptances. (A token
# costs one pass without a draft, so this is how many passes are saved, as long as the small model costs nothing.)
# Return the number with all its digits, or a sum or product of numbers.
#
# <details><summary>Hint 1</summary>
#
# How many tokens come at least? With what probability comes a second one, and a third one?
# </details>
# <details><summary>Hint 2</summary>
#
# The mean of a count is the sum over $n$ of the probability that there are at least $n$. At least three tokens come
# when the first two drafts are accepted.
# </details>
# <details><summary>Hint 3</summary>
#
# One token always comes, a second one with probability 0.8, a third one with probability $0.8^2$. There are five terms,
# Leviathan et al. 2023, equation 1.
# </details>

# %% exercise="gpt.draft_gain"
def tokens_per_pass() -> float:
    """Tokens for each pass of the large model: return a number, or a sum or product of numbers."""
    ### BEGIN SOLUTION
    return (1 - 0.8**5) / (1 - 0.8)
    ### END SOLUTION

# %% check="gpt.draft_gain"
check("gpt.draft_gain", tokens_per_pass)
