"""What is kept of a verdict for whoever looks at a whole class: bounded, and without the labels of cases."""

from __future__ import annotations

import re
from collections.abc import Collection

from coursekit.checking.report import PartResult, Verdict
from grader.grading.store import Outline

LONGEST = 300  # characters of one text: it may come from the learner's process
_TRACED = re.compile(r"line \d+, in ")


def outlined(verdict: Verdict, earned: float, possible: float, labels: Collection[str]) -> Outline:
    """The outline of a verdict; `labels` are those of the exercise's cases, public and hidden."""
    told = () if verdict.not_started or verdict.refused else verdict.parts
    return Outline(
        earned,
        possible,
        verdict.mistake,
        verdict.advice,
        tuple((part.name, _first(part, labels)) for part in told if part.findings),
        verdict.not_started,
        verdict.refused[:LONGEST],
    )


def _first(part: PartResult, labels: Collection[str]) -> str:
    """What is wrong in the part's first wrong case; of a traceback what was raised, not the learner's lines."""
    text = part.findings[0].removeprefix("hidden case, ")
    label = max((label for label in labels if text.startswith(f"{label}: ")), key=len, default=None)
    text = text if label is None else text[len(label) + 2 :]
    if _TRACED.match(text):
        text = text.rstrip().rpartition("\n")[2]
    return text[:LONGEST]
