"""Answers to core.norms."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.norms",
    spared={
        "onward": "functions of their arguments, and no event after which they go on",
        "dependence": "nothing is drawn",
        "unwatched": "values are compared",
    },
)
wrong, right = ANSWERS.wrong, ANSWERS.right


def wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def centred(x):
    return x - x.mean(-1, keepdim=True)


def root_of_squares(z, eps):
    return (z.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@wrong("plain", "the given code", true="Unbiased LayerEpsOutside")
def given_layer_norm(x, w, b, eps):
    return w * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + b


@wrong("plain", "half mended: eps under the root and float32, and D - 1 stays", true="Unbiased")
def over_d_minus_one(x, w, b, eps):
    z = wide(x)
    return (w * centred(z) / (z.var(-1, keepdim=True) + eps).sqrt() + b).to(x.dtype)


@wrong("plain", "half mended: D and float32, and eps stays beside the root", true="LayerEpsOutside")
def eps_beside(x, w, b, eps):
    z = wide(x)
    return (w * centred(z) / (z.std(-1, keepdim=True, unbiased=False) + eps) + b).to(x.dtype)


@wrong("named", "half mended: statistics in half precision stay", true="LayerInHalf")
def in_half(x, w, b, eps):
    return w * centred(x) / (x.var(-1, keepdim=True, unbiased=False) + eps).sqrt() + b


@wrong("named", "half mended: float32 comes after the square", true="LayerInHalf")
def wide_too_late(x, w, b, eps):
    z = centred(x)
    return (w * z / (wide(z.pow(2)).mean(-1, keepdim=True) + eps).sqrt() + b).to(x.dtype)


@wrong("far", "float32 also where x is float64", at=1, told="numbers near 1e25")
def always_float32(x, w, eps):
    z = x.float()
    return (w * z / root_of_squares(z, eps)).to(x.dtype)


@ANSWERS.right
def stays_wide(x, w, b, eps):
    """A wider dtype costs no marks."""
    z = centred(wide(x))
    return w * z / root_of_squares(z, eps) + b


@wrong("named", "float16 alone is widened: bfloat16 has 8 bits")
def float16_alone(x, w, b, eps):
    z = centred(x.float() if x.dtype == torch.float16 else x)
    return (w * z / root_of_squares(z, eps) + b).to(x.dtype)


@wrong("plain", "the usual eps, whatever is asked for", true="LayerEpsIgnored")
def usual_eps(x, w, b, eps):
    z = centred(wide(x))
    return (w * z / root_of_squares(z, 1e-5) + b).to(x.dtype)


@wrong("far", "the mean of the squares minus the square of the mean: far from 0 their digits are lost")
def moments(x, w, b, eps):
    z = wide(x)
    mean = z.mean(-1, keepdim=True)
    return (w * (z - mean) / (z.pow(2).mean(-1, keepdim=True) - mean**2 + eps).sqrt() + b).to(x.dtype)


@wrong("ones", "`std` and a factor for D: of one number `std` is NaN", told="wrong where it is 1")
def std_and_a_factor(x, w, b, eps):
    z, D = wide(x), x.shape[-1]
    var = z.var(-1, keepdim=True) * (D - 1) / D
    return (w * centred(z) / (var + eps).sqrt() + b).to(x.dtype)


@wrong("ones", "squeezed", told="lost a dimension of size 1")
def squeezed(x, w, b, eps):
    z = centred(wide(x))
    return (w * z / root_of_squares(z, eps) + b).to(x.dtype).squeeze()


@wrong("given", "x is centred in place", told="changes its input x in place")
def in_place(x, w, b, eps):
    x -= x.mean(-1, keepdim=True)
    return (w * wide(x) / root_of_squares(wide(x), eps) + b).to(x.dtype)


@wrong("plain", "statistics without a gradient", told="gradients: dx differs")
def constants(x, w, b, eps):
    z = wide(x)
    with torch.no_grad():
        mean, root = z.mean(-1, keepdim=True), root_of_squares(centred(z), eps)
    return (w * (z - mean) / root + b).to(x.dtype)


@wrong("plain", "over all of a sequence, as nn.LayerNorm((T, D)) does")
def over_the_sequence(x, w, b, eps):
    z, dims = wide(x), tuple(range(x.dim()))[-2:]
    z = z - z.mean(dims, keepdim=True)
    return (w * z / (z.pow(2).mean(dims, keepdim=True) + eps).sqrt() + b).to(x.dtype)


@wrong("plain", "w and b are forgotten where the bracket closes: w times all", true="BiasFirst")
def bracket(x, w, b, eps):
    z = centred(wide(x))
    return (w * (z / root_of_squares(z, eps) + b)).to(x.dtype)


@wrong("plain", "the given code", at=1, true="MeanRemoved")
def given_rms_norm(x, w, eps):
    x = x - x.mean(-1, keepdim=True)
    return w * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


@wrong("plain", "half mended: float32, and the mean is still taken away", at=1, true="MeanRemoved")
def still_centred(x, w, eps):
    z = centred(wide(x))
    return (w * z / root_of_squares(z, eps)).to(x.dtype)


@wrong("plain", "half mended: the root is that of the squares about the mean", at=1)
def deviation(x, w, eps):
    z = wide(x)
    return (w * z / root_of_squares(centred(z), eps)).to(x.dtype)


@wrong("named", "half mended: squares in half precision", at=1, true="RmsInHalf")
def squares_in_half(x, w, eps):
    return w * x / root_of_squares(x, eps)


@wrong("plain", "the sum of the squares", at=1, true="SumOfSquares")
def by_the_length(x, w, eps):
    z = wide(x)
    return (w * z / (z.pow(2).sum(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


@wrong("plain", "F.normalize: eps is a floor of the length, and not under the root", at=1)
def normalized(x, w, eps):
    z = wide(x)
    return (w * F.normalize(z, dim=-1, eps=eps) * x.shape[-1] ** 0.5).to(x.dtype)


@wrong("plain", "as in early code for vectors: eps is added to the root", at=1, true="RmsEpsOutside")
def eps_behind(x, w, eps):
    z = wide(x)
    return (w * z / (z.pow(2).mean(-1, keepdim=True).sqrt() + eps)).to(x.dtype)


@wrong("named", "Gemma's weights, which lie around 0", at=1)
def one_more(x, w, eps):
    z = wide(x)
    return ((1 + w) * z / root_of_squares(z, eps)).to(x.dtype)


WIDTH = []


@wrong("again", "the size of the first call's tokens is kept", at=1)
def first_width(x, w, eps):
    WIDTH.append(x.shape[-1])
    z = wide(x)
    return (w * z / (z.pow(2).sum(-1, keepdim=True) / WIDTH[0] + eps).sqrt()).to(x.dtype)


@wrong(
    "large",
    "the first 256 numbers tell the size: partial RMS norm",
    at=1,
    told="wrong where it is 700 or more",
    advice="times what is expected",
)
def partial(x, w, eps):
    z = wide(x)
    return (w * z / root_of_squares(z[..., :256], eps)).to(x.dtype)


@wrong("surroundings", "the default dtype is set, so that all is wide enough", at=1, told="default dtype")
def default_dtype(x, w, eps):
    torch.set_default_dtype(torch.float64)
    z = wide(x)
    return (w * z / root_of_squares(z, torch.tensor(eps))).to(x.dtype)


@right
def by_library(x, w, b, eps):
    return F.layer_norm(x, x.shape[-1:], w, b, eps)


@right
def in_float64(x, w, b, eps):
    z = x.double()
    var, mean = torch.var_mean(z, -1, correction=0, keepdim=True)
    return torch.addcmul(b.double(), w.double(), (z - mean) * (var + eps).rsqrt()).to(x)


@ANSWERS.right_at(1)
def as_llama(x, w, eps):
    z = wide(x)
    return w * (z * torch.rsqrt(z.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


@ANSWERS.right_at(1)
def by_length(x, w, eps):
    z, D = wide(x), x.shape[-1]
    length = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    return (w * z / torch.hypot(length / D**0.5, torch.full_like(length, eps**0.5))).to(x.dtype)


@ANSWERS.right_at(1)
def token_by_token(x, w, eps):
    rows = [w * z / (z @ z / len(z) + eps) ** 0.5 for z in wide(x).reshape(-1, x.shape[-1])]
    return torch.stack(rows).reshape(x.shape).to(x.dtype)
