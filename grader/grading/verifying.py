"""Judge what a kernel handed over, in a process that has never run the learner's code."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from coursekit.checking import store
from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.findings import finding
from coursekit.checking.handover import Unreadable, read
from coursekit.checking.judging import UNMEASURED, judge, measured, not_started, refused
from coursekit.checking.observing import Outcome
from coursekit.checking.report import Verdict
from coursekit.exercises import find
from grader.drawing import Drawn, known_mistakes, reference_outputs
from grader.exercises import trusted

FLAG_LIMIT = 500  # characters
FEW = 4096  # numbers that are measured, however few a right answer hands over: a wrong one is told by what it did


class Broken(RuntimeError):
    """An exercise's reference or mistakes fail: the author must mend it before anybody is graded."""


@dataclass(frozen=True)
class Verified:
    """The verdict on one exercise, and what the instructor should know about the file that was handed over."""

    verdict: Verdict
    flag: str = ""


def verify(exercise_id: str, secret: Drawn, data: bytes | None, ended: str = "") -> Verified:
    """The verdict on one exercise from the bytes that the kernel left; never raises for what is in them.

    An exercise earns a part's points when the public and the secret cases of the part all pass. `ended` says why
    the kernel stopped early, for the report of an exercise that was not reached. Raises Broken where the exercise
    itself is at fault.
    """
    try:
        return _verified(exercise_id, secret, data, ended)
    except Broken:
        raise  # not the learner's: nobody may lose points by it
    except Exception as error:
        sentence = "what was handed over cannot be judged"
        flag = f"{exercise_id}: {sentence}: {type(error).__name__}: {error}"[:FLAG_LIMIT]
        return Verified(refused(find(exercise_id), sentence), flag)


def _verified(exercise_id: str, secret: Drawn, data: bytes | None, ended: str) -> Verified:
    exercise, public = find(exercise_id), known(exercise_id)
    if data is None:
        return Verified(refused(exercise, ended or "the check handed over no result"))
    cases = (*public.cases, *secret.cases)
    try:
        handed = read(data, cases, lambda i: _right(exercise, secret, i))
    except Unreadable as error:
        sentence = "the result that was handed over cannot be read"
        return Verified(refused(exercise, sentence), f"{exercise_id}: {sentence}: {error}")
    if handed.refused:
        return Verified(refused(exercise, handed.refused))
    if not_started(handed.outcomes):  # nothing to compare: what is right on the secret cases is not computed
        return Verified(judge(exercise, public.cases, handed.outcomes[: len(public.cases)], public.expected, ()))
    outcomes = [
        _measured(exercise, case, outcome, _right(exercise, secret, i) if exercise.measure else {})
        for i, (case, outcome) in enumerate(zip(cases, handed.outcomes, strict=True))
    ]
    expected = (*public.expected, *_expected(secret))
    verdict = judge(exercise, cases, outcomes, expected, public.mistakes)
    if not verdict.full and not _wrong(exercise, public, outcomes):
        # Only hidden cases are wrong: what the mistakes do on those has to be seen first.
        with broken(exercise_id):
            hidden = known_mistakes(exercise, trusted(exercise_id), secret.cases)
        both = [
            replace(one, outcomes=(*one.outcomes, *two.outcomes))
            for one, two in zip(public.mistakes, hidden, strict=True)
        ]
        verdict = judge(exercise, cases, outcomes, expected, both)
    return Verified(verdict)


@functools.cache
def known(exercise_id: str) -> store.Known:
    """The public tensors, read once in a process that grades many submissions."""
    return store.load(exercise_id)


def _right(exercise: Exercise, secret: Drawn, i: int) -> Outputs:
    """What a right answer hands over on case i, the public ones first."""
    seen = len(known(exercise.id).cases)
    with broken(exercise.id):
        return _public_outputs(exercise.id, i) if i < seen else secret.outputs[i - seen]


def _expected(secret: Drawn) -> tuple[Outputs, ...]:
    with broken(secret.exercise.id):
        return secret.expected


@contextlib.contextmanager
def broken(exercise_id: str) -> Iterator[None]:
    """An error in here is the exercise's own: it is raised as Broken."""
    try:
        yield
    except Exception as error:
        raise Broken(f"{exercise_id} cannot be graded: {type(error).__name__}: {error}") from error


@functools.cache
def _public_outputs(exercise_id: str, i: int) -> Outputs:
    return reference_outputs(find(exercise_id), trusted(exercise_id), known(exercise_id).cases[i])


def _wrong(exercise: Exercise, public: store.Known, outcomes: Sequence[Outcome]) -> bool:
    """Whether a public case is wrong."""
    return any(map(functools.partial(finding, exercise), public.cases, outcomes, public.expected))


def _measured(exercise: Exercise, case: Case, outcome: Outcome, like: Outputs) -> Outcome:
    """The outcome measured here: a measurement from the kernel could be forged, and so could what it is made of."""
    if outcome.outputs is None:
        return outcome
    if any(_forged(outcome.outputs[name], value) for name, value in like.items()):
        return replace(outcome, outputs=None, kind="measurement", problem=UNMEASURED)
    found = measured(exercise, case, outcome)
    numbers = (v for n, v in (found.outputs or {}).items() if exercise.measure and n.startswith("_"))
    if not all(value.isfinite().all() for value in numbers):
        return replace(outcome, outputs=None, kind="measurement", problem=UNMEASURED)
    return found


def _forged(value: Tensor, like: Tensor) -> bool:
    return value.is_complex() or value.numel() > max(4 * like.numel(), FEW)
