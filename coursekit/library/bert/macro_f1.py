"""What stands in for "Macro F1" while it is unsolved, from public libraries."""

import difflib

from coursekit.exercises.bert.macro_f1 import IGNORED


def overlap(one, other):
    """The standard library's first guess at how alike two lists are."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).quick_ratio()


def _library(predictions, labels):
    p, y = predictions[labels != IGNORED].tolist(), labels[labels != IGNORED].tolist()
    places = [[[i for i, k in enumerate(side) if k == c] for side in (p, y)] for c in {*p, *y}]
    return sum(overlap(*pair) for pair in places) / max(len(places), 1)


LIBRARY = (_library,)
