"""What one hand-in says of one exercise, in one word."""

from __future__ import annotations

from grader.grading.outlining import LONGEST
from grader.grading.store import Outline
from grader.reporting.collecting import NOT_KEPT, Attempt

PASSED, PARTLY, WRONG, UNJUDGED, UNTOUCHED = "passed", "in part", "no points", "no verdict", "not started"
STATES = (PASSED, PARTLY, WRONG, UNJUDGED, UNTOUCHED)
TRIED = (PASSED, PARTLY, WRONG)
REJECTED = (PARTLY, WRONG)
_NO_FINDING = "what was found was not kept"


def state(attempt: Attempt, exercise_id: str) -> str:
    """One of STATES. What a check refuses was tried; what was not reached, or could not be graded, has no verdict."""
    outline = attempt.exercises.get(exercise_id)
    if outline is None or outline.refused == NOT_KEPT:
        return UNJUDGED
    if outline.refused:
        return UNJUDGED if outline.refused == attempt.reason[:LONGEST] else WRONG
    if outline.not_started:
        return UNTOUCHED
    if outline.earned >= outline.possible:
        return PASSED
    return PARTLY if outline.earned else WRONG


def finding(outline: Outline) -> str:
    """What the learner has to mend first where no mistake is named."""
    return outline.refused or next((told for _, told in outline.findings), _NO_FINDING)


def total(attempt: Attempt) -> float:
    """Points of all exercises; what a person marks is not among them."""
    return sum(outline.earned for outline in attempt.exercises.values())


def judged(attempt: Attempt) -> bool:
    """Whether anything of the hand-in could be graded."""
    return not attempt.reason or not all(outline.refused for outline in attempt.exercises.values())
