"""Answers to bert.macro_f1."""

from collections import Counter
from fractions import Fraction

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.macro_f1",
    spared={
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
        "far": "classes are names, and no arithmetic is done with them",
    },
)
wrong = ANSWERS.wrong


def mean_f(predictions, labels, classes):
    f = []
    for c in classes:
        both = ((predictions == c) & (labels == c)).sum().item()
        of = (predictions == c).sum().item() + (labels == c).sum().item()
        f.append(2 * both / of if of else 0.0)
    return sum(f) / len(f) if f else 0.0


def kept(predictions, labels):
    keep = labels != -100
    return predictions[keep], labels[keep]


@wrong("plain", "places without a label count among the predictions", true="ignored_as_errors")
def ignored_predictions_count(predictions, labels):
    classes = torch.cat([predictions, labels[labels != -100]]).unique()
    return mean_f(predictions, labels, classes)


@wrong("plain", "-100 is a class", true="ignored_as_class")
def a_class_of_its_own(predictions, labels):
    return mean_f(predictions, labels, torch.cat([predictions, labels]).unique())


@wrong("named", "only classes of the labels", true="of_the_labels")
def of_the_labels(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, y.unique())


@wrong("named", "only classes of the predictions", true="of_the_predictions")
def of_the_predictions(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, p.unique())


@wrong("named", "only classes that are predicted and true", true="of_the_known")
def of_both(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, {*p.tolist()} & {*y.tolist()})


@wrong("named", "all classes from 0 to the largest, also those that do not occur", true="with_absent_classes")
def up_to_the_largest(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, range(max([0, *p.tolist(), *y.tolist()]) + 1))


@wrong("named", "classes weighted by how often they are true, scikit-learn's average='weighted'", true="weighted")
def weighted(predictions, labels):
    p, y = kept(predictions, labels)
    if not len(y):
        return 0.0
    return sum(mean_f(p, y, [c]) * n for c, n in Counter(y.tolist()).items()) / len(y)


@wrong("named", "micro F1, which is the accuracy", true="micro")
def micro(predictions, labels):
    p, y = kept(predictions, labels)
    return (p == y).float().mean().item() if len(y) else 0.0


@wrong("named", "without any label the mean of nothing is NaN", told="no label at all: macro F1 is NaN")
def nothing_left(predictions, labels):
    p, y = kept(predictions, labels)
    f = [mean_f(p, y, [c]) for c in torch.cat([p, y]).unique().tolist()]
    return torch.tensor(f).mean()


@wrong("named", "precision over recall: 0 / 0 where nothing is right", true="nan")
def by_precision_and_recall(predictions, labels):
    p, y = kept(predictions, labels)
    f = []
    for c in torch.cat([p, y]).unique():
        both = ((p == c) & (y == c)).sum()
        P, R = both / (p == c).sum(), both / (y == c).sum()
        f.append(2 * P * R / (P + R))
    return torch.stack(f).mean() if f else 0.0


@wrong("plain", "F of the mean precision and the mean recall", true="of_averages")
def f_of_means(predictions, labels):
    p, y = kept(predictions, labels)
    classes = torch.cat([p, y]).unique().tolist()
    if not classes:
        return 0.0
    P = sum(((p == c) & (y == c)).sum().item() / max((p == c).sum().item(), 1) for c in classes) / len(classes)
    R = sum(((p == c) & (y == c)).sum().item() / max((y == c).sum().item(), 1) for c in classes) / len(classes)
    return 2 * P * R / (P + R) if P + R else 0.0


@wrong("ones", "with one place left, squeeze leaves a tensor without dimensions: no class is found", told="one place")
def squeezes(predictions, labels):
    p, y = (x.squeeze() for x in kept(predictions, labels))
    if not p.dim():
        return 0.0
    return mean_f(p, y, torch.cat([p, y]).unique())


@wrong("large", "a table of ten classes", told="many classes")
def ten_classes(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, [c for c in torch.cat([p, y]).unique().tolist() if c < 10])


@wrong(
    "given", "the predictions are set to -100 in place where there is no label", told="changes its input predictions"
)
def changes_predictions(predictions, labels):
    predictions[labels == -100] = -100
    p, y = kept(predictions, labels)
    return mean_f(p, y, torch.cat([p, y]).unique())


CLASSES = set()


@wrong("again", "classes of earlier calls are remembered", told="keeps something from one call")
def remembers(predictions, labels):
    p, y = kept(predictions, labels)
    CLASSES.update(p.tolist(), y.tolist())
    return mean_f(p, y, CLASSES) if len(y) else 0.0


@wrong("surroundings", "the default dtype is changed for more digits", told="default dtype")
def more_digits(predictions, labels):
    torch.set_default_dtype(torch.float64)
    p, y = kept(predictions, labels)
    return mean_f(p, y, torch.cat([p, y]).unique())


@wrong("plain", "a factor 2 is missing", true="half")
def half(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, torch.cat([p, y]).unique()) / 2


@wrong(
    "plain",
    "two slips: classes of the labels only, and places without a label are kept among the predictions",
    true="of_the_labels ignored_as_errors",
)
def two_slips(predictions, labels):
    y = labels[labels != -100]
    return mean_f(predictions, labels, y.unique())


@ANSWERS.right
def with_a_table(predictions, labels):
    p, y = kept(predictions, labels)
    n = int(max(p.tolist() + y.tolist(), default=-1)) + 1
    if not n:
        return 0
    table = torch.bincount(y * n + p, minlength=n * n).view(n, n).double()
    of = table.sum(0) + table.sum(1)
    return (2 * table.diagonal() / of)[of > 0].mean()


@ANSWERS.right
def with_counters(predictions, labels):
    pairs = [(p, y) for p, y in zip(predictions.tolist(), labels.tolist(), strict=True) if y != -100]
    predicted, true = Counter(p for p, _ in pairs), Counter(y for _, y in pairs)
    both = Counter(p for p, y in pairs if p == y)
    classes = predicted.keys() | true.keys()
    return np.float64(sum(2 * both[c] / (predicted[c] + true[c]) for c in classes) / max(len(classes), 1))


@ANSWERS.right
def harmonic(predictions, labels):
    p, y = kept(predictions, labels)
    f = []
    for c in sorted({*p.tolist(), *y.tolist()}):
        both = int(((p == c) & (y == c)).sum())
        f.append(0.0 if both == 0 else 2 / (int((p == c).sum()) / both + int((y == c).sum()) / both))
    return float(np.mean(f)) if f else 0.0


# A second round.


@wrong("plain", "the smallest F, not their mean")
def smallest(predictions, labels):
    p, y = kept(predictions, labels)
    return min((mean_f(p, y, [c]) for c in {*p.tolist(), *y.tolist()}), default=0.0)


@wrong("plain", "recall of each class, averaged", true="recall")
def mean_recall(predictions, labels):
    p, y = kept(predictions, labels)
    r = [((p == c) & (y == c)).sum().item() / max((y == c).sum().item(), 1) for c in {*p.tolist(), *y.tolist()}]
    return sum(r) / len(r) if r else 0.0


@wrong("named", "class 0 is no class, as O in tagging")
def without_class_zero(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, {*p.tolist(), *y.tolist()} - {0})


@wrong(
    "named", "everything is dropped where the prediction is wrong at a place without a label", true="of_the_predictions"
)
def drops_by_prediction(predictions, labels):
    keep = (labels >= 0) | (predictions == labels)
    p, y = predictions[keep], labels[labels >= 0]
    return mean_f(p, y, p.unique())


@ANSWERS.right
def with_sets(predictions, labels):
    f = {}
    for i, (p, y) in enumerate(zip(predictions.tolist(), labels.tolist(), strict=True)):
        if y != -100:
            f.setdefault(p, (set(), set()))[0].add(i)
            f.setdefault(y, (set(), set()))[1].add(i)
    return sum(2 * len(a & b) / (len(a) + len(b)) for a, b in f.values()) / len(f) if f else False


def all_f(predictions, labels):
    p, y = kept(predictions, labels)
    return [mean_f(p, y, [c]) for c in torch.cat([p, y]).unique()]


@wrong(
    "named",
    "classes of all places, those without a label too; counts of the labelled ones",
    true="classes_of_all_places",
)
def classes_of_all(predictions, labels):
    classes = [c for c in torch.cat([predictions, labels]).unique() if c != -100]
    return mean_f(*kept(predictions, labels), classes)


@wrong("plain", "a set of tensors, each of which is an element of its own", true="micro")
def set_of_tensors(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, set(torch.cat([p, y])))


@wrong("plain", "every place votes: classes that come often count more", true="micro")
def place_by_place(predictions, labels):
    p, y = kept(predictions, labels)
    return mean_f(p, y, list(torch.cat([p, y])))


@wrong("plain", "per cent", told="is 100 times what is expected")
def per_cent(predictions, labels):
    F = all_f(predictions, labels)
    return 100 * sum(F) / max(len(F), 1)


@wrong("named", "precision and recall by division, and nanmean", true="of_the_known")
def divided(predictions, labels):
    p, y = kept(predictions, labels)
    classes = torch.cat([p, y]).unique()
    both = torch.tensor([((p == c) & (y == c)).sum() for c in classes])
    P = both / torch.tensor([(p == c).sum() for c in classes])
    R = both / torch.tensor([(y == c).sum() for c in classes])
    return (2 * P * R / (P + R)).nanmean().nan_to_num(0).item()


@wrong("plain", "rounded to two digits")
def two_digits(predictions, labels):
    F = all_f(predictions, labels)
    return round(sum(F) / max(len(F), 1), 2)


@wrong("plain", "divided by one class less, as a sample's variance is")
def one_class_less(predictions, labels):
    F = all_f(predictions, labels)
    return sum(F) / max(len(F) - 1, 1)


@wrong("plain", "the median of F")
def median(predictions, labels):
    F = all_f(predictions, labels)
    return sorted(F)[len(F) // 2] if F else 0.0


@wrong("plain", "the sum of F")
def not_divided(predictions, labels):
    return sum(all_f(predictions, labels))


@wrong("plain", "2 both / max(predicted, true)")
def by_the_larger(predictions, labels):
    p, y = kept(predictions, labels)
    F = []
    for c in torch.cat([p, y]).unique():
        F.append(((p == c) & (y == c)).sum().item() / max((p == c).sum().item(), (y == c).sum().item()))
    return sum(F) / max(len(F), 1)


@wrong("plain", "the division comes first and the sum is of whole numbers")
def whole_numbers(predictions, labels):
    p, y = kept(predictions, labels)
    classes = torch.cat([p, y]).unique()
    F = [2 * ((p == c) & (y == c)).sum() // ((p == c).sum() + (y == c).sum()) for c in classes]
    return float(sum(F)) / max(len(F), 1)


@ANSWERS.right
def by_broadcasting(predictions, labels):
    p, y = (x[labels.ne(-100)] for x in (predictions, labels))
    C = torch.unique(torch.hstack([p, y]))[:, None]
    is_p, is_y = (p == C).double(), (y == C).double()
    F = 2 * (is_p * is_y).sum(1) / (is_p.sum(1) + is_y.sum(1))
    return F.mean().item() if len(F) else 0


@ANSWERS.right
def one_sum_less(predictions, labels):
    """The given function, for one class after the other against the rest."""
    p, y = kept(predictions, labels)
    total, n = 0.0, 0
    for c in {*p.tolist(), *y.tolist()}:
        right, wrong_ones = ((p == c) & (y == c)).sum(), ((p == c) ^ (y == c)).sum()
        total, n = total + right / (right + wrong_ones / 2), n + 1
    return total / n if n else 0.0


@ANSWERS.right
def in_fractions(predictions, labels):
    pairs = [(p, y) for p, y in zip(predictions.tolist(), labels.tolist(), strict=True) if y != -100]
    both, of = Counter(p for p, y in pairs if p == y), Counter(c for pair in pairs for c in pair)
    return float(sum(Fraction(2 * both[c], n) for c, n in of.items()) / max(len(of), 1))


@wrong("plain", "accuracy of each class, averaged over the classes of the labels")
def per_class_accuracy(predictions, labels):
    p, y = kept(predictions, labels)
    shares = [((p == c) == (y == c)).float().mean().item() for c in torch.cat([p, y]).unique()]
    return sum(shares) / max(len(shares), 1)


@wrong("named", "0.0 as soon as one class has no right place, as a product would")
def geometric(predictions, labels):
    F = all_f(predictions, labels)
    return float(np.prod(F)) ** (1 / len(F)) if F else 0.0


@wrong("named", "everything negative is no label, predictions too")
def drops_negatives_and_zero(predictions, labels):
    keep = labels > 0
    p, y = predictions[keep], labels[keep]
    return mean_f(p, y, torch.cat([p, y]).unique())


@wrong("again", "a memory of what was asked before, by the number of places")
def remembered(predictions, labels):
    return _SEEN.setdefault(len(labels), sum(F := all_f(predictions, labels)) / max(len(F), 1))


_SEEN = {}


@ANSWERS.right
def of_jaccard(predictions, labels):
    """F from the share of the union: 2J / (1 + J)."""
    p, y = kept(predictions, labels)
    F = []
    for c in torch.cat([p, y]).unique():
        J = ((p == c) & (y == c)).sum() / ((p == c) | (y == c)).sum()
        F.append(2 * J / (1 + J))
    return torch.stack(F).mean() if F else torch.tensor(0.0)
