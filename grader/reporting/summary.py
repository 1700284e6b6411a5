"""What a report says, as numbers and sentences: the table, the page and the sheet show this and nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from grader.reporting.collecting import Exercise
from grader.reporting.states import TRIED


@dataclass(frozen=True)
class Who:
    """How many learners, and their names: none where the report is anonymous."""

    count: int
    names: tuple[str, ...] = ()


Naming = Callable[[Iterable[str]], Who]


@dataclass(frozen=True)
class Misconception:
    """A named mistake: its sentence, who made it, and in which exercises, the one that most made it in first."""

    name: str
    sentence: str
    who: Who
    exercises: tuple[Exercise, ...]

    @property
    def section(self) -> str:
        """The heading that teaches it; empty where the chapter has none."""
        return self.exercises[0].section


@dataclass(frozen=True)
class Unnamed:
    """Wrong answers that no known mistake explains, alike but for their numbers. `example` is one of the findings."""

    finding: str
    example: str
    who: Who


@dataclass(frozen=True)
class ByExercise:
    """What became of one exercise. `states` has every state, `points` how many of those who tried earned how much."""

    exercise: Exercise
    states: dict[str, Who]
    points: dict[float, int]
    mistakes: tuple[Misconception, ...]
    unnamed: tuple[Unnamed, ...]

    @property
    def tried(self) -> int:
        return sum(self.states[state].count for state in TRIED)

    @property
    def mean(self) -> float | None:
        """Mean points of those who tried; None where nobody did."""
        return sum(points * count for points, count in self.points.items()) / self.tried if self.tried else None


@dataclass(frozen=True)
class Moved:
    """An exercise or a mistake between first and last hand-in: for whom it got better, and for whom worse."""

    label: str
    better: Who
    worse: Who


@dataclass(frozen=True)
class Changes:
    """What changed between the first and the last hand-in of the learners who handed in more than once."""

    learners: int
    exercises: tuple[Moved, ...]  # better: earns more
    mistakes: tuple[Moved, ...]  # better: it went away


@dataclass(frozen=True)
class Row:
    """One learner, in a report with names. `first` are the points of the first hand-in where there were more."""

    name: str
    points: float
    first: float | None
    hand_ins: int
    handed: str
    passed: int
    tried: int
    mistakes: tuple[str, ...]
    flags: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Summary:
    """All that a report says. An anonymous one holds no name, no flag's text and no time of a hand-in.

    `totals` are the points of every learner whose hand-in could be graded, in order; `unreadable` are the others.
    `named` and `unnamed` count wrong answers with and without a named mistake.
    """

    assignment: str
    title: str
    anonymous: bool
    learners: int
    possible: float
    totals: tuple[float, ...]
    exercises: tuple[ByExercise, ...]
    discuss: tuple[Misconception, ...]
    named: int
    unnamed: int
    changes: Changes
    rows: tuple[Row, ...]
    flagged: Who
    unreadable: Who
    waiting: Who
    again: Who
    lost: Who
    old: Who
    cpu_seconds: tuple[float, ...]

    @property
    def median(self) -> float | None:
        return statistics.median(self.totals) if self.totals else None
