"""Answers to attention.softmax by a reader who did not write its mistakes."""

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.softmax",
    spared={
        "onward": "nothing happens after which it would go on",
        "dependence": "nothing is drawn",
        "unwatched": "nothing but values is watched: torch.softmax passes, and the text says so",
    },
)
FIRST_MAXIMUM = []


@ANSWERS.wrong("plain", "exp without the maximum", true="no_max_subtraction")
def no_maximum(x, dim):
    return x.exp() / x.exp().sum(dim, keepdim=True)


@ANSWERS.wrong("plain", "max along a dimension gives a pair, and .values is forgotten", told="take `.values`")
def max_without_values(x, dim):
    e = (x - x.max(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("plain", "no keepdim in the sum", told="with keepdim=True it stays")
def sum_without_keepdim(x, dim):
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim)


@ANSWERS.wrong("plain", "always along the last dimension", true="dim_ignored")
def always_last(x, dim):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


@ANSWERS.wrong("plain", "one sum for the whole tensor, and no maximum", told="does not sum to 1 along")
def one_sum(x, dim):
    return x.exp() / x.exp().sum()


@ANSWERS.wrong("plain", "the logarithm of the softmax", true="log_softmax")
def log_softmax(x, dim):
    m = x.amax(dim, keepdim=True)
    return x - m - (x - m).exp().sum(dim, keepdim=True).log()


@ANSWERS.wrong("plain", "no division at all", true="not_normalised")
def not_divided(x, dim):
    return (x - x.amax(dim, keepdim=True)).exp()


@ANSWERS.wrong(
    "far", "the minimum is subtracted: exp overflows where a slice spreads by more than 88", true="smallest_subtracted"
)
def minimum_subtracted(x, dim):
    e = (x - x.amin(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("far", "one maximum for the whole tensor", true="global_max")
def one_maximum(x, dim):
    e = (x - x.max()).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("far", "the mean is subtracted in place of the maximum")
def mean_subtracted(x, dim):
    finite = x.where(x > -torch.inf, torch.nan)
    e = (x - finite.nanmean(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "far",
    "the shifted scores are cut at -20: what is far below still gets a weight, and so does -inf",
    told="an entry of -inf gets the weight .* expected exactly 0",
)
def cut_below(x, dim):
    e = (x - x.amax(dim, keepdim=True)).clamp(min=-20).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "far",
    "-inf becomes -1000, which is a score like any other among scores near -1000",
    told=r"-inf gets the weight 1\.7e-01, expected exactly 0",
)
def inf_is_thousand(x, dim):
    x = x.clamp(-1000, 1000)
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "far",
    "1e-6 is added to every exponential, so that -inf gets a weight that is not 0",
    told="an entry of -inf gets the weight .* expected exactly 0",
)
def nearly_zero(x, dim):
    e = (x - x.amax(dim, keepdim=True)).exp() + 1e-6
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("ones", "squeeze at the end takes away every dimension of size 1", told="has lost a dimension of size 1")
def squeezed(x, dim):
    e = (x - x.amax(dim, keepdim=True)).exp()
    return (e / e.sum(dim, keepdim=True)).squeeze()


@ANSWERS.wrong("ones", "a slice of a single entry is left as it is", told="is the input x, unchanged")
def single_entries_kept(x, dim):
    if x.shape[dim] == 1:
        return x
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "large",
    "a slice is summed up to its 64th entry",
    told=r"\(2, 300\), dim=1: A differs",
    advice="A does not sum to 1 along `dim`",
)
def first_64(x, dim):
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.narrow(dim, 0, min(64, x.shape[dim])).sum(dim, keepdim=True)


@ANSWERS.wrong("named", "a negative dim is counted from the wrong end", told="does not sum to 1 along")
def negative_dim(x, dim):
    dim = abs(dim) - (dim < 0)
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("named", "takes x for a batch of rows: with one dimension the last one is missing", told=r"x is \(7,\)")
def batch_of_rows(x, dim):
    rows = x.transpose(dim, 1).flatten(1) if x.dim() == 2 else x.movedim(dim, 1)
    e = (rows - rows.amax(1, keepdim=True)).exp()
    a = e / e.sum(1, keepdim=True)
    return a.transpose(dim, 1) if x.dim() == 2 else a.movedim(1, dim)


@ANSWERS.wrong("given", "the maximum is subtracted from x in place", told="changes its input x in place")
def in_place(x, dim):
    x -= x.amax(dim, keepdim=True)
    return x.exp() / x.exp().sum(dim, keepdim=True)


@ANSWERS.wrong("again", "the first call's maximum serves for ever", true="no_max_subtraction")
def maximum_kept(x, dim):
    if not FIRST_MAXIMUM:
        FIRST_MAXIMUM.append(x.max())
    e = (x - FIRST_MAXIMUM[0]).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "surroundings", "works in float64 by making it the default for everybody", told="changes torch's default dtype"
)
def default_dtype(x, dim):
    torch.set_default_dtype(torch.float64)
    e = (x - x.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "plain",
    "the place of the maximum is subtracted in place of the maximum",
    advice="an entry of -inf gets the weight .*, expected exactly 0",
)
def place_of_maximum(x, dim):
    e = (x - x.max(dim, keepdim=True)[1]).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong("plain", "the maximum along the last dimension, the sum along dim")
def maximum_of_last(x, dim):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


@ANSWERS.wrong(
    "plain", "sigmoids that are divided by their sum", advice="an entry of -inf gets the weight .*, expected exactly 0"
)
def sigmoids(x, dim):
    return x.sigmoid() / x.sigmoid().sum(dim, keepdim=True)


@ANSWERS.wrong("named", "float32 whatever it is given", told="dtype float32, expected float64")
def always_float32(x, dim):
    return torch.softmax(x.float(), dim)


@ANSWERS.wrong("far", "exp without the maximum, and NaN replaced by 0", told="does not sum to 1 along")
def patched(x, dim):
    return (x.exp() / x.exp().sum(dim, keepdim=True)).nan_to_num(0)


@ANSWERS.right
def by_log_softmax(x, dim):
    return torch.exp(torch.nn.functional.log_softmax(x, dim=dim, dtype=torch.float64)).to(x.dtype)


@ANSWERS.right
def by_logsumexp(x, dim):
    return (x - x.logsumexp(dim, keepdim=True)).exp()


@ANSWERS.right
def in_numpy(x, dim):
    a = x.numpy()
    e = np.exp(a - a.max(axis=dim, keepdims=True))
    return torch.from_numpy(e / e.sum(axis=dim, keepdims=True))


@ANSWERS.right
def in_a_loop(x, dim):
    def one(row):
        e = (row - max(row.tolist())).exp()
        return e / sum(e.tolist())

    return (
        torch.stack([one(row) for row in x.movedim(dim, -1).reshape(-1, x.shape[dim])])
        .reshape(x.movedim(dim, -1).shape)
        .movedim(-1, dim)
    )


@ANSWERS.right
def in_place_on_a_copy(x, dim):
    y = x.double().clone()
    y -= torch.max(y, dim, keepdim=True)[0]
    torch.exp(y, out=y)
    return y.div_(y.sum(dim).unsqueeze(dim))
