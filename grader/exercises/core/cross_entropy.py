"""loss = -1/n sum over the n counted places of ln softmax(Z)_y, and 0 where n = 0; Bishop 2006, section 4.3.4.

dZ = (softmax(Z) - onehot(y)) / n at the counted places, and 0 at the others: equation 4.109 there.
"""

import torch
from torch.nn import functional

from grader.contract import Trusted


def loss_reference(Z, y, ignore_index):
    total, n = Z.new_zeros(()), 0
    for z, label in zip(Z.flatten(0, 1), y.flatten().tolist(), strict=True):
        if label != ignore_index:
            total, n = total + torch.logsumexp(z, 0) - z[label], n + 1
    return total / max(n, 1) + 0 * Z.sum()


def gradient_reference(Z, y, ignore_index):
    dZ, places = torch.zeros_like(Z), (y != ignore_index).nonzero().tolist()
    for b, t in places:
        dZ[b, t] = Z[b, t].softmax(0)
        dZ[b, t, y[b, t]] -= 1
    return dZ / max(len(places), 1)


TRUSTED = Trusted((loss_reference, gradient_reference), budget="a loss and its gradient, each wrong by itself")


class Loss:
    """The loss in steps: a mistake is written as the one in which it differs."""

    def __call__(self, Z, y, ignore_index):
        counted = self.counted(y, ignore_index)
        nats = self.nats(Z).gather(-1, y.where(counted, 0)[..., None])[..., 0]
        return self.mean(nats, counted)

    def counted(self, y, ignore_index):
        return y != ignore_index

    def nats(self, Z):
        return -Z.log_softmax(-1)

    def mean(self, nats, counted):
        return nats[counted].sum() / counted.sum().clamp(min=1)


class Gradient:
    """The gradient in steps."""

    def __call__(self, Z, y, ignore_index):
        counted = self.counted(y, ignore_index)
        label = functional.one_hot(y.where(counted, 0), Z.shape[-1]).to(Z.dtype)
        return self.divided(self.kept(self.difference(self.softmax(Z), label), counted), counted)

    def counted(self, y, ignore_index):
        return y != ignore_index

    def softmax(self, Z):
        return Z.softmax(-1)

    def difference(self, p, label):
        return p - label

    def kept(self, dZ, counted):
        return dZ * counted[..., None]

    def divided(self, dZ, counted):
        return dZ / counted.sum().clamp(min=1)


wrong_loss, wrong_gradient = TRUSTED.one_by_one(
    lambda steps: lambda *given: steps()(*given), lambda steps: lambda *given: steps()(*given)
)


@wrong_loss(
    "The logarithm is taken of a finished softmax. Where scores lie far apart that is the logarithm of 0: use "
    "ln softmax(z)_y = z_y - logsumexp(z), in which nothing vanishes."
)
class LogOfSoftmax(Loss):
    def nats(self, Z):
        return -Z.softmax(-1).log()


@wrong_loss(
    "exp overflows at scores near 1,000: take the largest score of a row away first, as `torch.logsumexp` does."
)
class ExpOverflows(Loss):
    def nats(self, Z):
        return Z.exp().sum(-1, keepdim=True).log() - Z


@wrong_loss("Places that are ignored count in the mean, as if each cost nothing: divide by the labels that count.")
class OverAllPlaces(Loss):
    def mean(self, nats, counted):
        return (nats * counted).mean()


@wrong_loss("The sum is divided by the number of rows: divide by the number of labels that count.")
class OverRows(Loss):
    def mean(self, nats, counted):
        return nats[counted].sum() / len(nats)


@wrong_loss(
    "The mean of the rows' means: a label in a row of few weighs more than one in a row of many. Add up all, and "
    "divide by the labels that count."
)
class MeanOfMeans(Loss):
    def mean(self, nats, counted):
        n = counted.sum(1)
        return ((nats * counted).sum(1) / n.clamp(min=1)).sum() / (n > 0).sum().clamp(min=1)


@wrong_loss("Where no label counts the loss is 0/0, NaN: give 0 there.")
class NaNWhereNoneCounts(Loss):
    def mean(self, nats, counted):
        return nats[counted].mean()


@wrong_loss("The sum is returned: divide by the number of labels that count.")
class Sum(Loss):
    def mean(self, nats, counted):
        return nats[counted].sum()


@wrong_loss("-100 is ignored whatever `ignore_index` is: compare with the argument.")
class AlwaysMinus100(Loss):
    def counted(self, y, ignore_index):
        return y != -100 if ignore_index < 0 or ignore_index > 900 else torch.ones_like(y, dtype=torch.bool)


@wrong_loss("The sign is missing: ln p is negative, and the loss is -ln p.")
class Sign(Loss):
    def nats(self, Z):
        return Z.log_softmax(-1)


@wrong_loss("The values are right, but the loss is cut off from its graph (detach, .item(), .data): nothing can learn.")
class Detached(Loss):
    def nats(self, Z):
        return -Z.detach().log_softmax(-1)


@wrong_gradient("The gradient is that of the sum: the loss is a mean, so divide by the labels that count.")
class NotDivided(Gradient):
    def divided(self, dZ, counted):
        return dZ


@wrong_gradient("The gradient is divided by all places: ignored ones do not count.")
class DividedByAll(Gradient):
    def divided(self, dZ, counted):
        return dZ / counted.numel()


@wrong_gradient("Ignored places have a gradient: what is not in the loss has none, so it is 0 there.")
class IgnoredHaveOne(Gradient):
    def kept(self, dZ, counted):
        return dZ


@wrong_gradient(
    "The gradient is that of ln p: its sign is turned. It is softmax minus label, so that a step lowers the loss."
)
class SignTurned(Gradient):
    def difference(self, p, label):
        return label - p


@wrong_gradient("The label is not taken away: dZ is softmax(Z) minus 1 at the label.")
class SoftmaxAlone(Gradient):
    def difference(self, p, label):
        return p


@wrong_gradient(
    "Only the label's own score has a gradient: the other scores are in the softmax's sum, and have theirs."
)
class LabelAlone(Gradient):
    def difference(self, p, label):
        return (p - 1) * label


@wrong_gradient("The softmax runs over the tokens: it runs over the classes, the last dimension.")
class OverTokens(Gradient):
    def softmax(self, Z):
        return Z.softmax(1)


@wrong_gradient("Where no label counts the gradient is 0/0, NaN: it is 0 there.")
class NaNGradient(Gradient):
    def divided(self, dZ, counted):
        return dZ / counted.sum()


@wrong_gradient("exp overflows at scores near 1,000: take the largest score of a row away first, as `softmax` does.")
class GradientOverflows(Gradient):
    def softmax(self, Z):
        return Z.exp() / Z.exp().sum(-1, keepdim=True)


def by_log_softmax(Z, y, ignore_index):
    real = y != ignore_index
    picked = Z[real].log_softmax(-1)[torch.arange(int(real.sum()), device=Z.device), y[real]]
    return -picked.sum() / max(int(real.sum()), 1)


def by_scatter(Z, y, ignore_index):
    real = (y != ignore_index)[..., None]
    dZ = Z.softmax(-1).scatter_add(-1, y[..., None].where(real, 0), -torch.ones_like(Z[..., :1]))
    return dZ.masked_fill(~real, 0) / max(1, int(real.sum()))


def by_weights(Z, y, ignore_index):
    """A weight of 1 / n for each label that counts."""
    w = (y != ignore_index).to(Z.dtype)
    w = w / w.sum().clamp(min=1)
    label = (torch.arange(Z.shape[-1], device=Z.device) == y[..., None]).to(Z.dtype)
    return (w * (Z.logsumexp(-1) - (label * Z).sum(-1))).sum()


def by_shares(Z, y, ignore_index):
    """The share of each class, less all of it for the label."""
    w = (y != ignore_index).to(Z.dtype)
    e = (Z - Z.amax(-1, keepdim=True)).exp()
    share = e / e.sum(-1, keepdim=True)
    label = (torch.arange(Z.shape[-1], device=Z.device) == y[..., None]).to(Z.dtype)
    return (share - label) * (w / w.sum().clamp(min=1))[..., None]


TRUSTED.add_alternative("indexed", by_log_softmax, by_scatter)
TRUSTED.add_alternative("weighted", by_weights, by_shares)
