# %% [markdown]
# ### Exercise [[gpt.beams]]: Beam search
# core · importance 3 of 5 · 30 minutes · 3 points
#
# [[formula: Score of a text in beam search | n new tokens y]]
#
# $$\text{score} = \frac{1}{n^{\text{length power}}} \sum_{i=1}^{n} \ln p(y_i \mid y_{<i})$$
#
# The likeliest token first may lead to an unlikely text. A **beam search** keeps several texts alive, its **beams**
# (Sutskever et al. 2014, section 3.2). It begins with one text, the prompt `start`. In each round all open texts are
# continued by each token of the vocabulary. Of all these continuations the best `width` are kept, by the sum of their
# log probabilities. Those whose new token is `end` have ended. They are put aside, are not continued, and take up no
# room in later rounds. The search ends after $T$ rounds, or when no text is open.
#
# All texts that have ended are results, and so are those that are still open at the end. Return the best `width` of
# them, or all where there are fewer, the best first. Each is a pair of its new tokens, with `end` where it has one and
# without the prompt, and its score. The score divides by a power of the length $n$, else short texts always win.
#
# `step(texts)` takes a list of one or more texts, each a list of ids with the prompt at its front. It gives the log
# probabilities (len(texts), V) of what comes next. It is not asked for a text that has ended or has $T$ new tokens. The
# prompt itself may hold `end`, which means nothing there.
#
# <details><summary>Hint 1</summary>
#
# Play it on paper with two tokens and a width of 2. How many open texts are there in the first round, and how many
# continuations have they?
# </details>
# <details><summary>Hint 2</summary>
#
# A list of pairs `(ids, total)` is enough for the open texts, and another one for those that have ended. Python's
# `sorted(pairs, key=lambda pair: pair[1], reverse=True)[:width]` finds the best.
# </details>
# <details><summary>Hint 3</summary>
#
# `rows = step([start + ids for ids, _ in opened]).tolist()`, then `(ids + [token], total + row[token])` for each beam
# and token. After the loop `ended + opened` get their scores, `total / len(ids) ** length_power`, and are sorted once
# more.
# </details>

# %% exercise="gpt.beams"
def beam_search(
    step, start: list[int], width: int, length_power: float, end: int, T: int
) -> list[tuple[list[int], float]]:
    """The best `width` texts behind start, each with its score: sum of log p / length ** length_power."""
    ### BEGIN SOLUTION
    opened, ended = [([], 0.0)], []
    for _ in range(T):
        if not opened:
            break
        rows = step([start + ids for ids, _ in opened]).tolist()  # log p, (beams, V)
        longer = [
            (ids + [token], total + log_p)
            for (ids, total), row in zip(opened, rows)
            for token, log_p in enumerate(row)
        ]
        best = sorted(longer, key=lambda pair: pair[1], reverse=True)[:width]
        ended += [(ids, total) for ids, total in best if ids[-1] == end]
        opened = [(ids, total) for ids, total in best if ids[-1] != end]
    scored = [(ids, total / len(ids) ** length_power) for ids, total in ended + opened]
    return sorted(scored, key=lambda pair: pair[1], reverse=True)[:width]
    ### END SOLUTION

# %% check="gpt.beams"
check("gpt.beams", beam_search)
