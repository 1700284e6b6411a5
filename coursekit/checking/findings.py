"""What is wrong with one case: what was observed, beside what is expected."""

from __future__ import annotations

from torch import Tensor

from coursekit.checking.comparing import difference
from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.laws import unrevealed
from coursekit.checking.observing import Outcome
from coursekit.checking.surroundings import LEFT_BEHIND
from coursekit.checking.writing import written_difference


def finding(exercise: Exercise, case: Case, outcome: Outcome, expected: Outputs) -> str:
    """What is wrong with one outcome, in the order in which a learner should mend it; empty when it is right."""
    if outcome.outputs is None:
        return outcome.problem or outcome.kind
    if outcome.changed:
        return f"it changes its input {' and '.join(outcome.changed)} in place: work on a copy"
    if outcome.left:
        return LEFT_BEHIND[outcome.left[0]]
    for name, right in expected.items():
        actual = outcome.outputs[name]
        if told := _difference(exercise, name, actual, right):
            said = _said(exercise, name, actual, right)
            if said is None:
                return _unrevealed(name, actual, right) if case.hidden or _worked_out(case, right) else told
            if said:
                return said
    broken = ((law, told) for law in exercise.laws if (told := law(case.inputs, outcome.outputs)))
    return next((unrevealed(law, told) if case.hidden else told for law, told in broken), "")


def _difference(exercise: Exercise, name: str, actual: Tensor, right: Tensor) -> str | None:
    kind = exercise.written.get(name)
    if kind and actual.dim() == 1 and actual.dtype == right.dtype:
        return written_difference(name, kind, actual, right)
    return difference(name, actual, right, exercise.tolerance.get(right.dtype))


def _said(exercise: Exercise, name: str, actual: Tensor, right: Tensor) -> str | None:
    """What the exercise itself says of an output that differs, of hidden cases too: it reveals nothing of them.

    Empty where so much may differ.
    """
    say = exercise.said.get(name)
    return say(actual, right) if say and actual.shape == right.shape and actual.dtype == right.dtype else None


def _worked_out(case: Case, right: Tensor) -> bool:
    """Whether the result is the number that was asked for: told once, it would answer the exercise."""
    return not case.inputs and not right.dim()


def _unrevealed(name: str, actual: Tensor, right: Tensor) -> str:
    """How an output of a hidden case differs, in words on which it has no say: a shape or place could spell inputs."""
    if actual.shape != right.shape:
        return f"{name} has another shape than {tuple(right.shape)}, the expected one"
    return f"{name} differs from what is expected"
