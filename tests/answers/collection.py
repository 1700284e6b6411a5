"""Answers to the exercises by readers who did not write the exercises' mistakes: wrong ones, and unusual right ones.

A file an exercise, or one for each reader, `tests/answers/attention/sdpa.py`:

    ANSWERS = Answers("attention.sdpa", spared={"given": "nothing is handed in that could be replaced"})

    @ANSWERS.wrong("far", says="one maximum for all rows: far below it, exp gives 0", told="NaN")
    def one_maximum(Q, K, V): ...

    @ANSWERS.right
    def in_one_einsum(Q, K, V): ...
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from coursekit.checking import store
from coursekit.checking.checks import verdict_on
from coursekit.checking.judging import judge
from coursekit.checking.report import Verdict
from coursekit.checking.symptoms import AND
from coursekit.exercises import find
from grader.drawing import draw, known_mistakes, outcomes_of
from grader.exercises import trusted

FOLDER = Path(__file__).parent
CPU = torch.device("cpu")
T = TypeVar("T")

# Ways in which an answer can be wrong that small, fresh, well-behaved cases do not show.
KINDS = {
    "given": "what was handed in is replaced, copied or altered, where it was to be used as it is",
    "again": "right at the first call only: something of it is kept, on the object, its class or the module",
    "onward": "right up to the first event, and wrong when it goes on",
    "ones": "a dimension of size 1 is lost, or taken for another",
    "far": "numbers far apart within one slice",
    "large": "right for small sizes only",
    "named": "inputs that the text names or allows, and that are not the usual ones",
    "surroundings": "the process or the objects around are left otherwise than they were",
    "dependence": "right on average: draws that depend on each other, on order or on place",
    "unwatched": "what is watched is gone around",
    "plain": "none of these: an ordinary slip",
}


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: its kind, what is wrong in words, and what a report may and must say of it.

    `true` are names of known mistakes whose sentences hold for it, `told` is a pattern that the report holds, for it
    tells the real error; empty where the report only shows numbers. `advice` is a pattern of what else may be said of
    it where no mistake is named: true of it, and not the error itself.
    """

    name: str
    kind: str
    says: str
    true: tuple[str, ...]
    told: str
    advice: str
    objects: tuple[Any, ...]


@dataclass
class Answers:
    """What was written for one exercise. `spared` says of each kind without a wrong answer why it cannot have one."""

    exercise: str
    spared: dict[str, str] = field(default_factory=dict)
    wrongs: list[Wrong] = field(default_factory=list)
    rights: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def wrong(
        self, kind: str, says: str, *, true: str = "", told: str = "", advice: str = "", at: int = 0
    ) -> Callable[[T], T]:
        """Register the decorated object as wrong; `true` names mistakes, with spaces between.

        Where the exercise takes several objects, `at` is this one's place among the reference's.
        """
        assert kind in KINDS, f"found the kind {kind!r}, expected one of {', '.join(KINDS)}"

        def register(obj: T) -> T:
            objects = self._objects(obj, at)
            self.wrongs.append(Wrong(_name(obj), kind, says, tuple(true.split()), told, advice, objects))
            return obj

        return register

    def right(self, obj: T) -> T:
        """Register the decorated object as right."""
        return self.right_at(0)(obj)

    def right_at(self, at: int) -> Callable[[T], T]:
        """The same, for the object at that place among several."""

        def register(obj: T) -> T:
            self.rights[_name(obj)] = self._objects(obj, at)
            return obj

        return register

    def _objects(self, obj: Any, at: int) -> tuple[Any, ...]:
        """The objects of one answer: the decorated one in its place among the reference's; a tuple is all of them."""
        reference = trusted(self.exercise).reference
        return obj if isinstance(obj, tuple) else (*reference[:at], obj, *reference[at + 1 :])


def _name(obj: Any) -> str:
    return "+".join(o.__name__ for o in obj) if isinstance(obj, tuple) else obj.__name__


def graded(exercise_id: str, objects: tuple[Any, ...], seed: int) -> Verdict:
    """The verdict as grading gives it: public cases and those of a seed, which are hidden."""
    exercise, secret, public = find(exercise_id), trusted(exercise_id), store.load(exercise_id)
    drawn = draw(exercise, secret, seed)
    cases = (*public.cases, *drawn.cases)
    outcomes = (*outcomes_of(exercise, objects, public.cases), *outcomes_of(exercise, objects, drawn.cases))
    first = judge(exercise, cases, outcomes, (*public.expected, *drawn.expected), public.mistakes)
    if first.full or first.mistake:
        return first
    hidden = known_mistakes(exercise, secret, drawn.cases)
    return judge(exercise, drawn.cases, outcomes[len(public.cases) :], drawn.expected, hidden)


def in_notebook(exercise_id: str, objects: tuple[Any, ...]) -> Verdict:
    """The verdict as a learner sees it."""
    return verdict_on(find(exercise_id), objects, store.load(exercise_id), CPU)


def is_told(wrong: Wrong, verdict: Verdict) -> bool:
    """Whether the report tells the real error: by a mistake that is true of it, or in other words."""
    return verdict.mistake in wrong.true or bool(wrong.told and re.search(wrong.told, verdict.text()))


def unvouched(wrong: Wrong, verdict: Verdict) -> list[str]:
    """The sentences said of an answer that nobody has read and found true of it."""
    if verdict.mistake:
        return [] if verdict.mistake in wrong.true else [verdict.advice]
    said = re.split(rf"{AND}(?![^(]*\))", verdict.advice) if verdict.advice else []
    return [one for one in said if not any(p and re.search(p, one) for p in (wrong.told, wrong.advice))]


def collections() -> Iterator[Answers]:
    """Those of every exercise, in order; of several files (`overlap.py`, `overlap_second.py`) together."""
    together: dict[str, Answers] = {}
    for found in _of_files():
        answers = together.setdefault(found.exercise, Answers(found.exercise))
        answers.spared |= found.spared
        answers.wrongs += found.wrongs
        answers.rights |= found.rights
    yield from together.values()


def _of_files() -> Iterator[Answers]:
    for path in sorted(FOLDER.glob("*/*.py")):
        spec = importlib.util.spec_from_file_location(f"tests.answers.{path.parent.name}.{path.stem}", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module.ANSWERS
