"""Layer norm: Ba et al. 2016, equation 3, with eps under the root. RMS norm: Zhang and Sennrich 2019, equation 4.

y = w (x - mean) / sqrt(var + eps) + b, var the mean of the squares about the mean;  y = w x / sqrt(mean(x^2) + eps).
"""

import torch
from torch.nn import functional

from grader.contract import Trusted


def wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def layer_reference(x, w, b, eps):
    z = wide(x)
    D = z.shape[-1]
    mean = z.sum(-1, keepdim=True) / D
    var = ((z - mean) ** 2).sum(-1, keepdim=True) / D
    return (wide(w) * (z - mean) / (var + eps).sqrt() + wide(b)).to(x.dtype)


def rms_reference(x, w, eps):
    z = wide(x)
    return (wide(w) * z / (z.pow(2).mean(-1, keepdim=True) + eps).sqrt()).to(x.dtype)


TRUSTED = Trusted((layer_reference, rms_reference), budget="two functions, each with the slips of a norm")


class Norm:
    """Both norms in steps: a mistake is written as the one in which it differs."""

    def __call__(self, x, w, *rest):
        z = self.wide(x)
        z = self.centred(z)
        y = self.divided(z, rest[-1])
        return self.shaped(y, w, rest[0] if len(rest) > 1 else None).to(x.dtype)

    def wide(self, x):
        return wide(x)

    def centred(self, z):
        return z

    def divided(self, z, eps):
        return z / (self.squares(z) + eps).sqrt()

    def squares(self, z):
        return z.pow(2).mean(-1, keepdim=True)

    def shaped(self, y, w, b):
        y = wide(w) * y
        return y if b is None else y + wide(b)


class Layer(Norm):
    def centred(self, z):
        return z - z.mean(-1, keepdim=True)


wrong_layer, wrong_rms = TRUSTED.one_by_one(
    lambda steps: lambda *given: steps()(*given), lambda steps: lambda *given: steps()(*given)
)


def as_given_layer(x, w, b, eps):
    return w * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + b


def as_given_rms(x, w, eps):
    x = x - x.mean(-1, keepdim=True)
    return w * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


TRUSTED.add_mistake(
    "as_given",
    "Slips of the given code are still there. What does `std` divide by, and where does eps stand? Which of the two "
    "norms "
    "takes the mean away? Which squares are too large for float16?",
    as_given_layer,
    as_given_rms,
)


@wrong_layer(
    "layer_norm divides by the unbiased deviation, the sum of squares over D - 1: it is over D, `unbiased=False`."
)
class Unbiased(Layer):
    def squares(self, z):
        return z.pow(2).sum(-1, keepdim=True) / (z.shape[-1] - 1)


@wrong_layer("layer_norm adds eps to the root: it belongs under it, sqrt(var + eps).")
class LayerEpsOutside(Layer):
    def divided(self, z, eps):
        return z / (self.squares(z).sqrt() + eps)


@wrong_layer("layer_norm divides by the variance: by its root.")
class NoRoot(Layer):
    def divided(self, z, eps):
        return z / (self.squares(z) + eps)


@wrong_layer("layer_norm does not take the mean away: what it leaves of a token has mean 0, before w and b.")
class MeanKept(Layer):
    def centred(self, z):
        return z


@wrong_layer(
    "layer_norm takes one mean and one variance over all tokens: each token has its own, along the last dimension."
)
class OverEverything(Layer):
    def centred(self, z):
        return z - z.mean()

    def squares(self, z):
        return z.pow(2).mean()


@wrong_layer("layer_norm uses an eps of its own: that of the argument belongs under the root.")
class LayerEpsIgnored(Layer):
    def divided(self, z, eps):
        return super().divided(z, 1e-5)


@wrong_layer("layer_norm multiplies by w after b is added: first w, then b.")
class BiasFirst(Layer):
    def shaped(self, y, w, b):
        return wide(w) * (y + wide(b))


@wrong_layer("layer_norm's b is missing: y = w z + b.")
class NoBias(Layer):
    def shaped(self, y, w, b):
        return wide(w) * y


@wrong_layer(
    "Of layer_norm only half precision is wrong: squares are taken there in the dtype of x, and 256 squared is beyond "
    "float16. Convert x to float32 before squaring, and the result back to the dtype of x."
)
class LayerInHalf(Layer):
    def wide(self, x):
        return x


@wrong_rms("rms_norm takes the mean away: that is what layer norm does, and RMS norm leaves out.")
class MeanRemoved(Norm):
    def centred(self, z):
        return z - z.mean(-1, keepdim=True)


@wrong_rms("rms_norm adds eps to the root: it belongs under it, sqrt(mean(x^2) + eps).")
class RmsEpsOutside(Norm):
    def divided(self, z, eps):
        return z / (self.squares(z).sqrt() + eps)


@wrong_rms("rms_norm divides by the length of a token, the root of the *sum* of squares: by the root of their mean.")
class SumOfSquares(Norm):
    def squares(self, z):
        return z.pow(2).sum(-1, keepdim=True)


@wrong_rms("rms_norm multiplies by w first, and so takes its squares of something else: divide first, then multiply.")
class WeightFirst(Norm):
    def __call__(self, x, w, eps):
        return self.divided(wide(x) * wide(w), eps).to(x.dtype)


@wrong_rms("rms_norm divides by the mean of the squares: by its root.")
class RmsNoRoot(Norm):
    def divided(self, z, eps):
        return z / (self.squares(z) + eps)


@wrong_rms("rms_norm uses an eps of its own: that of the argument belongs under the root.")
class RmsEpsIgnored(Norm):
    def divided(self, z, eps):
        return super().divided(z, 1e-6)


@wrong_rms(
    "Of rms_norm only cases in float16 are wrong: squares are taken there in the dtype of x, and 256 squared is beyond "
    "float16. Convert x to float32 before squaring, and the result back to the dtype of x."
)
class RmsInHalf(Norm):
    def wide(self, x):
        return x


def by_var(x, w, b, eps):
    z = x.double() if x.dtype == torch.float64 else x.float()
    var, mean = torch.var_mean(z, -1, correction=0, keepdim=True)
    return ((z - mean) * torch.rsqrt(var + eps) * w + b).to(x.dtype)


def by_length(x, w, eps):
    """The length of a token, over the root of its width."""
    z = wide(x)
    return (
        w * z * z.shape[-1] ** 0.5 / (torch.linalg.vector_norm(z, dim=-1, keepdim=True) ** 2 + z.shape[-1] * eps).sqrt()
    ).to(x.dtype)


def row_by_row(x, w, b, eps):
    rows = [row - row.mean() for row in wide(x).reshape(-1, x.shape[-1])]
    rows = [row / (row.dot(row) / len(row) + eps) ** 0.5 for row in rows]
    return torch.addcmul(wide(b), wide(w), torch.stack(rows)).view(x.shape).to(x.dtype)


def of_torch(x, w, eps):
    z = wide(x)
    return (functional.rms_norm(z, z.shape[-1:], eps=eps) * w).to(x.dtype)


TRUSTED.add_alternative("by_var", by_var, by_length)
TRUSTED.add_alternative("row_by_row", row_by_row, of_torch)
