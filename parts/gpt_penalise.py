# %% [markdown]
# ### Exercise [[gpt.penalise]]: Mend this code, repeats and stops
# core · importance 3 of 5 · 15 minutes · 2 points
#
# Small models like to say things twice. Two functions that a colleague has left are to help, and neither does. Mend
# them, here as `penalise` and `stop_at`.
#
# - `penalise(logits, ids, penalty)` makes tokens that were seen less likely. This is the **repetition penalty** (Keskar
#   et al. 2019, section 4.1), in the form that is used today. In each row, the logits of all tokens that stand in this
#   row of `ids` are changed. A positive logit is divided by the penalty, and a negative one is multiplied. It happens
#   once for each token, however often it stands there. `ids` holds the prompt and what was written so far. The penalty
#   may be any number above 0. The logits that were handed in stay as they are.
# - `stop_at(ids, stops)` says how many ids of a text to keep. `stops` is a list of **stop sequences**, each a list of
#   one or more ids. The text ends before the first place at which a whole stop sequence begins, whichever it is.
#   Without any all ids are kept.
#
# <details><summary>Hint 1</summary>
#
# Look at what is printed. Which of the four logits should fall, and which one rises? Which stop begins first?
# </details>
# <details><summary>Hint 2</summary>
#
# `set(seen)` holds each token once. In `stop_at` the loop over places belongs outside, the one over stops inside.
# </details>
# <details><summary>Hint 3</summary>
#
# `row[token] *= penalty if row[token] < 0 else 1 / penalty` is right for both signs. `any(...)` over the stops, and the
# first place for which it is true is the answer.
# </details>

# %%
def given_penalise(logits, ids, penalty):
    """Logits with those of seen tokens made smaller, as a colleague left it."""
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist()):
        for token in seen:
            row[token] /= penalty
    return logits


def given_stop_at(ids, stops):
    """How many ids to keep, as a colleague left it."""
    for stop in stops:
        for start in range(len(ids)):
            if ids[start : start + len(stop)] == stop:
                return start + len(stop)
    return len(ids)


scores = torch.tensor([[4.0, -2.0, 1.0, -1.0]])
print("4, -2, 1, -1 after tokens 0, 1, 0:", given_penalise(scores, torch.tensor([[0, 1, 0]]), 2.0).tolist()[0])
print("of 5, 6, 7, 8 are kept:", given_stop_at([5, 6, 7, 8], [[7, 8], [6]]))

# %% exercise="gpt.penalise"
def penalise(logits: Float[Tensor, "B V"], ids: Int[Tensor, "B T"], penalty: float) -> Float[Tensor, "B V"]:
    """Logits with those of tokens in ids over the penalty where positive, times the penalty where negative."""
    ### BEGIN SOLUTION
    logits = logits.clone()
    for row, seen in zip(logits, ids.tolist()):
        for token in set(seen):
            row[token] *= penalty if row[token] < 0 else 1 / penalty
    return logits
    ### END SOLUTION


def stop_at(ids: list[int], stops: list[list[int]]) -> int:
    """How many ids stand before the first place at which a stop begins."""
    ### BEGIN SOLUTION
    for start in range(len(ids)):
        if any(ids[start : start + len(stop)] == stop for stop in stops):
            return start
    return len(ids)
    ### END SOLUTION

# %% check="gpt.penalise"
check("gpt.penalise", penalise, stop_at)
