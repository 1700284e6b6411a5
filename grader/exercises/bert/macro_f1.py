"""F_c = 2 P_c R_c / (P_c + R_c); macro F1 is its mean over the classes that occur (Opitz and Burst 2019)."""

import torch

from grader.contract import Trusted

IGNORED = -100


def pairs_of(predictions, labels):
    return [(p, y) for p, y in zip(predictions.tolist(), labels.tolist(), strict=True) if y != IGNORED]


def by_class(pairs):
    """c -> true positives, predicted, true, for every class that occurs on either side."""
    return {
        c: (sum(p == y == c for p, y in pairs), sum(p == c for p, _ in pairs), sum(y == c for _, y in pairs))
        for c in sorted({c for pair in pairs for c in pair})
    }


def ratio(n, m):
    return n / m if m else 0.0


def harmonic(P, R):
    return ratio(2 * P * R, P + R)


def f1(both, predicted, true):
    return harmonic(ratio(both, predicted), ratio(both, true))


def mean(values):
    values = list(values)
    return ratio(sum(values), len(values))


def reference(predictions, labels):
    return mean(f1(*counts) for counts in by_class(pairs_of(predictions, labels)).values())


TRUSTED = Trusted(reference, budget="classes may be found, weighted, and dropped in several wrong ways")


def of_counts(average):
    """macro F1 with this way to make one number of the classes' counts."""

    def macro(predictions, labels):
        return average(by_class(pairs_of(predictions, labels)))

    return macro


(wrong_average,) = TRUSTED.one_by_one(of_counts)


@TRUSTED.mistake(
    "These are the numbers of the code that you were given: micro F1, which for one label a place is nothing but "
    "accuracy. Where does the formula of macro F1 have its sum? (It comes out again where each class counts once for "
    "every place, as in a set of tensors, none of which equals another.)"
)
def micro(predictions, labels):
    return mean(p == y for p, y in pairs_of(predictions, labels))


@wrong_average("Each class weighs as much as its labels: macro means that every class counts the same.")
def weighted(found):
    counts = found.values()
    return ratio(sum(true * f1(*rest, true) for *rest, true in counts), sum(true for *_, true in counts))


@wrong_average(
    "Classes count as 0 that occur neither among predictions nor among labels, such as numbers in between. They can "
    "be neither right nor wrong: leave them out."
)
def with_absent_classes(found):
    return sum(f1(*counts) for counts in found.values()) / (max(found, default=0) + 1)


@wrong_average(
    "Classes are left out that are predicted but never the label: every such prediction is an error, and the class's "
    "F1 is 0."
)
def of_the_labels(found):
    return mean(f1(*counts) for counts in found.values() if counts[2])


@wrong_average(
    "Classes are left out that are never predicted: a class that the model does not know at all would cost nothing. "
    "Its F1 is 0."
)
def of_the_predictions(found):
    return mean(f1(*counts) for counts in found.values() if counts[1])


@wrong_average(
    "Classes without a true positive are left out, as nanmean does with 0 / 0: their F1 is 0, and they count."
)
def of_the_known(found):
    return mean(f1(*counts) for counts in found.values() if counts[0])


@wrong_average(
    "The result is NaN where a class has no true positive: precision, recall or F1 becomes 0 / 0. F1 is 0 there. "
    "2 TP / (predicted + true) needs no special case."
)
def nan(found):
    return mean(f1(*counts) if counts[0] else float("nan") for counts in found.values())


@wrong_average(
    "You divide by 0 where a class has no true positive: precision, recall or F1 becomes 0 / 0. F1 is 0 there. "
    "2 TP / (predicted + true) needs no special case."
)
def divides_by_zero(found):
    pairs = [(both / predicted, both / true) for both, predicted, true in found.values()]
    return mean(2 * P * R / (P + R) for P, R in pairs)


@wrong_average(
    "Precision and recall are averaged over the classes first and combined once. That is another number (Opitz and "
    "Burst 2019): take F1 of each class, then average."
)
def of_averages(found):
    return harmonic(precision(found), recall(found))


@wrong_average("Recall is averaged over the classes (balanced accuracy): precision is missing.")
def recall(found):
    return mean(ratio(both, true) for both, _, true in found.values())


@wrong_average("Precision is averaged over the classes: recall is missing.")
def precision(found):
    return mean(ratio(both, predicted) for both, predicted, _ in found.values())


@wrong_average("This is F1 of class 1 alone: average over all classes.")
def of_class_one(found):
    return f1(*found.get(1, (0, 0, 0)))


@TRUSTED.mistake("-100 is taken for a class of its own: it says that there is no label. Drop these places first.")
def ignored_as_class(predictions, labels):
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    return mean(f1(*counts) for counts in by_class(pairs).values())


@TRUSTED.mistake(
    "Predictions at places whose label is -100 count as false: nobody knows whether they are. Drop these places first."
)
def ignored_as_errors(predictions, labels):
    pairs = list(zip(predictions.tolist(), labels.tolist(), strict=True))
    return mean(f1(*counts) for c, counts in by_class(pairs).items() if c != IGNORED)


@TRUSTED.mistake(
    "Classes count that are predicted only where there is no label: drop these places, then look for classes."
)
def classes_of_all_places(predictions, labels):
    found = by_class(pairs_of(predictions, labels))
    everywhere = {*predictions.tolist(), *labels.tolist()} - {IGNORED}
    return ratio(sum(f1(*counts) for counts in found.values()), len(everywhere))


@wrong_average("It breaks where no place has a label: it divides by the number of classes, 0. Give 0 there.")
def error_without_labels(found):
    return sum(f1(*counts) for counts in found.values()) / len(found)


@wrong_average("Half of what it should be: F1 counts what is right twice, 2 TP / (predicted + true).")
def half(found):
    return mean(f1(*counts) / 2 for counts in found.values())


@TRUSTED.alternative
def vectorised(predictions, labels):
    keep = labels != IGNORED
    p, y = predictions[keep], labels[keep]
    classes = torch.cat([p, y]).unique()
    if len(classes) == 0:
        return p.new_zeros((), dtype=torch.float32)
    P, Y = p == classes[:, None], y == classes[:, None]
    return (2 * (P & Y).sum(1) / (P.sum(1) + Y.sum(1))).mean()


@TRUSTED.alternative
def from_a_matrix(predictions, labels):
    p, y = predictions[labels >= 0], labels[labels >= 0]
    if p.numel() == 0:
        return 0.0
    C = int(torch.cat([p, y]).max()) + 1
    M = torch.bincount(y * C + p, minlength=C * C).view(C, C).double()
    both, n = M.diagonal(), M.sum(0) + M.sum(1)
    return (2 * both[n > 0] / n[n > 0]).mean().item()
