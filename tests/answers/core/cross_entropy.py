"""Answers to core.cross_entropy."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.cross_entropy",
    spared={
        "onward": "functions of their arguments, and no event after which they go on",
        "dependence": "nothing is drawn",
    },
)
wrong, right = ANSWERS.wrong, ANSWERS.right


def surprises(Z, y, ignore_index):
    """At each place, and which of them count."""
    counted = y != ignore_index
    labels = y.where(counted, 0)
    return Z.logsumexp(-1) - Z.gather(-1, labels[..., None])[..., 0], counted


def believed(Z, y, ignore_index):
    counted = y != ignore_index
    return Z.softmax(-1) - F.one_hot(y.where(counted, 0), Z.shape[-1]), counted


@wrong("far", "the logarithm of a softmax", true="LogOfSoftmax")
def log_of_softmax(Z, y, ignore_index):
    counted = y != ignore_index
    p = Z.softmax(-1).gather(-1, y.where(counted, 0)[..., None])[..., 0]
    return (-p.log()).where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("far", "the same, and a small number so that it is finite", told=r"scores far apart: .* is 2\d\.\d")
def with_a_small_number(Z, y, ignore_index):
    counted = y != ignore_index
    p = Z.softmax(-1).gather(-1, y.where(counted, 0)[..., None])[..., 0]
    return -(p + 1e-12).log().where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("far", "the exponentials are summed as they are", true="ExpOverflows")
def plain_exponentials(Z, y, ignore_index):
    counted = y != ignore_index
    score = Z.gather(-1, y.where(counted, 0)[..., None])[..., 0]
    return (Z.exp().sum(-1).log() - score).where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("far", "one maximum for all places: where scores lie far below it, all exponentials are 0")
def one_maximum(Z, y, ignore_index):
    counted = y != ignore_index
    Z = Z - Z.max()
    score = Z.gather(-1, y.where(counted, 0)[..., None])[..., 0]
    return (Z.exp().sum(-1).log() - score).where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("named", "a new 0 where none counts, from which no gradient flows", told="or it was made without them")
def a_new_zero(Z, y, ignore_index):
    nats, counted = surprises(Z, y, ignore_index)
    return nats[counted].mean() if counted.any() else torch.tensor(0.0)


@wrong("plain", "the mean over all places", true="OverAllPlaces")
def over_all(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    return surprise.where(counted, 0).mean()


@wrong("plain", "a mean for each row, and the mean of those", true="MeanOfMeans")
def mean_of_means(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    return (surprise.where(counted, 0).sum(1) / counted.sum(1).clamp(min=1)).mean()


@wrong("plain", "the sum", true="Sum")
def the_sum(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    return surprise.where(counted, 0).sum()


@wrong("named", "with torch's, which gives NaN where no place counts", true="NaNWhereNoneCounts")
def torchs(Z, y, ignore_index):
    return F.cross_entropy(Z.flatten(0, 1), y.flatten(), ignore_index=ignore_index)


@wrong("named", "what is negative does not count, whatever ignore_index says", told="a class: cross_entropy")
def negative_labels(Z, y, ignore_index):
    counted = y >= 0
    surprise = Z.logsumexp(-1) - Z.gather(-1, y.clamp(min=0, max=Z.shape[-1] - 1)[..., None])[..., 0]
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("named", "negative labels are looked up as 0: 999 is none of them", told="index 999 is out of bounds")
def clamped_labels(Z, y, ignore_index):
    counted = y != ignore_index
    surprise = Z.logsumexp(-1) - Z.gather(-1, y.clamp(min=0)[..., None])[..., 0]
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("named", "where no place counts a fresh 0 comes back, without a graph: backward() fails")
def fresh_zero(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    if not counted.any():
        return torch.zeros((), dtype=Z.dtype)
    return surprise[counted].mean()


@wrong("given", "labels that do not count are set to 0 in place", told="changes its input y in place")
def in_place(Z, y, ignore_index):
    counted = y != ignore_index
    y[~counted] = 0
    surprise = Z.logsumexp(-1) - Z.gather(-1, y[..., None])[..., 0]
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("plain", "a number, and no gradient", true="Detached")
def detached(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    return torch.tensor(surprise[counted].sum().item() / max(int(counted.sum()), 1), dtype=Z.dtype)


@wrong("plain", "logarithms of base 2: bits", told="is 1.443 times what is expected")
def in_bits(Z, y, ignore_index):
    surprise, counted = surprises(Z, y, ignore_index)
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1) / 0.6931471805599453


@wrong("large", "the first 64 places of a text", told="wrong where it is 70 or more")
def first_places(Z, y, ignore_index):
    surprise, counted = surprises(Z[:, :64], y[:, :64], ignore_index)
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("surroundings", "a seed is set, for the sake of order", told="sets the seed")
def seeded(Z, y, ignore_index):
    torch.manual_seed(0)
    surprise, counted = surprises(Z, y, ignore_index)
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("ones", "squeezed before the labels are looked up", told="wrong where it is 1")
def squeezed(Z, y, ignore_index):
    surprise, counted = surprises(Z.squeeze(), y.squeeze(), ignore_index)
    return surprise.where(counted, 0).sum() / counted.sum().clamp(min=1)


@wrong("plain", "not divided", at=1, true="NotDivided")
def undivided(Z, y, ignore_index):
    dZ, counted = believed(Z, y, ignore_index)
    return dZ * counted[..., None]


@wrong("plain", "divided by all places", at=1, true="DividedByAll")
def by_all(Z, y, ignore_index):
    dZ, counted = believed(Z, y, ignore_index)
    return dZ * counted[..., None] / counted.numel()


@wrong("named", "0 / 0 where no place counts", at=1, true="NaNGradient")
def unguarded(Z, y, ignore_index):
    dZ, counted = believed(Z, y, ignore_index)
    return dZ * counted[..., None] / counted.sum()


@wrong("plain", "ignored places learn class 0", at=1, true="IgnoredHaveOne")
def class_zero(Z, y, ignore_index):
    dZ, counted = believed(Z, y, ignore_index)
    return dZ / counted.sum().clamp(min=1)


@wrong("plain", "at ignored places the softmax is left", at=1, told="expected 0\\n")
def softmax_left(Z, y, ignore_index):
    counted = y != ignore_index
    hot = F.one_hot(y.where(counted, 0), Z.shape[-1]) * counted[..., None]
    return (Z.softmax(-1) - hot) / counted.sum().clamp(min=1)


@wrong("plain", "the other sign", at=1, true="SignTurned")
def uphill(Z, y, ignore_index):
    dZ, counted = believed(Z, y, ignore_index)
    return -dZ * counted[..., None] / counted.sum().clamp(min=1)


@wrong("far", "a softmax of plain exponentials", at=1, true="GradientOverflows")
def plain_softmax(Z, y, ignore_index):
    _, counted = believed(Z, y, ignore_index)
    p = Z.exp() / Z.exp().sum(-1, keepdim=True)
    hot = F.one_hot(y.where(counted, 0), Z.shape[-1])
    return (p - hot) * counted[..., None] / counted.sum().clamp(min=1)


@wrong("named", "as many classes as occur", at=1, told=r"hot is \(2, 6, 6\)")
def classes_that_occur(Z, y, ignore_index):
    counted = y != ignore_index
    hot = F.one_hot(y.where(counted, 0))
    return (Z.softmax(-1) - hot) * counted[..., None] / counted.sum().clamp(min=1)


BELIEVED = {}


@wrong("again", "the softmax is kept by the shape of the scores", at=1)
def kept_softmax(Z, y, ignore_index):
    p = BELIEVED.setdefault((Z.shape, Z.dtype), Z.softmax(-1))
    counted = y != ignore_index
    hot = F.one_hot(y.where(counted, 0), Z.shape[-1])
    return (p - hot) * counted[..., None] / counted.sum().clamp(min=1)


@wrong("unwatched", "torch's reverse mode, which the text says is off", at=1)
def by_torch(Z, y, ignore_index):
    with torch.enable_grad():
        leaf = Z.detach().clone().requires_grad_()
        loss = F.cross_entropy(leaf.flatten(0, 1), y.flatten(), ignore_index=ignore_index, reduction="sum")
        return torch.autograd.grad(loss, leaf)[0] / (y != ignore_index).sum().clamp(min=1)


@right
def by_nll(Z, y, ignore_index):
    logs = Z.log_softmax(-1).flatten(0, 1)
    return F.nll_loss(logs, y.flatten(), ignore_index=ignore_index, reduction="sum") / max(1, (y != ignore_index).sum())


@right
def selected(Z, y, ignore_index):
    Z, y = Z[y != ignore_index], y[y != ignore_index]  # (n, V), (n)
    Z = Z - Z.amax(-1, keepdim=True)
    return (Z.exp().sum(-1).log() - Z[torch.arange(len(y)), y]).sum() / max(len(y), 1)


@ANSWERS.right_at(1)
def scattered(Z, y, ignore_index):
    dZ, (rows, places) = torch.zeros_like(Z), (y != ignore_index).nonzero(as_tuple=True)
    for b, t in zip(rows.tolist(), places.tolist(), strict=True):
        p = Z[b, t].softmax(0)
        p[y[b, t]] -= 1
        dZ[b, t] = p / len(rows)
    return dZ


@ANSWERS.right_at(1)
def by_classes(Z, y, ignore_index):
    counted = y.ne(ignore_index)[..., None]
    hot = y[..., None] == torch.arange(Z.shape[-1])
    return ((Z - Z.logsumexp(-1, keepdim=True)).exp() - hot.to(Z)).masked_fill(~counted, 0) / max(
        counted.sum().item(), 1
    )
