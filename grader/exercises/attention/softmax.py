"""softmax(x)_i = exp(x_i) / sum_j exp(x_j)."""

import torch

from grader.contract import Trusted


def reference(x, dim):
    e = torch.exp(x - x.amax(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


TRUSTED = Trusted(reference)


@TRUSTED.mistake("`dim` is ignored: your softmax always runs over the last dimension.")
def dim_ignored(x, dim):
    return torch.softmax(x, -1)


@TRUSTED.mistake("Your softmax always runs over dimension 0, the batch, whatever `dim` says.")
def over_the_batch(x, dim):
    return torch.softmax(x, 0)


@TRUSTED.mistake(
    "exp(1000) is infinite, and infinity over infinity is NaN: subtract the largest entry along `dim` before exp. "
    "The result does not change, because numerator and denominator shrink by the same factor."
)
def no_max_subtraction(x, dim):
    e = torch.exp(x)
    return e / e.sum(dim, keepdim=True)


@TRUSTED.mistake(
    "You subtract one maximum for the whole tensor. A row far below it vanishes entirely and gives 0/0: "
    "take the maximum along `dim`, with keepdim=True."
)
def global_max(x, dim):
    e = torch.exp(x - x.max())
    return e / e.sum(dim, keepdim=True)


@TRUSTED.mistake(
    "You subtract the smallest entry in place of the largest: what lies more than 88 above it overflows in exp, and "
    "infinity over infinity is NaN. After the maximum is subtracted, no exponent is above 0."
)
def smallest_subtracted(x, dim):
    e = torch.exp(x - x.amin(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


@TRUSTED.mistake(
    "You subtract the mean in place of the maximum: an entry more than 88 above it still overflows in exp, and a mean "
    "over -inf is -inf. After the maximum is subtracted, no exponent is above 0."
)
def mean_subtracted(x, dim):
    e = torch.exp(x - x.mean(dim, keepdim=True))
    return e / e.sum(dim, keepdim=True)


@TRUSTED.mistake("Your entries sum to 1 over the whole tensor; each slice along `dim` must sum to 1 on its own.")
def normalised_over_everything(x, dim):
    e = torch.exp(x - x.amax(dim, keepdim=True))
    return e / e.sum()


@TRUSTED.mistake("Your result is exp(x - max) without the division: divide by its sum along `dim`.")
def not_normalised(x, dim):
    return torch.exp(x - x.amax(dim, keepdim=True))


@TRUSTED.mistake("This is the logarithm of the softmax: exponentiate it.")
def log_softmax(x, dim):
    return torch.log_softmax(x, dim)


@TRUSTED.mistake(
    "A constant added to the denominator (an epsilon) makes the sums smaller than 1. It is not needed: after the "
    "maximum is subtracted, one term is exp(0) = 1, so the sum can never be 0."
)
def epsilon_in_the_denominator(x, dim):
    e = torch.exp(x - x.amax(dim, keepdim=True))
    return e / (e.sum(dim, keepdim=True) + 1e-3)


@TRUSTED.alternative
def from_logsumexp(x, dim):
    return (x - torch.logsumexp(x, dim, keepdim=True)).exp()


@TRUSTED.alternative
def library(x, dim):
    return torch.nn.functional.softmax(x, dim=dim)


@TRUSTED.alternative
def moved_to_the_end(x, dim):
    rows = x.movedim(dim, -1)
    e = (rows - rows.max(-1, keepdim=True).values).exp()
    return (e / e.sum(-1, keepdim=True)).movedim(-1, dim)
