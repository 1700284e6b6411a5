"""gamma (x - mu) / sqrt(sigma^2 + eps) + beta over the last dimension. Ba, Kiros and Hinton 2016, equation 4."""

import torch
import torch.nn.functional as F

from grader.contract import Trusted


class Steps:
    """Layer norm in steps: a mistake is one of them done otherwise."""

    def __call__(self, X, weight, bias, eps):
        gap = X - self.mean(X)
        return self.affine(gap / self.deviation(self.variance(X, gap), eps), weight, bias)

    def mean(self, X):
        return X.mean(-1, keepdim=True)

    def variance(self, X, gap):
        return gap.square().mean(-1, keepdim=True)

    def deviation(self, variance, eps):
        return (variance + eps).sqrt()

    def affine(self, Z, weight, bias):
        return weight * Z + bias


def reference(X, weight, bias, eps):
    mean = X.sum(-1, keepdim=True) / X.shape[-1]
    variance = ((X - mean) ** 2).sum(-1, keepdim=True) / X.shape[-1]
    return weight * (X - mean) / torch.sqrt(variance + eps) + bias


TRUSTED = Trusted(reference)


def wrong(sentence):
    """Register a class of wrong steps."""

    def register(steps):
        TRUSTED.add_mistake(steps.__name__, sentence, steps())
        return steps

    return register


@wrong("The variance divides by D - 1, as `var` and `std` do unless told otherwise; here it is D (`correction=0`).")
class UnbiasedVariance(Steps):
    def variance(self, X, gap):
        return gap.square().sum(-1, keepdim=True) / (X.shape[-1] - 1)


@wrong("eps is added to the root; it stands under the root, beside the variance.")
class EpsOutsideTheRoot(Steps):
    def deviation(self, variance, eps):
        return variance.sqrt() + eps


@wrong("eps is left out: a token whose numbers are all equal gives 0/0, and small numbers are blown up.")
class NoEps(Steps):
    def deviation(self, variance, eps):
        return variance.sqrt()


@wrong("eps is taken for the least variance; it is added to the variance, however large that is.")
class EpsAsFloor(Steps):
    def deviation(self, variance, eps):
        return variance.clamp_min(eps).sqrt()


@wrong("You divide by the variance; divide by its root, the standard deviation.")
class NoRoot(Steps):
    def deviation(self, variance, eps):
        return variance + eps


@wrong("The mean is not taken away: dividing by the root of the mean square alone is RMSNorm.")
class RootMeanSquare(Steps):
    def mean(self, X):
        return torch.zeros_like(X[..., :1])


@wrong("Mean and variance run over all tokens of a sequence: each token has its own, over the last dimension (dim=-1).")
class OverTheSequence(Steps):
    def mean(self, X):
        return X.mean((-2, -1), keepdim=True)

    def variance(self, X, gap):
        return gap.square().mean((-2, -1), keepdim=True)


@wrong("Mean and variance run over the tokens, one for each column: they belong over a token's own numbers (dim=-1).")
class OverTheTokens(Steps):
    def mean(self, X):
        return X.mean(-2, keepdim=True)

    def variance(self, X, gap):
        return gap.square().mean(-2, keepdim=True)


@wrong("Mean and variance run over the batch: a token's norm must not depend on what else is in the batch.")
class OverTheBatch(Steps):
    def mean(self, X):
        return X.mean(0, keepdim=True)

    def variance(self, X, gap):
        return gap.square().mean(0, keepdim=True)


@wrong("`weight` and `bias` are not used: each number of the result is times gamma, plus beta.")
class NotAffine(Steps):
    def affine(self, Z, weight, bias):
        return Z


@wrong("`weight` and `bias` are exchanged: multiply by weight (gamma), add bias (beta).")
class Exchanged(Steps):
    def affine(self, Z, weight, bias):
        return bias * Z + weight


@wrong("The bias is added before the multiplication: first times weight, then plus bias.")
class BiasFirst(Steps):
    def affine(self, Z, weight, bias):
        return weight * (Z + bias)


@wrong(
    "The variance is the mean of the squares less the square of the mean: the two are nearly equal where the mean is "
    "large, and nothing but rounding is left of their difference. Square what is left after the mean is taken away."
)
class DifferenceOfSquares(Steps):
    def variance(self, X, gap):
        return (X.square().mean(-1, keepdim=True) - X.mean(-1, keepdim=True).square()).clamp_min(0)


@wrong("The values are right, but mean and variance are detached: the gradient of X lacks what passes through them.")
class Detached(Steps):
    def mean(self, X):
        return super().mean(X).detach()

    def variance(self, X, gap):
        return super().variance(X, gap).detach()


@wrong("The values are right, but the deviation alone is detached: the gradient of X lacks what passes through it.")
class DeviationDetached(Steps):
    def deviation(self, variance, eps):
        return super().deviation(variance, eps).detach()


@wrong("The squares are added up and not averaged: each token gets length 1. The variance is the mean of the squares.")
class SumOfSquares(Steps):
    def variance(self, X, gap):
        return gap.square().sum(-1, keepdim=True)


@TRUSTED.alternative
def var_mean(X, weight, bias, eps):
    variance, mean = torch.var_mean(X, -1, correction=0, keepdim=True)
    return torch.addcmul(bias, (X - mean) * torch.rsqrt(variance + eps), weight)


@TRUSTED.alternative
def token_by_token(X, weight, bias, eps):
    rows = []
    for x in X.reshape(-1, X.shape[-1]):
        gap = x - x.mean()
        rows.append(gap / (torch.dot(gap, gap) / len(x) + eps) ** 0.5 * weight + bias)
    return torch.stack(rows).view(X.shape)


@TRUSTED.alternative
def library(X, weight, bias, eps):
    return F.layer_norm(X, (X.shape[-1],), weight, bias, eps)
