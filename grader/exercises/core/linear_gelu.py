"""Y = GELU(Z), Z = X W^T + b, GELU(z) = z Phi(z): Hendrycks and Gimpel 2016, section 2.

dZ = dY (Phi(z) + z phi(z)), dX = dZ W, dW = dZ^T X, db = sum dZ, the sums over all tokens.
"""

import math

import torch
from torch.nn import functional

from grader.contract import Trusted


def cdf(z):
    return (1 + torch.erf(z / math.sqrt(2))) / 2


def density(z):
    return torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def forward_reference(X, W, b):
    Z = X @ W.T + b
    return Z * cdf(Z)


def backward_reference(X, W, b, dY):
    Z = X @ W.T + b
    dZ = dY * (cdf(Z) + Z * density(Z))
    rows, tokens = dZ.reshape(-1, dZ.shape[-1]), X.reshape(-1, X.shape[-1])
    return dZ @ W, rows.T @ tokens, rows.sum(0)


TRUSTED = Trusted((forward_reference, backward_reference), budget="a forward and a backward pass")


class Forward:
    """The forward pass in steps: a mistake is written as the one in which it differs."""

    def __call__(self, X, W, b):
        return self.act(self.linear(X, W, b))

    def linear(self, X, W, b):
        return X @ W.T + b

    def act(self, Z):
        return Z * cdf(Z)


class Backward(Forward):
    """The backward pass in steps."""

    def __call__(self, X, W, b, dY):
        Z = self.linear(X, W, b)
        dZ = dY * self.slope(Z)
        rows, tokens = dZ.reshape(-1, dZ.shape[-1]), X.reshape(-1, X.shape[-1])
        return self.dX(dZ, W), self.dW(rows, tokens), self.db(dZ, rows)

    def slope(self, Z):
        return cdf(Z) + Z * density(Z)

    def dX(self, dZ, W):
        return dZ @ W

    def dW(self, rows, tokens):
        return rows.T @ tokens

    def db(self, dZ, rows):
        return rows.sum(0)


wrong_forward, wrong_backward = TRUSTED.one_by_one(
    lambda steps: lambda *given: steps()(*given), lambda steps: lambda *given: steps()(*given)
)


@wrong_forward(
    "This is the tanh approximation of GELU: the exact one has the distribution's erf, z (1 + erf(z / sqrt(2))) / 2."
)
class Tanh(Forward):
    def act(self, Z):
        return functional.gelu(Z, approximate="tanh")


@wrong_forward("This is the sigmoid approximation of GELU, z sigmoid(1.702 z): the exact one has erf.")
class Sigmoid(Forward):
    def act(self, Z):
        return Z * torch.sigmoid(1.702 * Z)


@wrong_forward("This is SiLU, z sigmoid(z): GELU weighs z with the normal distribution's Phi(z).")
class Silu(Forward):
    def act(self, Z):
        return functional.silu(Z)


@wrong_forward("This is ReLU, which has a corner at 0: GELU weighs z with Phi(z).")
class Relu(Forward):
    def act(self, Z):
        return Z.relu()


@wrong_forward("erf is asked of z itself: Phi(z) = (1 + erf(z / sqrt(2))) / 2.")
class RootMissing(Forward):
    def act(self, Z):
        return Z * (1 + torch.erf(Z)) / 2


@wrong_forward("The bias is added after GELU: it belongs to what GELU acts on.")
class BiasLast(Forward):
    def __call__(self, X, W, b):
        return self.act(X @ W.T) + b


@wrong_forward("The bias is missing: Z = X W^T + b.")
class NoBias(Forward):
    def linear(self, X, W, b):
        return X @ W.T


@wrong_forward("The values are right, but the result is cut off from its graph (detach, .data): no gradient flows.")
class ForwardDetached(Forward):
    def act(self, Z):
        return super().act(Z).detach()


@wrong_backward("GELU's slope is not there: dZ is dY times Phi(z) + z phi(z).")
class NoSlope(Backward):
    def slope(self, Z):
        return torch.ones_like(Z)


@wrong_backward("Of GELU's slope z phi(z) is missing: z Phi(z) is a product, and both factors depend on z.")
class DensityMissing(Backward):
    def slope(self, Z):
        return cdf(Z)


@wrong_backward("Of GELU's slope Phi(z) is missing: z Phi(z) is a product, and both factors depend on z.")
class CdfMissing(Backward):
    def slope(self, Z):
        return Z * density(Z)


@wrong_backward("The slope is taken at Y: it belongs to z, before GELU.")
class SlopeAtY(Backward):
    def slope(self, Z):
        return super().slope(self.act(Z))


@wrong_backward("The slope is that of ReLU, 1 or 0: GELU's is Phi(z) + z phi(z).")
class SlopeOfRelu(Backward):
    def slope(self, Z):
        return (Z > 0).to(Z.dtype)


@wrong_backward("dW is transposed: it has W's shape, (E, D), so the gradient comes first, dZ^T X.")
class WeightTransposed(Backward):
    def dW(self, rows, tokens):
        return tokens.T @ rows


@wrong_backward("db is the mean over the tokens: each of them adds its own, so it is the sum.")
class BiasAveraged(Backward):
    def db(self, dZ, rows):
        return rows.mean(0)


@wrong_backward(
    "db is summed over the first dimension alone: where X has several, all but the last are summed, and b's shape "
    "is left."
)
class FirstDimensionAlone(Backward):
    def db(self, dZ, rows):
        return dZ.sum(0) if dZ.dim() > 1 else dZ


@wrong_backward("dW is the mean over the tokens: each of them adds its own, so it is the sum.")
class WeightAveraged(Backward):
    def dW(self, rows, tokens):
        return rows.T @ tokens / len(rows)


@wrong_backward(
    "The slope is that of the tanh approximation (or of another one near to it): the exact one is Phi(z) + z phi(z)."
)
class SlopeOfTanh(Backward):
    def slope(self, Z):
        u = math.sqrt(2 / math.pi) * (Z + 0.044715 * Z**3)
        t = torch.tanh(u)
        return (1 + t) / 2 + Z * (1 - t**2) / 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * Z**2)


@wrong_backward(
    "dW and db are those of an X with one leading dimension: several of them are rows all the same, so make rows of X "
    "and dZ first, reshape(-1, ...)."
)
class OneLeadingDimension(Backward):
    def __call__(self, X, W, b, dY):
        Z = self.linear(X, W, b)
        dZ = dY * self.slope(Z)
        return dZ @ W, dZ.mT @ X, dZ.sum(0)


@wrong_backward("dX is made of dY: GELU lies between, so it is made of dZ.")
class SkipsGelu(Backward):
    def __call__(self, X, W, b, dY):
        _, dW, db = super().__call__(X, W, b, dY)
        return dY @ W, dW, db


def by_matrices(X, W, b):
    return functional.gelu(torch.addmm(b, X.reshape(-1, X.shape[-1]), W.T)).reshape(*X.shape[:-1], len(W))


def by_einsum(X, W, b, dY):
    Z = torch.einsum("...d,ed->...e", X, W) + b
    dZ = dY * (0.5 * torch.erfc(-Z * 0.5**0.5) + Z * torch.exp(-0.5 * Z * Z) * (0.5 / math.pi) ** 0.5)
    return (
        torch.einsum("...e,ed->...d", dZ, W),
        torch.einsum("...e,...d->ed", dZ, X),
        torch.einsum("...e->e", dZ),
    )


def token_by_token(X, W, b):
    normal = torch.distributions.Normal(torch.zeros((), dtype=X.dtype), torch.ones((), dtype=X.dtype))
    rows = []
    for x in X.reshape(-1, X.shape[-1]):
        z = W @ x + b
        rows.append(z * normal.cdf(z))
    return torch.stack(rows).view(*X.shape[:-1], -1)


def added_up(X, W, b, dY):
    """One token after another."""
    dX, dW, db = torch.empty_like(X), torch.zeros_like(W), torch.zeros_like(b)
    for x, dy, dx in zip(*(t.reshape(-1, t.shape[-1]) for t in (X, dY)), dX.view(-1, X.shape[-1]), strict=True):
        z = W @ x + b
        dz = dy * (cdf(z) + z * density(z))
        dx.copy_(W.T @ dz)
        dW += torch.outer(dz, x)
        db += dz
    return dX, dW, db


TRUSTED.add_alternative("in_matrices", by_matrices, by_einsum)
TRUSTED.add_alternative("in_loops", token_by_token, added_up)
