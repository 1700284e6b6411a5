"""What changed between hand-ins: the first and the last one that could be graded, learner by learner."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from grader.reporting.collecting import Attempt, Gathered
from grader.reporting.states import judged
from grader.reporting.summary import Changes, Moved, Naming

Sides = tuple[list[str], list[str]]  # for whom it got better, for whom worse


def changes(gathered: Gathered, who: Naming) -> Changes:
    """The exercises and mistakes that moved, those that moved for most learners first."""
    compared = dict(_compared(gathered))
    points: dict[str, Sides] = defaultdict(lambda: ([], []))
    mistakes: dict[str, Sides] = defaultdict(lambda: ([], []))
    for name, (first, last) in compared.items():
        for exercise in gathered.exercises:
            gained = _earned(last, exercise.id) - _earned(first, exercise.id)
            if gained:
                points[exercise.name][gained < 0].append(name)
        for mistake in _mistakes(first) ^ _mistakes(last):
            mistakes[mistake][mistake in _mistakes(last)].append(name)
    order = {exercise.name: place for place, exercise in enumerate(gathered.exercises)}
    return Changes(
        len(compared),
        tuple(sorted(_moved(points, who), key=lambda moved: order[moved.label])),
        tuple(sorted(_moved(mistakes, who), key=lambda moved: (-moved.better.count - moved.worse.count, moved.label))),
    )


def _compared(gathered: Gathered) -> Iterator[tuple[str, tuple[Attempt, Attempt]]]:
    for learner in gathered.learners:
        attempts = [attempt for attempt in learner.attempts if judged(attempt)]
        if len(attempts) > 1 and attempts[-1] is learner.present:
            yield learner.name, (attempts[0], attempts[-1])


def _moved(sides: dict[str, Sides], who: Naming) -> Iterator[Moved]:
    return (Moved(label, who(better), who(worse)) for label, (better, worse) in sides.items())


def _earned(attempt: Attempt, exercise_id: str) -> float:
    outline = attempt.exercises.get(exercise_id)
    return outline.earned if outline else 0.0


def _mistakes(attempt: Attempt) -> set[str]:
    """By their sentences, which is what a teacher reads; by their names where no sentence was kept."""
    return {outline.advice or outline.mistake for outline in attempt.exercises.values() if outline.mistake}
