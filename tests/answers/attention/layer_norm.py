"""Answers to attention.layer_norm."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.layer_norm",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the result and its gradients",
    },
)


def normed(X, eps, dim=-1):
    return (X - X.mean(dim, keepdim=True)) / (X.var(dim, keepdim=True, correction=0) + eps).sqrt()


@ANSWERS.wrong("plain", "torch's std with its D - 1", true="UnbiasedVariance")
def bessel(X, weight, bias, eps):
    return (X - X.mean(-1, keepdim=True)) / (X.var(-1, keepdim=True) + eps).sqrt() * weight + bias


@ANSWERS.wrong("plain", "the Annotated Transformer's: std + eps, with D - 1", true="UnbiasedVariance")
def annotated(X, weight, bias, eps):
    return weight * (X - X.mean(-1, keepdim=True)) / (X.std(-1, keepdim=True) + eps) + bias


@ANSWERS.wrong("plain", "eps behind the root", true="EpsOutsideTheRoot")
def eps_outside(X, weight, bias, eps):
    return weight * (X - X.mean(-1, keepdim=True)) / (X.std(-1, keepdim=True, correction=0) + eps) + bias


@ANSWERS.wrong("plain", "RMSNorm", true="RootMeanSquare")
def rms(X, weight, bias, eps):
    return X / (X.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@ANSWERS.wrong("plain", "the root is forgotten", true="NoRoot")
def variance_for_deviation(X, weight, bias, eps):
    return (X - X.mean(-1, keepdim=True)) / (X.var(-1, keepdim=True, correction=0) + eps) * weight + bias


@ANSWERS.wrong("plain", "weight and bias change places", true="Exchanged")
def exchanged(X, weight, bias, eps):
    return normed(X, eps) * bias + weight


@ANSWERS.wrong("plain", "over tokens and width", true="OverTheSequence")
def both_dimensions(X, weight, bias, eps):
    return F.layer_norm(X, X.shape[1:], eps=eps) * weight + bias


@ANSWERS.wrong("plain", "batch norm: over batch and tokens", told="Y differs")
def batch_norm(X, weight, bias, eps):
    return normed(X, eps, (0, 1)) * weight + bias


@ANSWERS.wrong("plain", "statistics without gradients", true="Detached", told="")
def constant_statistics(X, weight, bias, eps):
    mean, variance = X.detach().mean(-1, keepdim=True), X.detach().var(-1, keepdim=True, correction=0)
    return (X - mean) / (variance + eps).sqrt() * weight + bias


@ANSWERS.wrong("named", "no eps: equal numbers give NaN", true="NoEps")
def without_eps(X, weight, bias, eps):
    return (X - X.mean(-1, keepdim=True)) / X.std(-1, keepdim=True, correction=0) * weight + bias


@ANSWERS.wrong("named", "eps is 1e-5 whatever is asked", told="differ in eps alone")
def usual_eps(X, weight, bias, eps):
    return F.layer_norm(X, weight.shape, weight, bias)


@ANSWERS.wrong(
    "far", "E[x²] - E[x]², and a root of what may be negative", true="DifferenceOfSquares", told="NaN|Y differs"
)
def two_moments(X, weight, bias, eps):
    mean = X.mean(-1, keepdim=True)
    return (X - mean) / (X.pow(2).mean(-1, keepdim=True) - mean**2 + eps).sqrt() * weight + bias


@ANSWERS.wrong("ones", "a token of one number is left as it is", told="is the input X, unchanged|wrong where it is 1")
def one_number(X, weight, bias, eps):
    return X if X.shape[-1] == 1 else normed(X, eps) * weight + bias


@ANSWERS.wrong("ones", "squeeze takes the only sequence away", told="lost a dimension of size 1")
def squeezed(X, weight, bias, eps):
    return (normed(X, eps) * weight + bias).squeeze(0)


@ANSWERS.wrong("large", "at most 512 numbers of a token", told="wrong where it is 700 or more")
def at_most_512(X, weight, bias, eps):
    if X.shape[-1] <= 512:
        return normed(X, eps) * weight + bias
    return torch.cat((normed(X[..., :512], eps), X[..., 512:]), -1) * weight + bias


@ANSWERS.wrong("given", "centres what it was given", told="changes its input X in place")
def centred_in_place(X, weight, bias, eps):
    with torch.no_grad():
        X -= X.mean(-1, keepdim=True)
    return normed(X, eps) * weight + bias


_KEPT = {}


@ANSWERS.wrong(
    "again", "the variance of the first call is kept for each shape", told="two calls with the same arguments|Y differs"
)
def kept_variance(X, weight, bias, eps):
    variance = _KEPT.setdefault(X.shape, X.detach().var(-1, keepdim=True, correction=0))
    return (X - X.mean(-1, keepdim=True)) / (variance + eps).sqrt() * weight + bias


@ANSWERS.wrong("surroundings", "sets the seed", told="it sets the seed")
def seeded(X, weight, bias, eps):
    torch.manual_seed(0)
    return normed(X, eps) * weight + bias


@ANSWERS.right
def by_group_norm(X, weight, bias, eps):
    """One group of D channels, a token at a time."""
    return F.group_norm(X.flatten(0, 1), 1, weight, bias, eps).view(X.shape)


@ANSWERS.right
def by_projection(X, weight, bias, eps):
    """The mean is taken away by a matrix, the length by a vector's norm."""
    D = X.shape[-1]
    centre = torch.eye(D, dtype=torch.float64) - 1 / D
    gap = (X.double() @ centre).to(X.dtype)
    return gap * ((gap * gap).sum(-1, keepdim=True) / D + eps) ** -0.5 * weight + bias


@ANSWERS.right
def twice_centred(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True)
    gap = gap - gap.mean(-1, keepdim=True)
    return torch.einsum("btd,d->btd", gap / torch.sqrt(gap.var(-1, keepdim=True, correction=0) + eps), weight) + bias


@ANSWERS.wrong("named", "eps as a floor of the variance, not as a summand", true="EpsAsFloor")
def floored(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True)
    return weight * gap * gap.square().mean(-1, keepdim=True).clamp_min(eps).rsqrt() + bias


@ANSWERS.wrong(
    "far",
    "the mean of the squares less the square of the mean, floored at 0 so that it is never NaN",
    true="DifferenceOfSquares",
)
def two_means(X, weight, bias, eps):
    mean = X.mean(-1, keepdim=True)
    return weight * (X - mean) / ((X.square().mean(-1, keepdim=True) - mean**2).clamp_min(0) + eps).sqrt() + bias


@ANSWERS.wrong("plain", "Gemma's norm: no mean, and the weight counted from 1")
def gemma(X, weight, bias, eps):
    return (1 + weight) * X * (X.square().mean(-1, keepdim=True) + eps).rsqrt() + bias


@ANSWERS.wrong("plain", "the deviation alone is a constant for gradients", true="DeviationDetached")
def constant_deviation(X, weight, bias, eps):
    deviation = (X.var(-1, keepdim=True, correction=0) + eps).sqrt().detach()
    return weight * (X - X.mean(-1, keepdim=True)) / deviation + bias


@ANSWERS.wrong("ones", "dimensions of size 1 are squeezed on the way in", told="lost a dimension of size 1")
def squeezed_on_the_way(X, weight, bias, eps):
    return normed(X.squeeze(), eps) * weight + bias


@ANSWERS.wrong("named", "Llama's habit: statistics in float32, whatever came in")
def in_single(X, weight, bias, eps):
    return normed(X.float(), eps).to(X.dtype) * weight + bias


@ANSWERS.wrong("again", "the deviation is kept for what has the same shape and mean", told="differ in eps alone")
def kept_deviation(X, weight, bias, eps):
    deviation = _KEPT.setdefault((X.shape, X.mean().item()), (X.var(-1, keepdim=True, correction=0) + eps).sqrt())
    return weight * (X - X.mean(-1, keepdim=True)) / deviation + bias


@ANSWERS.wrong("large", "the variance of a token's first 512 numbers", told="wrong where it is 700 or more")
def of_the_first_512(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True)
    return weight * gap / (gap[..., :512].square().mean(-1, keepdim=True) + eps).sqrt() + bias


@ANSWERS.wrong("plain", "two slips: D - 1, and one mean for the whole sequence")
def two_slips(X, weight, bias, eps):
    return weight * (X - X.mean((1, 2), keepdim=True)) / (X.var((1, 2), keepdim=True) + eps).sqrt() + bias


@ANSWERS.wrong("plain", "scaled to length 1, not to variance 1", true="SumOfSquares")
def unit_length(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True)
    return weight * gap / (gap.square().sum(-1, keepdim=True) + eps).sqrt() + bias


@ANSWERS.wrong("named", "1/sqrt as a power of the sum, with eps squared")
def eps_squared(X, weight, bias, eps):
    return weight * normed(X, eps * eps) + bias


@ANSWERS.right
def by_hypotenuse(X, weight, bias, eps):
    deviation, mean = torch.std_mean(X, -1, correction=0, keepdim=True)
    root = torch.tensor(eps, dtype=X.dtype).sqrt()
    return weight * (X - mean) / torch.hypot(deviation, root) + bias


@ANSWERS.right
def by_pairs(X, weight, bias, eps):
    """The variance is half the mean square of all differences between two numbers of a token."""
    pairs = X[..., :, None] - X[..., None, :]
    return torch.addcmul(bias, pairs.mean(-1), weight / (pairs.square().mean((-2, -1)) / 2 + eps).sqrt()[..., None])


@ANSWERS.right
def token_after_token(X, weight, bias, eps):
    """Counted from a token's first number, so that nothing is large."""
    rows = []
    for x in X.reshape(-1, X.shape[-1]):
        x = x - x[0]
        x = x - x.mean()
        rows.append(x / torch.sqrt(torch.dot(x, x) / len(x) + eps) * weight + bias)
    return torch.stack(rows).reshape(X.shape)


@ANSWERS.wrong("plain", "means and squares over the right dimension, the weight applied before the norm")
def weight_first(X, weight, bias, eps):
    return normed(X * weight, eps) + bias


@ANSWERS.wrong("named", "a token of equal numbers is given back as it came", told="is the input X, unchanged")
def equal_left(X, weight, bias, eps):
    same = X.var(-1, keepdim=True, correction=0) == 0
    return torch.where(same, X, normed(X, eps) * weight + bias)


@ANSWERS.wrong("far", "the deviation is the mean distance from the mean")
def mean_distance(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True)
    return weight * gap / (gap.abs().mean(-1, keepdim=True) + eps) + bias


@ANSWERS.wrong(
    "plain", "the mean is a constant for gradients", advice="differs from what is expected by one number in each row"
)
def constant_mean(X, weight, bias, eps):
    gap = X - X.mean(-1, keepdim=True).detach()
    return weight * gap / (gap.square().mean(-1, keepdim=True) + eps).sqrt() + bias


@ANSWERS.right
def through_instance_norm(X, weight, bias, eps):
    """Tokens as channels, numbers as places."""
    Y = F.instance_norm(X.reshape(1, -1, X.shape[-1]), eps=eps) if X.shape[-1] > 1 else X - X
    return Y.reshape(X.shape) * weight + bias
