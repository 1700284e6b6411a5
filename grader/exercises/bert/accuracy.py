"""Accuracy = right / labelled, where the first of the largest logits is the prediction."""

from grader.contract import Trusted

IGNORED = -100


def reference(logits, labels):
    right = total = 0
    for row, label in zip(logits.flatten(0, -2).tolist(), labels.flatten().tolist(), strict=True):
        if label != IGNORED:
            total += 1
            right += row.index(max(row)) == label
    return right / total if total else 0.0


def share(hits, labels):
    """The share of the labelled places that `hits` counts."""
    kept = labels != IGNORED
    return hits[kept].sum().item() / max(kept.sum().item(), 1)


TRUSTED = Trusted(reference)


@TRUSTED.mistake(
    "Places whose label is -100 are counted as wrong: they have no label, so they belong neither above nor below the "
    "fraction line."
)
def of_all_places(logits, labels):
    return (logits.argmax(-1) == labels).double().mean()


@TRUSTED.mistake(
    "The label -100 becomes class 0: where the model says 0 at such a place it is counted as right. There is no label."
)
def with_clamped_labels(logits, labels):
    return (logits.argmax(-1) == labels.clamp(min=0)).double().mean()


@TRUSTED.mistake(
    "A label is called right whose logit ties with the largest: a model that says the same for every class would be "
    "right everywhere. The prediction is one class, the first of the largest, as argmax gives it."
)
def ties_are_right(logits, labels):
    own = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return share(own == logits.amax(-1), labels)


@TRUSTED.mistake("The last of several largest logits is taken: argmax takes the first.")
def last_of_tied(logits, labels):
    return share(logits.shape[-1] - 1 - logits.flip(-1).argmax(-1) == labels, labels)


@TRUSTED.mistake(
    "The rows' own accuracies are averaged: a row with one label weighs as much as a row with many. Count right and "
    "labelled places over the whole batch."
)
def averaged_over_rows(logits, labels):
    if labels.dim() == 1:
        return reference(logits, labels)
    rows = [reference(x, y) for x, y in zip(logits, labels, strict=True) if (y != IGNORED).any()]
    return sum(rows) / max(len(rows), 1)


@TRUSTED.mistake("The accuracy is NaN where no place has a label: 0 / 0. Give 0 there.")
def nan_without_labels(logits, labels):
    return (logits.argmax(-1) == labels)[labels != IGNORED].double().mean()


@TRUSTED.mistake("You divide by 0 where no place has a label. Give 0 there.")
def error_without_labels(logits, labels):
    right = (logits.argmax(-1) == labels)[labels != IGNORED].tolist()
    return sum(right) / len(right)


@TRUSTED.mistake("This is the number of right places: divide by the number of labelled ones.")
def as_count(logits, labels):
    return (logits.argmax(-1) == labels)[labels != IGNORED].sum()


@TRUSTED.mistake("This is percent: a share between 0 and 1 is asked for.")
def in_percent(logits, labels):
    return 100 * reference(logits, labels)


@TRUSTED.mistake("The largest logit is taken along the wrong dimension: the classes are the last one.")
def over_the_wrong_dimension(logits, labels):
    return share(logits.argmax(-2) == labels, labels)


@TRUSTED.mistake(
    "argmax() without a dimension gives one number for all places, the place of the largest of all logits: ask for the "
    "last dimension, argmax(-1)."
)
def argmax_of_all(logits, labels):
    return share(logits.argmax() == labels, labels)


@TRUSTED.mistake("Class 0 is left out: it is a class like any other, and only -100 says that there is no label.")
def without_class_zero(logits, labels):
    return reference(logits, labels.masked_fill(labels == 0, IGNORED))


@TRUSTED.mistake(
    "The largest logits themselves, or the pair of values and indices that max(-1) gives, are compared with the "
    "labels, and so nothing is ever right: take argmax(-1), or the indices."
)
def values_for_indices(logits, labels):
    return 0.0


@TRUSTED.alternative
def vectorised(logits, labels):
    keep = labels != IGNORED
    right = (logits.argmax(dim=-1) == labels) & keep
    return right.sum() / keep.sum().clamp(min=1)


@TRUSTED.alternative
def from_a_list(logits, labels):
    pairs = list(zip(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), strict=True))
    hits = [bool(row.max(-1).indices == label) for row, label in pairs if label >= 0]
    return sum(hits) / len(hits) if hits else 0
