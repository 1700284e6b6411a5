# %% [markdown]
# ### Exercise [[gpt.translate]]: Translate in batches
# core · importance 4 of 5 · 25 minutes · 2 points
#
# Every prompt is a text to translate, and the model goes on with the translation. It takes the most probable token each
# time, which is **greedy decoding**, until it says that it is done. A batch is far faster than one prompt after
# another, but its prompts are of unequal length. They are padded **on the left**, and all rows go on in one column.
#
# - `prompts` is a list of lists of ids, none of them empty. Shorter ones are filled up on the left with any id that the
#   model knows, such as `end`.
# - `step(ids, real)` is the model with a cache of its own. It gives logits (B, t, V) for the `ids` (B, t) that are new,
#   first the whole prompts, then one token for each row. `real` (B, n) is Bool and says of all $n$ places so far, the
#   new ones included, which of them hold a token of the row and not padding.
# - A row is finished when the model chooses `end`, or when it has written `T` tokens. A finished row stays in the batch
#   and waits, and what it is given meanwhile does not matter.
# - `step` is called no more when all rows are finished, and never for logits that nobody needs.
#
# Return what was written for each prompt, as a list of lists. Neither the prompt nor `end` is in it. A prompt may hold
# the token `end` itself, which finishes nothing.
#
# <details><summary>Hint 1</summary>
#
# Write it for a single prompt first. What has to be remembered of each row when there are several, and where in a row
# of logits does the answer for its next token stand?
# </details>
# <details><summary>Hint 2</summary>
#
# Make `ids` and `real` from lists, `[end] * (longest - len(p)) + p` and the same with False and True. Then a loop over
# `T` has `step(ids, real)[:, -1].argmax(-1)` as its next tokens, and a list of Bools knows who is finished.
# </details>
# <details><summary>Hint 3</summary>
#
# For the next call, `ids` is `token[:, None]` and `real` grows by a column of True, `F.pad(real, (0, 1), value=True)`.
# The check for being finished stands between choosing and the next call.
# </details>

# %% exercise="gpt.translate"
def translate(step, prompts: list[list[int]], end: int, T: int) -> list[list[int]]:
    """What a model writes behind each prompt, at most T tokens, all rows in one batch."""
    ### BEGIN SOLUTION
    longest = max(map(len, prompts))
    ids = torch.tensor([[end] * (longest - len(p)) + p for p in prompts])  # (B, t)
    real = torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in prompts])
    answers, finished = [[] for _ in prompts], [False] * len(prompts)
    for _ in range(T):
        token = step(ids, real)[:, -1].argmax(-1)                 # (B)
        for b, chosen in enumerate(token.tolist()):
            finished[b] = finished[b] or chosen == end
            if not finished[b]:
                answers[b].append(chosen)
        if all(finished):
            break
        ids, real = token[:, None], F.pad(real, (0, 1), value=True)
    return answers
    ### END SOLUTION

# %% check="gpt.translate"
check("gpt.translate", translate)
