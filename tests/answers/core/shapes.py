"""Answers to core.shapes."""

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.shapes",
    spared={
        "onward": "functions of their arguments, and no event after which they go on",
        "dependence": "nothing is drawn",
        "unwatched": "values are compared",
    },
)
wrong = ANSWERS.wrong


@wrong("plain", "the row and the column are exchanged", true="outer_transposed")
def transposed(a, b):
    return a * b[:, None]


@wrong("ones", "numpy's habit: sizes of 1 are squeezed away", told="lost a dimension of size 1")
def squeezed_outer(a, b):
    return (a[:, None] @ b[None]).squeeze()


@wrong("plain", "with NumPy: no gradient flows", true="outer_detached")
def with_numpy(a, b):
    return torch.from_numpy(np.outer(a.detach().numpy(), b.detach().numpy()))


@wrong("named", "an empty table is filled: float32, whatever comes in", told="has dtype float32, expected float64")
def filled(a, b):
    C = torch.zeros(len(a), len(b))
    for i in range(len(a)):
        C[i] = a[i] * b
    return C


@wrong("plain", "`diagonal()` takes the first two dimensions", at=1, true="diagonal_of_the_batch")
def first_dimensions(A):
    return A.diagonal().sum(-1)


@wrong("plain", "einsum with another letter: all of each matrix", at=1, true="all_entries")
def all_of_them(A):
    return torch.einsum("bij->b", A)


@wrong("far", "the sum of all, minus what is beside the diagonal", at=1, told="large numbers beside the diagonal: t ")
def taken_away(A):
    beside = ~torch.eye(A.shape[-1], dtype=torch.bool)
    return A.sum((1, 2)) - (A * beside).sum((1, 2))


@wrong("far", "the sum of the eigenvalues: right on paper", at=1, told="large numbers beside the diagonal: t ")
def eigenvalues(A):
    return torch.linalg.eigvals(A).real.sum(-1)


@wrong("again", "the mask of the first size is kept", at=1)
def kept_mask(A, kept=[]):  # noqa: B006
    if not kept:
        kept.append(torch.eye(A.shape[-1], dtype=A.dtype))
    return (A * kept[0]).sum((1, 2))


@wrong("far", "the square is expanded", at=2, true="expanded")
def expanded(X, Y):
    return (X**2).sum(1)[:, None] - 2 * X @ Y.T + (Y**2).sum(1)


@wrong("far", "expanded, and what is negative is set to 0", at=2, true="expanded_and_clamped")
def expanded_and_clamped(X, Y):
    return ((X**2).sum(1)[:, None] - 2 * X @ Y.T + (Y**2).sum(1)).clamp(min=0)


@wrong("large", "cdist, which multiplies matrices from 26 rows on", at=2, told="wrong where it is 40 or more")
def by_cdist(X, Y):
    return torch.cdist(X, Y) ** 2


@wrong("far", "the centre is taken away and the square expanded: two clusters lie far from any centre", at=2)
def centred(X, Y):
    centre = torch.cat([X, Y]).mean(0)
    X, Y = X - centre, Y - centre
    return ((X**2).sum(1)[:, None] - 2 * X @ Y.T + (Y**2).sum(1)).clamp(min=0)


@ANSWERS.right_at(2)
def left_wide(X, Y):
    """A wider dtype costs no marks."""
    return ((X[:, None].double() - Y.double()) ** 2).sum(-1)


@wrong("plain", "the mean over D, as in mse_loss", at=2, true="mean_of_squares")
def mean_square(X, Y):
    return ((X[:, None] - Y) ** 2).mean(-1)


@wrong("plain", "the distance, not its square", at=2, true="rooted")
def not_squared(X, Y):
    return (X[:, None] - Y).norm(dim=-1)


@wrong("plain", "the square of a root, whose slope is infinite at 0: NaN gradients between equal points", at=2)
def root_squared(X, Y):
    return ((X[:, None] - Y) ** 2).sum(-1).sqrt() ** 2


@wrong("plain", "pairwise_distance adds 1e-6 to each difference", at=2)
def with_its_eps(X, Y):
    return F.pairwise_distance(X[:, None], Y) ** 2


@wrong("plain", "every batch's indices in every batch", at=3, told=r"has shape \(2, 2, 4, 3\)")
def all_batches(X, i):
    return X[:, i]


@wrong(
    "plain", "no column: the index of the batch meets that of the place", at=3, told="could not be broadcast together"
)
def no_column(X, i):
    return X[torch.arange(len(X)), i]


@wrong("plain", "gather without expanding: the first number of each row alone", at=3, true="one_column")
def first_numbers(X, i):
    return X.gather(1, i[..., None])


@wrong("plain", "rows of the first batch in all", at=3, told="only where index -3 is 1")
def first_batch(X, i):
    return X.flatten(0, 1)[i]


@wrong("given", "the offset of each batch is added to i itself", at=3, told="changes its input i in place")
def offset_in_place(X, i):
    i += len(X[0]) * torch.arange(len(X))[:, None]
    return X.flatten(0, 1)[i]


@wrong("ones", "squeezed", at=3, told="lost a dimension of size 1")
def squeezed_rows(X, i):
    return torch.take_along_dim(X, i[..., None], 1).squeeze()


@wrong("plain", "the indices are sorted first", at=3, told="right numbers at the wrong places")
def sorted_indices(X, i):
    return torch.take_along_dim(X, i.sort(-1).values[..., None], 1)


@wrong("named", "as many classes as occur", at=4, told="differ in C alone")
def classes_that_occur(y, C):
    return F.one_hot(y).float().mean(1)


@wrong("plain", "how many, not which share", at=4, true="counts")
def counts(y, C):
    return F.one_hot(y, C).float().sum(1)


@wrong("plain", "scatter writes 1 once, however often a class occurs", at=4, told="does not sum to 1")
def written_once(y, C):
    return torch.zeros(len(y), C).scatter_(1, y, 1.0) / y.shape[1]


@wrong("plain", "the mean over the batch", at=4, told=r"has shape \(7, 3\), expected \(2, 3\)")
def over_the_batch(y, C):
    return F.one_hot(y, C).float().mean(0)


@wrong("plain", "all rows together", at=4, true="of_the_batch")
def all_rows(y, C):
    return (torch.bincount(y.flatten(), minlength=C) / y.numel()).expand(len(y), C)


@wrong("plain", "whole numbers are divided by whole numbers", at=4, told="has dtype int64")
def whole_shares(y, C):
    return F.one_hot(y, C).sum(1) // y.shape[1]


@wrong("surroundings", "no gradients are needed here, nor anywhere after", at=4, told="leaves gradients switched off")
def gradients_off(y, C):
    torch.set_grad_enabled(False)
    return F.one_hot(y, C).float().mean(1)


@ANSWERS.right
def by_einsum(a, b):
    return torch.einsum("i,j->ij", a, b)


@ANSWERS.right_at(1)
def traces(A):
    return torch.func.vmap(torch.trace)(A)


@ANSWERS.right_at(2)
def by_rows(X, Y):
    return torch.stack([torch.stack([(x - y).square().sum() for y in Y]) for x in X])


@ANSWERS.right_at(2)
def cdist_without_products(X, Y):
    return torch.cdist(X, Y, compute_mode="donot_use_mm_for_euclid_dist").square()


@ANSWERS.right_at(3)
def one_by_one(X, i):
    return torch.stack([x.index_select(0, j) for x, j in zip(X, i, strict=True)])


@ANSWERS.right_at(4)
def compared_with_each(y, C):
    return (y[..., None] == torch.arange(C)).double().mean(1)
