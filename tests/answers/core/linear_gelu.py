"""Answers to core.linear_gelu."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.linear_gelu",
    spared={
        "onward": "functions of their arguments, and no event after which they go on",
        "dependence": "nothing is drawn",
    },
)
wrong, right = ANSWERS.wrong, ANSWERS.right


def cdf(Z):
    return (1 + torch.erf(Z / math.sqrt(2))) / 2


def density(Z):
    return torch.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)


def slope(Z):
    return cdf(Z) + Z * density(Z)


def back(X, W, dZ):
    """The three gradients, right for any leading dimensions."""
    rows = dZ.reshape(-1, len(W))
    return dZ @ W, rows.T @ X.reshape(-1, X.shape[-1]), rows.sum(0)


@wrong("plain", "the approximation by a tanh", true="Tanh")
def tanh_forward(X, W, b):
    return F.gelu(X @ W.T + b, approximate="tanh")


@wrong("plain", "z times a sigmoid of 1.702 z, as CLIP has it", true="Sigmoid")
def quick(X, W, b):
    Z = X @ W.T + b
    return Z * torch.sigmoid(1.702 * Z)


@wrong("plain", "W is not transposed", told="W.mT` would fit")
def not_transposed(X, W, b):
    Z = X @ W + b
    return Z * cdf(Z)


@wrong("plain", "no root of 2 in erf", true="RootMissing")
def no_root(X, W, b):
    Z = X @ W.T + b
    return Z * (1 + torch.erf(Z)) / 2


@wrong("plain", "the bias comes after GELU", true="BiasLast")
def late_bias(X, W, b):
    Z = X @ W.T
    return Z * cdf(Z) + b


@wrong("plain", "made with NumPy's numbers: no gradient flows", true="ForwardDetached")
def by_numpy(X, W, b):
    Z = (X @ W.T + b).detach()
    return Z * torch.from_numpy(np.vectorize(lambda z: 0.5 * (1 + math.erf(z / 2**0.5)))(Z.numpy())).to(Z)


@wrong("given", "b becomes Z in place: `out` is the bias, repeated", told="changes its input b in place")
def onto_the_bias(X, W, b):
    b /= math.sqrt(2)
    Z = X @ W.T + b * math.sqrt(2)
    return Z * cdf(Z)


@wrong("ones", "squeezed", told="lost a dimension of size 1")
def squeezed(X, W, b):
    Z = X @ W.T + b
    return (Z * cdf(Z)).squeeze()


@wrong("plain", "the second term of the product rule is missing", at=1, true="DensityMissing")
def no_density(X, W, b, dY):
    return back(X, W, dY * cdf(X @ W.T + b))


@wrong("plain", "phi without its factor 1 / sqrt(2 pi)", at=1)
def no_factor(X, W, b, dY):
    Z = X @ W.T + b
    return back(X, W, dY * (cdf(Z) + Z * torch.exp(-(Z**2) / 2)))


@wrong("plain", "GELU's slope at Y, not at Z", at=1, true="SlopeAtY")
def slope_at_the_result(X, W, b, dY):
    Z = X @ W.T + b
    return back(X, W, dY * slope(Z * cdf(Z)))


@wrong("plain", "the slope of a step: as ReLU", at=1, true="SlopeOfRelu")
def as_relu(X, W, b, dY):
    return back(X, W, dY * (X @ W.T + b > 0))


@wrong("plain", "the slope of the tanh approximation", at=1, true="SlopeOfTanh")
def tanh_backward(X, W, b, dY):
    Z = X @ W.T + b
    u = math.sqrt(2 / math.pi) * (Z + 0.044715 * Z**3)
    du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * Z**2)
    return back(X, W, dY * ((1 + u.tanh()) / 2 + Z * (1 - u.tanh() ** 2) * du / 2))


@wrong("plain", "the bias is forgotten where Z is computed again", at=1)
def no_bias(X, W, b, dY):
    return back(X, W, dY * slope(X @ W.T))


@wrong("plain", "dW is transposed", at=1, true="WeightTransposed")
def dw_transposed(X, W, b, dY):
    dX, dW, db = back(X, W, dY * slope(X @ W.T + b))
    return dX, dW.T, db


@wrong("plain", "means over the rows", at=1, told="dW is 1 / N times")
def means(X, W, b, dY):
    dX, dW, db = back(X, W, dY * slope(X @ W.T + b))
    n = X.numel() // X.shape[-1]
    return dX, dW / n, db / n


@wrong("named", "for X of two dimensions", at=1, told=r"X is \(2, 3, 4\)")
def two_dimensions(X, W, b, dY):
    dZ = dY * slope(X @ W.T + b)
    return dZ @ W, dZ.T @ X, dZ.sum(0)


@wrong("named", "`flatten(0, -2)` does not serve a single vector", at=1, told="Dimension out of range")
def flattened(X, W, b, dY):
    dZ = dY * slope(X @ W.T + b)
    rows = dZ.flatten(0, -2)
    return dZ @ W, rows.T @ X.flatten(0, -2), rows.sum(0)


@wrong("ones", "dX comes back as rows", at=1, told=r"dX has shape \(6, 4\), expected \(2, 3, 4\)")
def rows_stay(X, W, b, dY):
    dZ = (dY * slope(X @ W.T + b)).reshape(-1, len(W))
    return dZ @ W, dZ.T @ X.reshape(-1, X.shape[-1]), dZ.sum(0)


@wrong("plain", "dW and db are exchanged", at=1, told="dW and db are exchanged")
def exchanged(X, W, b, dY):
    dX, dW, db = back(X, W, dY * slope(X @ W.T + b))
    return dX, db, dW


@wrong("given", "dY becomes dZ in place", at=1, told="changes its input dY in place")
def onto_dy(X, W, b, dY):
    dY *= slope(X @ W.T + b)
    return back(X, W, dY)


@wrong(
    "far",
    "Phi' from the quotient Y / Z: 0 / 0 where Y underflows, and z phi over and over",
    at=1,
    told="far from 0: dX is NaN",
)
def by_the_logarithm(X, W, b, dY):
    Z = X @ W.T + b
    return back(X, W, dY * cdf(Z) * (1 + Z * density(Z) / cdf(Z)))


@wrong("large", "in blocks of 128 rows, the last one left out", at=1, told=r"X \(300, 2\), E=3: dW differs")
def whole_blocks(X, W, b, dY):
    dX, dW, db = back(X, W, dY * slope(X @ W.T + b))
    rows, xs = (dY * slope(X @ W.T + b)).reshape(-1, len(W)), X.reshape(-1, X.shape[-1])
    if len(rows) > 128:
        ends = range(128, len(rows), 128)
        dW = sum(rows[n - 128 : n].T @ xs[n - 128 : n] for n in ends)
        db = sum(rows[n - 128 : n].sum(0) for n in ends)
    return dX, dW, db


KEPT = {}


def keeps_z(X, W, b):
    KEPT["Z"] = X @ W.T + b
    return KEPT["Z"] * cdf(KEPT["Z"])


def takes_the_kept(X, W, b, dY):
    return back(X, W, dY * slope(KEPT["Z"] if "Z" in KEPT else X @ W.T + b))


wrong("again", "the backward pass takes Z of the last forward pass, whatever its arguments are")(
    (keeps_z, takes_the_kept)
)


@wrong("unwatched", "torch's reverse mode, which the text says is off", at=1)
def by_torch(X, W, b, dY):
    with torch.enable_grad():
        leaves = [x.detach().clone().requires_grad_() for x in (X, W, b)]
        return torch.autograd.grad(F.gelu(F.linear(*leaves)), leaves, dY)


@wrong(
    "surroundings", "gradients are not needed on the way back, nor after", at=1, told="leaves gradients switched off"
)
def gradients_off(X, W, b, dY):
    torch.set_grad_enabled(False)
    return back(X, W, dY * slope(X @ W.T + b))


@right
def by_library(X, W, b):
    return F.gelu(F.linear(X, W, b))


@right
def by_erfc(X, W, b):
    Z = torch.einsum("...d,ed->...e", X, W) + b
    return Z * torch.special.erfc(-Z * 0.5**0.5) / 2


@ANSWERS.right_at(1)
def by_einsum(X, W, b, dY):
    normal, Z = torch.distributions.Normal(0.0, 1.0), torch.einsum("...d,ed->...e", X, W) + b
    dZ = dY * (torch.special.ndtr(Z) + Z * normal.log_prob(Z).exp())
    dW = torch.einsum("...e,...d->ed", dZ, X)
    return torch.einsum("...e,ed->...d", dZ, W), dW, torch.einsum("...e->e", dZ)


@ANSWERS.right_at(1)
def row_by_row(X, W, b, dY):
    dX, dW, db = torch.empty_like(X), torch.zeros_like(W), torch.zeros_like(b)
    for place in np.ndindex(*X.shape[:-1]):
        dz = dY[place] * slope(W @ X[place] + b)
        dX[place] = W.T @ dz
        dW += torch.outer(dz, X[place])
        db += dz
    return dX, dW, db
