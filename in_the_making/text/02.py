# %% [markdown]
# ## 2. Shapes
# Most errors in this field are errors of shape, and the expensive ones raise nothing. Two rules are behind all of them.
#
# [[term: broadcasting | sizes are compared from the right; a size of 1, or a missing one, is repeated to fit the other]] repeats what is
# missing. A column (N, 1) and a row (N) give a table (N, N), whether you want one or not. And a tensor is a list of numbers with
# [[term: strides | how many numbers further the next entry lies, for each dimension]]s. A transposed tensor is the same list, read with other strides.

# %% tags=["nbval-check-output"]
a = torch.arange(6.0).view(2, 3)
for name, view in (("a", a), ("a.T", a.T), ("a[:, ::2]", a[:, ::2]), ("a[:1].expand(4, 3)", a[:1].expand(4, 3))):
    print(f"{name:19} shape {tuple(view.shape)}, strides {view.stride()}, contiguous {view.is_contiguous()}")

# %% [markdown]
# Nothing was copied for these four lines. The last one has 12 entries and 3 numbers, since a stride of 0 stays where it is. So it is
# free to repeat, and dangerous to write into.
#
# Now a loss. A network predicts one number for each of a thousand images, as a column (1000, 1). The targets are a row (1000). They are the digits
# 0 to 9, each equally often. And the predictions are *perfect*.

# %%
predict("core.perfect")

# %%
targets = held_out.labels.float()                                 # (1000)
predictions = targets[:, None]                                    # (1000, 1), perfect
loss = ((predictions - targets) ** 2).mean()
print(f"loss {loss.item():.2f}, the mean over a table of {tuple((predictions - targets).shape)}")
came_out("core.perfect", round(loss.item(), 2))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Each prediction met each target. The mean square of the difference of two independent draws is twice the variance of the digits, $2 \cdot 8.25$.
# A network trained on it learns to predict the mean for every image, and its curve looks like a hard problem. torch's own
# `mse_loss` warns about it, an expression of yours does not.
# </details>
#
# `einsum` avoids the guessing. Each dimension gets a letter. What has the same letter is multiplied together, and a letter
# that is missing behind the arrow is summed.

# %% tags=["nbval-check-output"]
g = torch.Generator().manual_seed(seed)
Q, K = torch.randn(2, 5, 8, generator=g), torch.randn(2, 7, 8, generator=g)
S = torch.einsum("bqd,bkd->bqk", Q, K)                            # (B, Q, K)
print(tuple(S.shape), torch.allclose(S, Q @ K.mT, atol=1e-5))

# %% [markdown]
# ### Exercise [[core.shapes]]: Five shapes, five expressions
# core · importance 5 of 5 · 25 minutes · 3 points
#
# Write five functions. Each of them needs one expression and no loop. Inputs are finite, float32 or float64, with any strides, and
# results are as precise as they are. Gradients flow through all but the last.
#
# - `outer(a, b)` multiplies each of $N$ numbers with each of $M$. $C_{ij} = a_i b_j$.
# - `batched_trace(A)` adds up the diagonal of each of $B$ matrices (N, N), and nothing else of them. $t_b = \sum_i A_{bii}$.
# - `pairwise_sq(X, Y)` is the squared distance of each row of X (N, D) from each row of Y (M, D). Points can lie far from 0 and near
#   each other. Distances are never negative, and between equal points 0.
# - `gather_rows(X, i)` takes rows of X (B, T, D), for each batch its own. $R_{bk} = X_{b,\,i_{bk}}$.
# - `one_hot_mean(y, C)` tells for each row of whole numbers y (B, T), all below $C$, which share of them each class has, as float numbers (B, C).
#
# <details><summary>Hint 1</summary>
#
# Write the shapes of the inputs below each other, aligned at the right. Where must a size of 1 stand, so that the result has the shape you want?
# </details>
# <details><summary>Hint 2</summary>
#
# `a[:, None]` is a column. `diagonal(dim1=1, dim2=2)` is a view. An index of shape (B, 1) meets one of shape (B, K). And expanding
# $(x - y)^2$ into $x^2 - 2xy + y^2$ subtracts large numbers that are nearly equal.
# </details>
# <details><summary>Hint 3</summary>
#
# `X[:, None] - Y` is (N, M, D). `X[torch.arange(B)[:, None], i]` takes rows, on the device of X. `F.one_hot(y, C)` is (B, T, C), of
# whole numbers, which have no mean.
# </details>

# %% exercise="core.shapes"
def outer(a: Float[Tensor, "N"], b: Float[Tensor, "M"]) -> Float[Tensor, "N M"]:
    """a_i b_j."""
    ### BEGIN SOLUTION
    return a[:, None] * b
    ### END SOLUTION


def batched_trace(A: Float[Tensor, "B N N"]) -> Float[Tensor, "B"]:
    """The sum of each diagonal."""
    ### BEGIN SOLUTION
    return A.diagonal(dim1=1, dim2=2).sum(-1)
    ### END SOLUTION


def pairwise_sq(X: Float[Tensor, "N D"], Y: Float[Tensor, "M D"]) -> Float[Tensor, "N M"]:
    """Squared distances."""
    ### BEGIN SOLUTION
    return ((X[:, None] - Y) ** 2).sum(-1)
    ### END SOLUTION


def gather_rows(X: Float[Tensor, "B T D"], i: Int[Tensor, "B K"]) -> Float[Tensor, "B K D"]:
    """Row i[b, k] of X[b]."""
    ### BEGIN SOLUTION
    return X[torch.arange(len(X), device=X.device)[:, None], i]
    ### END SOLUTION


def one_hot_mean(y: Int[Tensor, "B T"], C: int) -> Float[Tensor, "B C"]:
    """The share of each class in each row."""
    ### BEGIN SOLUTION
    return F.one_hot(y, C).float().mean(1)
    ### END SOLUTION

# %% check="core.shapes"
check("core.shapes", outer, batched_trace, pairwise_sq, gather_rows, one_hot_mean)

# %% [markdown]
# Distances make a classifier that learns nothing at all. It gives a new image the label of the known image that lies nearest. We need to
# know how good that is, before we believe in learning.

# %%
predict("core.neighbour")

# %%
_, _, squared, _, _ = use("core.shapes", outer, batched_trace, pairwise_sq, gather_rows, one_hot_mean)
asked, known = (40, 200) if profile == "smoke" else (300, 4000)
nearest = torch.cat([squared(X, training.images[:known]).argmin(1) for X in held_out.images[:asked].split(5)])
neighbour = (training.labels[nearest] == held_out.labels[:asked]).float().mean().item()
print(f"nearest of {known} images: {neighbour:.1%} of {asked} held-out digits right")
came_out("core.neighbour", round(100 * neighbour))

# %% [markdown]
# <details><summary>What happened</summary>
#
# Comparing with everything that was seen is hard to beat on digits. It needs all images at hand for every answer, though, here three
# million numbers. A network keeps fifty thousand. We come back to this number in section 11.
# </details>

# %%
quiz("core.strides")
