"""C_ij = a_i b_j; t_b = sum_i A_bii; S_ij = sum_d (X_id - Y_jd)^2; R_bk = X_b,i(b,k); M_bc = 1/T #{t: y_bt = c}."""

import torch
from torch.nn import functional

from grader.contract import Trusted


def outer_reference(a, b):
    return torch.stack([x * b for x in a])


def trace_reference(A):
    return sum(A[:, i, i] for i in range(A.shape[1]))


def pairs_reference(X, Y):
    return torch.stack([((x - Y) ** 2).sum(1) for x in X])


def rows_reference(X, i):
    return torch.stack([x[places] for x, places in zip(X, i, strict=True)])


def mean_reference(y, C):
    return torch.stack([(y == c).float().mean(1) for c in range(C)], 1)


TRUSTED = Trusted(
    (outer_reference, trace_reference, pairs_reference, rows_reference, mean_reference),
    budget="five functions, each with two to five slips of its own",
)
wrong_outer, wrong_trace, wrong_pairs, wrong_rows, wrong_mean = TRUSTED.one_by_one()


@wrong_outer("outer is transposed: row i belongs to a[i], so a gets a new last dimension, `a[:, None] * b`.")
def outer_transposed(a, b):
    return b[:, None] * a


@wrong_outer("outer multiplies entry by entry, which is the diagonal: each a[i] meets each b[j], `a[:, None] * b`.")
def entry_by_entry(a, b):
    return a * b


@wrong_outer(
    "The values of outer are right, but the result is cut off from its graph (detach, .data): no gradient flows."
)
def outer_detached(a, b):
    return torch.outer(a, b).detach()


@wrong_trace("batched_trace sums all entries of a matrix: only those at [i, i] count, `A.diagonal(dim1=1, dim2=2)`.")
def all_entries(A):
    return A.sum((1, 2))


@wrong_trace("batched_trace sums over the batch as well: the result has one number for each matrix, (B).")
def one_for_all(A):
    return torch.einsum("bii->", A)


@wrong_trace(
    "`diagonal()` looks at the first two dimensions, batch and row: say which two are meant, `A.diagonal(dim1=1, "
    "dim2=2)`."
)
def diagonal_of_the_batch(A):
    return A.diagonal().sum(-1)


@wrong_trace("batched_trace sums the diagonal from top right to bottom left: the entries at [i, i] are meant.")
def other_diagonal(A):
    return A.flip(2).diagonal(dim1=1, dim2=2).sum(-1)


@wrong_pairs(
    "pairwise_sq takes x^2 - 2 x y + y^2 apart. Far from 0 these are large numbers whose difference is small, and its "
    "digits are lost (it can even be negative): subtract first, then square."
)
def expanded(X, Y):
    return (X**2).sum(1)[:, None] - 2 * X @ Y.T + (Y**2).sum(1)


@wrong_pairs(
    "pairwise_sq takes x^2 - 2 x y + y^2 apart, and hides what is lost with a clamp: it is never negative, and as "
    "wrong. "
    "Subtract first, then square."
)
def expanded_and_clamped(X, Y):
    return expanded(X, Y).clamp(min=0)


@wrong_pairs("pairwise_sq gives distances: their squares are asked for, without a root.")
def rooted(X, Y):
    return pairs_reference(X, Y).sqrt()


@wrong_pairs("pairwise_sq divides by D: a squared distance is the sum over the coordinates, not their mean.")
def mean_of_squares(X, Y):
    return pairs_reference(X, Y) / X.shape[1]


@wrong_pairs("pairwise_sq is transposed: row i belongs to X[i], so X gets the new dimension in the middle, (N, 1, D).")
def pairs_transposed(X, Y):
    return pairs_reference(Y, X)


@wrong_pairs("pairwise_sq adds up sizes of differences: square them.")
def city_blocks(X, Y):
    return (X[:, None] - Y).abs().sum(-1)


@wrong_rows("gather_rows takes the first text's places for all: row b has its own, i[b].")
def places_of_the_first(X, i):
    return X[:, i[0]]


@wrong_rows("gather_rows indexes the batch: `X[i]` looks along dimension 0, and the places are along T.")
def along_the_batch(X, i):
    return X[i % len(X), 0]


@wrong_rows(
    "gather_rows uses `gather` with one column of indices, and gets one number a row: `gather` takes as many as the "
    "index has, so it is expanded to (B, K, D)."
)
def one_column(X, i):
    return X.gather(1, i[..., None])


@wrong_mean("one_hot_mean counts: a share is asked for, so divide by T.")
def counts(y, C):
    return functional.one_hot(y, C).sum(1).float()


@wrong_mean(
    "one_hot_mean divides whole numbers by whole numbers, which gives 0 almost everywhere: convert to float first."
)
def whole_shares(y, C):
    return (functional.one_hot(y, C).sum(1) // y.shape[1]).float()


@wrong_mean("one_hot_mean divides by the number of classes: a row has T entries, and its shares sum to 1.")
def over_classes(y, C):
    return functional.one_hot(y, C).sum(1) / C


@wrong_mean("one_hot_mean gives each row the shares of the whole batch: each row has its own.")
def of_the_batch(y, C):
    return functional.one_hot(y, C).float().mean((0, 1)).expand(len(y), C)


TRUSTED.add_alternative(
    "einsums",
    lambda a, b: torch.einsum("n,m->nm", a, b),
    lambda A: torch.einsum("bii->b", A),
    lambda X, Y: (X[:, None] - Y[None]).square().sum(-1),
    lambda X, i: X[torch.arange(len(X), device=X.device)[:, None], i],
    lambda y, C: (y[..., None] == torch.arange(C, device=y.device)).float().mean(1),
)
TRUSTED.add_alternative(
    "products",
    lambda a, b: a[:, None] @ b[None],
    lambda A: (A * torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)).sum((-2, -1)),
    lambda X, Y: ((Y - X.unsqueeze(1)) ** 2) @ torch.ones(X.shape[1], dtype=X.dtype, device=X.device),
    lambda X, i: X.gather(1, i[..., None].expand(-1, -1, X.shape[-1])),
    lambda y, C: torch.zeros(len(y), C, device=y.device).scatter_add_(
        1, y, torch.full(y.shape, 1 / y.shape[1], device=y.device)
    ),
)
