"""Answers to bert.pooling."""

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.pooling",
    spared={
        "onward": "there is no event: each call stands alone",
        "dependence": "nothing is drawn",
        "unwatched": "nothing is watched but the results and their gradients",
    },
)


def counts(real):
    return real.sum(1, keepdim=True).clamp(min=1)


def mean(X, real):
    return (X * real[..., None]).sum(1) / counts(real)


@ANSWERS.wrong("plain", "the last token", true="cls_last_place")
def last(X, real):
    return X[:, -1]


@ANSWERS.wrong("plain", "the first sentence's vectors", true="cls_first_row")
def first_sentence(X, real):
    return X[0]


@ANSWERS.wrong(
    "plain", "one dimension too many: (B, 1, D)", true="cls_kept_dimension", told=r"a dimension of size 1 too many"
)
def sliced(X, real):
    return X[:, :1]


@ANSWERS.wrong("ones", "squeeze() loses a batch of one, a width of one", told=r"lost a dimension of size 1")
def sliced_and_squeezed(X, real):
    return X[:, :1].squeeze()


@ANSWERS.wrong("plain", "the first number of every token", told=r"has shape \(3, 4\), expected \(3, 3\)")
def first_number(X, real):
    return X[:, :, 0]


@ANSWERS.wrong("plain", "[CLS] goes through a tanh, as in BERT's pooler", true="cls_through_tanh")
def with_tanh(X, real):
    return X[:, 0].tanh()


@ANSWERS.wrong("given", "filler in X is set to zero on the way", told=r"changes its input X in place")
def zeroes_filler(X, real):
    X.data[~real] = 0
    return X[:, 0]


@ANSWERS.wrong("plain", "the gradient is cut off", told=r"no gradient reaches X")
def detached(X, real):
    return X[:, 0].detach().requires_grad_()


@ANSWERS.wrong("plain", "the mean over filler too", true="mean_over_padding", at=1)
def over_all(X, real):
    return X.mean(1)


@ANSWERS.wrong("plain", "filler is zero, but the divisor is T", true="mean_divided_by_T", at=1)
def divided_by_T(X, real):
    return (X * real[..., None]).mean(1)


@ANSWERS.wrong("plain", "the sum", true="mean_is_the_sum", at=1)
def summed(X, real):
    return (X * real[..., None]).sum(1)


@ANSWERS.wrong("named", "the divisor counts numbers that are not 0", true="mean_of_the_nonzero", at=1)
def counted_in_x(X, real):
    X = X * real[..., None]
    return X.sum(1) / (X != 0).sum(1).clamp(min=1)


@ANSWERS.wrong(
    "named", "the divisor counts tokens whose vector is not 0", told=r"zeros among the numbers: .* differs", at=1
)
def counted_by_vectors(X, real):
    X = X * real[..., None]
    return X.sum(1) / (X != 0).any(-1).sum(1, keepdim=True).clamp(min=1)


@ANSWERS.wrong("plain", "the mean over the batch's real tokens", true="mean_of_the_batch", at=1)
def over_the_batch(X, real):
    return X[real].mean(0).expand(len(X), -1)


@ANSWERS.wrong("plain", "0 / 0 for a row without tokens", true="mean_nan_without_tokens", at=1)
def without_clamp(X, real):
    return (X * real[..., None]).sum(1) / real.sum(1, keepdim=True)


@ANSWERS.wrong("named", "0 / 0 is replaced afterwards: the gradient stays NaN", true="mean_repaired_too_late", at=1)
def replaced_afterwards(X, real):
    return ((X * real[..., None]).sum(1) / real.sum(1, keepdim=True)).nan_to_num()


@ANSWERS.wrong("named", "1e-2 is added to the divisor", at=1)
def small_number_added(X, real):
    return (X * real[..., None]).sum(1) / (real.sum(1, keepdim=True) + 1e-2)


@ANSWERS.wrong("named", "filler is taken to stand on the right", true="mean_of_a_prefix", at=1)
def filler_on_the_right(X, real):
    n = real.sum(1).tolist()
    return torch.stack([x[: max(k, 1)].mean(0) * (k > 0) for x, k in zip(X, n, strict=True)])


@ANSWERS.wrong(
    "named", "from the first real token to the last one", told=r"numbers far larger on the padding: .*differs", at=1
)
def from_first_to_last(X, real):
    rows = []
    for x, r in zip(X, real, strict=True):
        where = r.nonzero().flatten()
        rows.append(x[where[0] : where[-1] + 1].mean(0) if len(where) else x.sum(0) * 0)
    return torch.stack(rows)


@ANSWERS.wrong("named", "the mean leaves out [CLS]", true="mean_without_cls", at=1)
def without_cls(X, real):
    return mean(X[:, 1:], real[:, 1:])


@ANSWERS.wrong("plain", "over D, not over T", told=r"has shape \(2, 5\), expected \(2, 4\)", at=1)
def over_width(X, real):
    return (X * real[..., None]).mean(-1)


@ANSWERS.wrong(
    "plain", "filler counts as -inf, and the largest number is taken", true="largest_in_place_of_the_mean", at=1
)
def largest(X, real):
    return X.masked_fill(~real[..., None], float("-inf")).max(1).values


@ANSWERS.wrong("ones", "squeeze() loses a batch of one", told=r"lost a dimension of size 1", at=1)
def squeezed(X, real):
    return mean(X, real).squeeze()


@ANSWERS.wrong(
    "large",
    "more than 255 tokens overflow (uint8)",
    told=r"a long sentence: ",
    at=1,
    advice=r"mean_pooling\(X, real\) is 6.818 times what|right where T is 6 or less, wrong where it is \d+ or more",
)
def small_counts(X, real):
    n = real.to(torch.uint8).sum(1, keepdim=True, dtype=torch.uint8).clamp(min=1)
    return (X * real[..., None]).sum(1) / n


@ANSWERS.wrong(
    "far",
    "filler is subtracted from the sum over all: large filler swallows the rest",
    told=r"numbers far larger on the padding: ",
    at=1,
)
def subtracted(X, real):
    return (X.sum(1) - (X * ~real[..., None]).sum(1)) / counts(real)


@ANSWERS.wrong("far", "weights by a softmax in which filler has the score -5", at=1)
def softmax_of_scores(X, real):
    A = torch.where(real, 0.0, -5.0).softmax(1).to(X.dtype)
    return (A[..., None] * X).sum(1)


KEPT_COUNTS: dict = {}


@ANSWERS.wrong(
    "again", "the counts of the first mask of a shape are kept", told=r"the same shape, other padding: .*differs", at=1
)
def kept_counts(X, real):
    n = KEPT_COUNTS.setdefault(tuple(real.shape), counts(real))
    return (X * real[..., None]).sum(1) / n


@ANSWERS.wrong("surroundings", "changes torch's default dtype", told=r"changes torch's default dtype", at=1)
def default_dtype(X, real):
    torch.set_default_dtype(torch.float64)
    return mean(X, real)


@ANSWERS.wrong("given", "X is zeroed in place", told=r"changes its input X in place", at=1)
def zeroed_in_place(X, real):
    if not X.requires_grad:
        X.mul_(real[..., None])
        return X.sum(1) / counts(real)
    return mean(X, real)


@ANSWERS.wrong(
    "plain", "where the count of real tokens is 1: behind a single token that is the padding too", told="shape"
)
def where_the_count_is_one(X, real):
    return X[real.cumsum(1) == 1]


@ANSWERS.wrong("plain", "NaN for a row without tokens, by nanmean", true="mean_nan_without_tokens", at=1)
def by_nanmean(X, real):
    return X.masked_fill(~real[..., None], torch.nan).nanmean(1)


@ANSWERS.wrong("plain", "divided by the root of the number, as some libraries can", true="divided_by_the_root", at=1)
def by_the_root(X, real):
    return (X * real[..., None]).sum(1) / counts(real).sqrt()


@ANSWERS.wrong(
    "plain",
    "computed in half precision",
    told="has dtype float16, expected float",
    at=1,
    advice="a step in a coarser dtype",
)
def in_half_precision(X, real):
    return mean(X.half(), real)


@ANSWERS.right
def selected(X, real):
    return X.select(1, 0)


@ANSWERS.right
def by_a_product(X, real):
    first = torch.zeros(X.shape[1], dtype=X.dtype, device=X.device)
    first[0] = 1
    return torch.einsum("btd,t->bd", X, first)


@ANSWERS.right_at(1)
def by_einsum(X, real):
    return torch.einsum("btd,bt->bd", X, real.to(X.dtype)) / counts(real)


@ANSWERS.right_at(1)
def row_by_row(X, real):
    return torch.stack([x[r].mean(0) if r.any() else x.sum(0) * 0 for x, r in zip(X, real, strict=True)])


@ANSWERS.right_at(1)
def by_weights(X, real):
    A = real / real.sum(1, keepdim=True).clamp_min(1)
    return (A.to(X.dtype)[:, None] @ X)[:, 0]


@ANSWERS.right_at(1)
def filled_with_zero(X, real):
    n = real.sum(1)
    n[n == 0] = 1
    return X.masked_fill(~real.unsqueeze(-1), 0.0).sum(dim=1).div(n.unsqueeze(-1))


@ANSWERS.right_at(1)
def times_a_factor(X, real):
    return (X * real[..., None].to(X.dtype)).mean(1) * (X.shape[1] / counts(real))
