"""Judge what a kernel handed over, in a process that has never run the learner's code."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from coursekit.checking import store
from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.handover import Unreadable, read
from coursekit.checking.judging import judge
from coursekit.checking.observing import Outcome
from coursekit.checking.probing import Wrong
from coursekit.checking.report import PartResult, Verdict
from coursekit.exercises import find
from grader.drawing import Drawn, known_mistakes, reference_outputs
from grader.exercises import trusted


@dataclass(frozen=True)
class Verified:
    """The verdict on one exercise, and what the instructor should know about the file that was handed over."""

    verdict: Verdict
    flag: str = ""


def verify(exercise_id: str, secret: Drawn, data: bytes | None, ended: str = "") -> Verified:
    """The verdict on one exercise from the bytes that the kernel left; never raises for what is in them.

    An exercise earns a part's points when the public and the secret cases of the part all pass. `ended` says why
    the kernel stopped early, for the report of an exercise that was not reached.
    """
    exercise = find(exercise_id)
    if data is None:
        return Verified(_refused(exercise, ended or "the check handed over no result"))
    seen = len(known(exercise_id).cases)

    def right(i: int) -> Outputs:
        if exercise.measure:
            return _public_outputs(exercise_id, i % seen)  # secret cases are the public ones with other numbers
        return _public_outputs(exercise_id, i) if i < seen else secret.outputs[i - seen]

    try:
        handed = read(data, seen + len(secret.cases), right)
    except Unreadable as error:
        sentence = "the result that was handed over cannot be read"
        return Verified(_refused(exercise, sentence), f"{exercise_id}: {sentence}: {error}")
    if handed.refused:
        return Verified(_refused(exercise, handed.refused))
    outcomes: Sequence[Outcome] = handed.outcomes
    if exercise.measure:
        cases = (*known(exercise_id).cases, *secret.cases)
        outcomes = [_measured(exercise, *each, right(i)) for i, each in enumerate(zip(cases, outcomes, strict=True))]
    return Verified(_verdict(exercise, secret, outcomes))


@functools.cache
def known(exercise_id: str) -> store.Known:
    """The public tensors, read once in a process that grades many submissions."""
    return store.load(exercise_id)


@functools.cache
def _public_outputs(exercise_id: str, i: int) -> Outputs:
    """What a right answer hands over on public case i."""
    return reference_outputs(find(exercise_id), trusted(exercise_id), known(exercise_id).cases[i], measured=False)


def _measured(exercise: Exercise, case: Case, outcome: Outcome, like: Outputs) -> Outcome:
    """The outcome with what the laws look at, computed here: a measurement from the kernel could be forged."""
    if outcome.outputs is None or exercise.measure is None:
        return outcome
    try:
        if any(_forged(outcome.outputs[name], value) for name, value in like.items()):
            raise ValueError("more numbers, or of another kind, than a probe gives")
        outputs = exercise.measure(case.inputs, outcome.outputs)
        if not all(value.isfinite().all() for name, value in outputs.items() if name.startswith("_")):
            raise ValueError("measurements that are no numbers")
        return replace(outcome, outputs=outputs)
    except Wrong as wrong:
        return replace(outcome, outputs=None, kind=f"Wrong: {wrong}", problem=str(wrong))
    except Exception:  # forged: the kernel is not trusted to have run the probe
        return replace(outcome, outputs=None, kind="measurement", problem="what was handed over cannot be measured")


def _forged(value: Tensor, like: Tensor) -> bool:
    return value.is_complex() or value.numel() > 4 * like.numel()


def _verdict(exercise: Exercise, secret: Drawn, outcomes: Sequence[Outcome]) -> Verdict:
    public = known(exercise.id)
    seen = len(public.cases)
    told = judge(exercise, public.cases, outcomes[:seen], public.expected, public.mistakes)
    if told.not_started:
        return told
    discreet = [_discreet(outcome) for outcome in outcomes[seen:]]
    hidden = judge(exercise, secret.cases, discreet, secret.expected, (), reveal=False)
    if told.full and not hidden.full:
        mistakes = known_mistakes(exercise, trusted(exercise.id), secret.cases)
        hidden = judge(exercise, secret.cases, discreet, secret.expected, mistakes, reveal=False)
        told = replace(told, mistake=hidden.mistake, advice=hidden.advice)
    return replace(told, parts=_both(exercise, told.parts, hidden.parts))


def _both(exercise: Exercise, public: Sequence[PartResult], hidden: Sequence[PartResult]) -> tuple[PartResult, ...]:
    """Each part with its public and secret cases. Secret findings are told where the public ones found nothing."""
    parts, open_ = [], True
    for seen, unseen in zip(public, hidden, strict=True):
        passed = seen.passed and unseen.passed
        open_ = passed and (open_ or not exercise.ordered)
        findings = (*seen.findings, *(f"hidden case, {told}" for told in unseen.findings))
        earned = seen.points if open_ else 0
        parts.append(PartResult(seen.name, seen.points, earned, passed, seen.cases + unseen.cases, findings))
    return tuple(parts)


def _discreet(outcome: Outcome) -> Outcome:
    """A secret case's outcome without what the learner's code said: it could say the inputs."""
    if outcome.outputs is not None or not outcome.problem:
        return replace(outcome, printed="")
    kind = re.match(r"[A-Za-z_]{1,60}", outcome.kind)
    problem = f"it raises {kind[0]}" if kind and kind[0] not in ("Wrong", "missing") else "it gives no result"
    return replace(outcome, problem=problem, printed="")


def _refused(exercise: Exercise, sentence: str) -> Verdict:
    parts = tuple(PartResult(name, points, 0, False, 0, ()) for name, points in exercise.parts.items())
    return Verdict(exercise.id, exercise.title, parts, refused=sentence)
