"""Y_b = X_{b,0}, and Y_b = (1/n_b) sum over t with m_bt = 1 of X_bt, where n_b = sum_t m_bt; 0 where n_b = 0.

Devlin et al. 2019, figure 4 ([CLS] for classification); Reimers and Gurevych 2019, section 3 (the mean).
"""

import math

import torch

from grader.contract import Trusted


def cls_reference(X, real):
    return X[:, 0]


def mean_reference(X, real):
    B, T, D = X.shape
    rows = []
    for b in range(B):
        tokens = [X[b, t] for t in range(T) if real[b, t]]
        rows.append(sum(tokens) / len(tokens) if tokens else 0 * X[b, 0])
    return torch.stack(rows)


TRUSTED = Trusted((cls_reference, mean_reference), budget="two functions: five slips in one, thirteen in the other")
wrong_cls, wrong_mean = TRUSTED.one_by_one()


def masked_sum(X, real):
    return (X * real[:, :, None]).sum(1)


def count(real):
    return real.sum(1, keepdim=True)


@wrong_cls(
    "cls_pooling takes the last place, X[:, -1]: that is a padding token in most rows. [CLS] stands first in every row."
)
def cls_last_place(X, real):
    return X[:, -1]


@wrong_cls("cls_pooling takes the last real token of each row, which is [SEP]: [CLS] is the first.")
def cls_last_real_token(X, real):
    return X[torch.arange(len(X), device=X.device), real.sum(1) - 1]


@wrong_cls("cls_pooling takes the first row of the batch, X[0]: you want the first token of each row.")
def cls_first_row(X, real):
    return X[0]


@wrong_cls("cls_pooling keeps the dimension of the tokens, (B, 1, D): index it with 0, not with the slice :1.")
def cls_kept_dimension(X, real):
    return X[:, :1]


@wrong_cls(
    "cls_pooling sends the vector through tanh, as BERT's own pooler does behind a linear layer: here only the "
    "token is asked for."
)
def cls_through_tanh(X, real):
    return X[:, 0].tanh()


@wrong_mean(
    "mean_pooling averages over padding too. What stands there is arbitrary, so the same sentence gets another "
    "vector in another batch."
)
def mean_over_padding(X, real):
    return X.mean(1)


@wrong_mean(
    "mean_pooling sums the real tokens only, but divides by T, the length of the longest sentence: divide by the "
    "number of real tokens in the row."
)
def mean_divided_by_T(X, real):
    return masked_sum(X, real) / X.shape[1]


@wrong_mean("mean_pooling averages the padding and leaves out the real tokens: the mask is inverted.")
def mean_mask_inverted(X, real):
    return masked_sum(X, ~real) / count(~real).clamp(min=1)


@wrong_mean(
    "mean_pooling gives NaN for a row without a real token: 0 / 0. Divide by at least 1, for example with clamp(min=1)."
)
def mean_nan_without_tokens(X, real):
    return masked_sum(X, real) / count(real)


@wrong_mean(
    "The values of mean_pooling are right, but the gradient is NaN for a row without a real token: you divide by 0 and "
    "replace the result afterwards, and backward still goes through the division. Make the divisor safe before you "
    "divide."
)
def mean_repaired_too_late(X, real):
    n = count(real).to(X.dtype)
    return torch.where(n > 0, masked_sum(X, real) / n, torch.zeros((), dtype=X.dtype, device=X.device))


@wrong_mean(
    "mean_pooling divides by the number of real tokens in the whole batch: each row has a number of its own, "
    "real.sum(1, keepdim=True)."
)
def mean_counted_in_the_batch(X, real):
    return masked_sum(X, real) / real.sum().clamp(min=1)


@wrong_mean(
    "mean_pooling counts the real tokens rightly, but takes that many from the left. Padding may stand anywhere: "
    "multiply by the mask itself."
)
def mean_of_a_prefix(X, real):
    first = torch.arange(X.shape[1], device=X.device) < count(real)
    return mean_reference(X, first)


@wrong_mean("mean_pooling leaves out the first token: [CLS] is a real token like the others here.")
def mean_without_cls(X, real):
    return masked_sum(X[:, 1:], real[:, 1:]) / count(real[:, 1:]).clamp(min=1)


@wrong_mean(
    "mean_pooling divides by the number of entries that are not 0: a real token may hold zeros. Count in the mask, "
    "not in X."
)
def mean_of_the_nonzero(X, real):
    kept = X * real[:, :, None]
    return kept.sum(1) / (kept != 0).sum(1).clamp(min=1)


@wrong_mean("mean_pooling gives the sum of the real tokens: it is not divided by their number.")
def mean_is_the_sum(X, real):
    return masked_sum(X, real)


@wrong_mean("mean_pooling gives every row one mean, over all real tokens of the batch: each sentence has its own.")
def mean_of_the_batch(X, real):
    return X[real].mean(0).expand(len(X), -1)


@wrong_mean("mean_pooling takes the largest number of each column (max pooling): here the mean is asked for.")
def largest_in_place_of_the_mean(X, real):
    return X.masked_fill(~real[..., None], float("-inf")).amax(1)


@wrong_mean(
    "mean_pooling divides by the root of the number of tokens: that is another kind of pooling. The mean divides by "
    "the number itself."
)
def divided_by_the_root(X, real):
    return masked_sum(X, real) / count(real).clamp(min=1) ** 0.5


def cls_first_real_token(X, real):
    return X[torch.arange(len(X), device=X.device), real.int().argmax(1)]


def mean_by_weights(X, real):
    w = real.to(X.dtype) / count(real).clamp(min=1)
    return torch.einsum("bt,btd->bd", w, X)


def mean_filled(X, real):
    return X.masked_fill(~real.unsqueeze(-1), 0.0).sum(dim=1) / real.sum(dim=1).clamp(min=1e-9).unsqueeze(-1)


def mean_row_by_row(X, real):
    Y = X.new_zeros(X.shape[0], X.shape[2])
    for b, (x, r) in enumerate(zip(X, real, strict=True)):
        if r.any():
            Y[b] = x[r].mean(0)
    return Y


def mean_as_attention(X, real):
    uniform = torch.zeros(real.shape, dtype=X.dtype, device=X.device).masked_fill(~real, -math.inf)
    w = uniform.masked_fill(~real.any(1, keepdim=True), 0).softmax(1) * real
    return (w[:, None] @ X).squeeze(1)


TRUSTED.add_alternative("by_weights", cls_first_real_token, mean_by_weights)
TRUSTED.add_alternative("filled", lambda X, real: X.select(1, 0), mean_filled)
TRUSTED.add_alternative("row_by_row", lambda X, real: torch.stack([x[0] for x in X]), mean_row_by_row)
TRUSTED.add_alternative("as_attention", lambda X, real: X[:, :1].squeeze(1), mean_as_attention)
