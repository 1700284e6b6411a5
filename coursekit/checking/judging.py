"""Turn what was observed into a verdict: compare with the expected outputs, try the laws, name the mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from coursekit.checking.comparing import close
from coursekit.checking.contract import Case, Exercise, Law, Outputs
from coursekit.checking.findings import finding
from coursekit.checking.laws import Count
from coursekit.checking.observing import Outcome
from coursekit.checking.probing import Wrong
from coursekit.checking.report import PartResult, Verdict
from coursekit.checking.symptoms import symptom

NOT_STARTED = "NotImplementedError"
UNMEASURED = "what was handed over cannot be measured"


@dataclass(frozen=True)
class KnownMistake:
    """A wrong implementation that learners really write: what it does on each case, and the sentence that helps."""

    name: str
    sentence: str
    outcomes: tuple[Outcome, ...]

    def on(self, *devices: torch.device) -> KnownMistake:
        """The same mistake with its outputs on `devices`, one for each case."""
        return replace(self, outcomes=tuple(o.on(place) for o, place in zip(self.outcomes, devices, strict=True)))


def judge(
    exercise: Exercise,
    cases: Sequence[Case],
    outcomes: Sequence[Outcome],
    expected: Sequence[Outputs],
    mistakes: Sequence[KnownMistake],
) -> Verdict:
    """The verdict on measured `outcomes`, one for each case, public and hidden ones alike.

    Where no known mistake is the learner's, what can be said of their numbers is said. A mistake is looked for on the
    first cases, as many as it has outcomes for.
    """
    outcomes = [_discreet(outcome) if case.hidden else outcome for case, outcome in zip(cases, outcomes, strict=True)]
    findings = [
        finding(exercise, case, outcome, right) for case, outcome, right in zip(cases, outcomes, expected, strict=True)
    ]
    seen = min((len(mistake.outcomes) for mistake in mistakes), default=0)
    mistake = recognise(exercise, cases[:seen], outcomes, expected, findings[:seen], mistakes)
    unknown = any(findings) and not mistake
    return Verdict(
        exercise=exercise.id,
        title=exercise.title,
        parts=_parts(exercise, cases, findings),
        mistake=mistake.name if mistake else "",
        advice=mistake.sentence if mistake else symptom(exercise, cases, outcomes, expected) if unknown else "",
        not_started=not_started(outcomes),
        printed=next((o.printed for o in outcomes if o.printed), ""),
    )


def not_started(outcomes: Sequence[Outcome]) -> bool:
    """Whether the untouched stub gave these outcomes."""
    return all(outcome.kind.startswith(NOT_STARTED) for outcome in outcomes)


def refused(exercise: Exercise, sentence: str) -> Verdict:
    """The verdict where nothing could be judged: no points, and the sentence that says why."""
    parts = tuple(PartResult(name, points, 0, False, 0, ()) for name, points in exercise.parts.items())
    return Verdict(exercise.id, exercise.title, parts, refused=sentence)


def measured(exercise: Exercise, case: Case, outcome: Outcome) -> Outcome:
    """The outcome with what the laws look at in place of what was drawn, where the exercise measures.

    It may come from a process that is not trusted: what cannot be measured is an outcome without outputs.
    """
    if exercise.measure is None or outcome.outputs is None:
        return outcome
    try:
        return replace(outcome, outputs=exercise.measure(case.inputs, outcome.outputs))
    except Wrong as wrong:
        return replace(outcome, outputs=None, kind=f"Wrong: {wrong}", problem=str(wrong))
    except Exception:
        return replace(outcome, outputs=None, kind="measurement", problem=UNMEASURED)


def _discreet(outcome: Outcome) -> Outcome:
    """A hidden case's outcome without what the learner's code said: it could say the inputs."""
    if outcome.outputs is not None or not outcome.problem:
        return replace(outcome, printed="")
    kind = re.match(r"[A-Za-z_]{1,60}", outcome.kind)
    # A learner's own kind of error comes under the name of Exception.
    error = "an error" if kind and kind[0] == Exception.__name__ else kind and kind[0]
    problem = f"it raises {error}" if error not in (None, "Wrong", "missing") else "it gives no result"
    return replace(outcome, problem=problem, printed="")


def recognise(
    exercise: Exercise,
    cases: Sequence[Case],
    outcomes: Sequence[Outcome],
    expected: Sequence[Outputs],
    findings: Sequence[str],
    mistakes: Sequence[KnownMistake],
) -> KnownMistake | None:
    """The known mistake that behaves like the learner's code.

    It agrees on the first wrong case and on at least half of the wrong ones, for learners combine mistakes; and where
    the learner is right it is right too, else it is not what they did. One that agrees on every case wins.
    """
    wrong = [i for i, told in enumerate(findings) if told]
    if not wrong:
        return None

    def errs(mistake: KnownMistake, i: int) -> bool:
        return bool(finding(exercise, cases[i], mistake.outcomes[i], expected[i]))

    def alike(mistake: KnownMistake, i: int) -> bool:
        # Where the mistake happens to be right it explains no finding: a narrower dtype, say, is another slip.
        # Whether they are the same is asked first: mostly they are not, which is quickly seen.
        return same(exercise, cases[i], expected[i], outcomes[i], mistake.outcomes[i]) and errs(mistake, i)

    best, most = None, (len(wrong) - 1) / 2
    for mistake in mistakes:
        if not alike(mistake, wrong[0]):
            continue  # most mistakes end here: an exercise may have many
        score = sum(alike(mistake, i) for i in wrong)
        if score > most and not any(errs(mistake, i) for i, told in enumerate(findings) if not told):
            best, most = mistake, score
    return best


def same(exercise: Exercise, case: Case, expected: Outputs, one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes of one case cannot be told apart: problem, side effects, values, laws and by how much."""
    if one.outputs is None or other.outputs is None:
        return one.kind == other.kind and one.outputs is other.outputs
    if (one.changed, one.left) != (other.changed, other.left):
        return False
    if not all(_alike(one.outputs[name], other.outputs[name], exercise) for name in expected):
        return False
    if not all(_alike(one.outputs[name], right, exercise) for name, right in expected.items()):
        return True  # wrong values are told apart by themselves; laws are for right ones
    return all(_agree(law, case, one.outputs, other.outputs) for law in exercise.laws)


def _agree(law: Law, case: Case, one: Outputs, other: Outputs) -> bool:
    """Whether both keep a law or both break it, by the same amount where it can be told."""
    if isinstance(law, Count):
        return law.agree(case.inputs, one, other)
    return bool(law(case.inputs, one)) == bool(law(case.inputs, other))


def _alike(one: torch.Tensor, other: torch.Tensor, exercise: Exercise) -> bool:
    if one.shape != other.shape or _kind(one) != _kind(other):
        return False
    coarser = one.dtype if one.dtype.itemsize < other.dtype.itemsize else other.dtype
    return bool(close(one.to(coarser), other.to(one.device, coarser), exercise.tolerance.get(coarser)).all())


def _kind(x: torch.Tensor) -> tuple[bool, bool, bool]:
    return x.dtype == torch.bool, x.is_floating_point(), x.is_complex()


def _parts(exercise: Exercise, cases: Sequence[Case], findings: Sequence[str]) -> tuple[PartResult, ...]:
    """Points by part. A part counts only after the ones before it: a constant zero has no gradients to be paid for."""
    parts, open_ = [], True
    for name, points in exercise.parts.items():
        mine = [
            (f"hidden case, {case.label}" if case.hidden else case.label, told)
            for case, told in zip(cases, findings, strict=True)
            if case.part == name
        ]
        wrong = tuple(f"{label}: {told}" for label, told in mine if told)
        passed = bool(mine) and not wrong
        open_ = passed and (open_ or not exercise.ordered)
        parts.append(PartResult(name, points, points if open_ else 0, passed, len(mine), wrong))
    return tuple(parts)
