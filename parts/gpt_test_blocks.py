# %%
def blocks(ids: Int[Tensor, "N"], T: int, B: int, generator: torch.Generator):
    """B blocks of T tokens, and for each of their tokens the one that follows it."""
    starts = torch.randint(len(ids) - T, (B, 1), generator=generator)  # 0, ..., N - T - 1
    at = starts + torch.arange(T)                                 # (B, T), places in the text
    return ids[at], ids[at + 1]                                   # x, y (B, T)


# %% [markdown]
# ### Exercise [[gpt.test_blocks]]: Write the test, blocks of text
# core · importance 3 of 5 · 20 minutes · 2 points
#
# A graduate course tests its students' `blocks` on the tokens 0, 1, 2, ..., 99 and asks for `y == x + 1`. There, a
# function passes that never looks for the next token and adds 1. Write a better test.
#
# `test_blocks(blocks)` is handed a function with the arguments of `blocks` above, and raises an AssertionError when it
# is wrong. It is right when all of this holds.
#
# - `x` and `y` have the shape (B, T). In each row, `x` is a piece of the text from some **start** $s$ on, and `y` is
#   the piece from $s + 1$ on.
# - Each row draws its own start. Every one of $0, \dots, N - T - 1$ can come, and no other. (How often each one comes
#   is not your affair.)
# - Chance comes from `generator` alone. Equal seeds give equal batches, and another call with the same generator goes
#   on to new starts. *How* a start is drawn from it is free.
#
# The check hands your test right functions, which it must let pass, and wrong ones of thirteen kinds, a new selection
# of them while grading. Call them as often as you like, with any text of more than $T$ tokens.
#
# <details><summary>Hint 1</summary>
#
# Choose your text. What must it not be, or `x + 1` passes? And what makes it easy to tell where a row begins?
# </details>
# <details><summary>Hint 2</summary>
#
# Take a dozen different tokens in no order. The first token of a row gives away its start $s$, and then you know the
# whole row of `x` and of `y`. In a batch of some hundred rows every start comes, so you can ask for all of them.
# </details>
# <details><summary>Hint 3</summary>
#
# `ids.unfold(0, T + 1, 1)` has a row for each start. Without its last column it is what `x` may hold, without its first
# one what `y` must hold. `(x[:, :1] == ids).int().argmax(1)` finds the starts. Then draw twice more. Another generator
# with the same seed must repeat the first batch, and the first generator must not.
# </details>

# %% exercise="gpt.test_blocks"
def test_blocks(blocks):
    """Pass for blocks of a text with their next tokens, fail with an AssertionError for anything else."""
    ### BEGIN SOLUTION
    T, B = 4, 200
    ids = torch.tensor([44, 7, 31, 90, 2, 65, 18, 53, 29, 76, 11])
    windows = ids.unfold(0, T + 1, 1)                             # (N - T, T + 1), one for each start
    generator = torch.Generator().manual_seed(1)
    x, y = blocks(ids, T, B, generator)
    assert x.shape == y.shape == (B, T)
    starts = (x[:, :1] == ids).int().argmax(1)                    # (B)
    assert set(starts.tolist()) == set(range(len(windows)))
    assert torch.equal(x, windows[starts, :-1])
    assert torch.equal(y, windows[starts, 1:])
    again, _ = blocks(ids, T, B, torch.Generator().manual_seed(1))
    later, _ = blocks(ids, T, B, generator)
    assert torch.equal(again, x)
    assert not torch.equal(later, x)
    ### END SOLUTION

# %% check="gpt.test_blocks"
check("gpt.test_blocks", test_blocks)
