"""A class on paper: what grading would have left, without grading."""

from grader.grading.store import Outline
from grader.reporting.collecting import Attempt, Exercise, Gathered, Learner

FIRST, SECOND, THIRD = (
    Exercise(f"some.{name}", f"1.{i}", name.title(), 2.0, f"{i}. Section")
    for i, name in enumerate(("one", "two", "three"), 1)
)
EXERCISES = (FIRST, SECOND, THIRD)
STUB = Outline(0, 2, not_started=True)
RIGHT = Outline(2, 2)


def slip(name="slip", earned=0, sentence="Do not slip."):
    return Outline(earned, 2, name, sentence, (("values", "out differs"),))


def nameless(told="out differs", earned=0):
    return Outline(earned, 2, findings=(("values", told),))


def refused(told):
    return Outline(0, 2, refused=told)


def attempt(*outlines, **more):
    """A hand-in with these outlines; what follows them is untouched."""
    found = dict(zip((e.id for e in EXERCISES), (*outlines, *(STUB,) * 3), strict=False))
    return Attempt(more.pop("handed", "2026-09-07T08:00:00+00:00"), found, **more)


def learner(name, *attempts):
    return Learner(name, attempts)


def gathered(*learners, **more):
    return Gathered("01_some", "Some", EXERCISES, learners, **more)
