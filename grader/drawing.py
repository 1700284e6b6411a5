"""Cases drawn from a seed, what is right on them, and what the known mistakes do."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from coursekit.checking.comparing import TOLERANCE, close
from coursekit.checking.contract import Case, Exercise, Outputs, as_dtype
from coursekit.checking.judging import KnownMistake, measured
from coursekit.checking.observing import Outcome, observe, observe_all
from grader.contract import Trusted

STEADY = 0.2  # the share of the tolerance that rounding may take up in the reference itself
DRAWS = 100


def reference_outputs(exercise: Exercise, trusted: Trusted, case: Case) -> Outputs:
    """All that the probe gives for the reference in float64, before anything is measured. Raises RuntimeError."""
    outcome = observe(exercise, trusted.reference, case.cast(torch.float64))
    if outcome.outputs is None or outcome.changed:
        told = outcome.problem or f"changes {outcome.changed}"
        raise RuntimeError(f"the reference of {exercise.id} fails on {case.label!r}: {told}")
    return outcome.outputs


@dataclass(frozen=True)
class Drawn:
    """Cases from one seed, and what is right on them: computed when it is first asked for."""

    exercise: Exercise
    trusted: Trusted
    cases: tuple[Case, ...]

    @functools.cached_property
    def outputs(self) -> tuple[Outputs, ...]:
        """For each case all that the probe gives for the reference in float64. Raises RuntimeError."""
        return tuple(reference_outputs(self.exercise, self.trusted, case) for case in self.cases)

    @functools.cached_property
    def expected(self) -> tuple[Outputs, ...]:
        """The outputs that a learner's are compared with."""
        return tuple(map(functools.partial(compared, self.exercise), self.cases, self.outputs))

    @functools.cached_property
    def steady(self) -> bool:
        """Whether rounding decides nothing: the reference in a case's own dtype stays far within the tolerance.

        Random inputs are now and then badly conditioned (a token whose numbers are nearly equal, before a layer norm),
        and then a right answer differs from float64 by more than is allowed.
        """
        pairs = zip(self.cases, self.expected, strict=True)
        return all(_steady(self.exercise, self.trusted, case, right) for case, right in pairs)


def drawn_from(exercise: Exercise, trusted: Trusted, seed: int) -> Drawn:
    """The cases that `seed` gives, whether or not they are steady."""
    g = torch.Generator().manual_seed(seed)
    return Drawn(exercise, trusted, (*exercise.drawn(g), *(trusted.cases(g) if trusted.cases else ())))


def draw(exercise: Exercise, trusted: Trusted, seed: int) -> Drawn:
    """Steady cases: a draw that is not is thrown away. Raises RuntimeError where none will do."""
    for attempt in range(DRAWS):
        drawn = drawn_from(exercise, trusted, seed + attempt)
        if drawn.steady:
            return drawn
    raise RuntimeError(
        f"{exercise.id}: {DRAWS} draws from seed {seed} on, and rounding decides a case in each of them: "
        "the cases or the tolerance are wrong"
    )


def _steady(exercise: Exercise, trusted: Trusted, case: Case, right: Outputs) -> bool:
    if case.dtype == torch.float64:
        return True
    mine = outcome_of(exercise, trusted.reference, case).outputs
    return mine is not None and all(
        close(mine[name], value, _part_of(exercise.tolerance.get(value.dtype) or TOLERANCE.get(value.dtype))).all()
        for name, value in right.items()
    )


def _part_of(tolerance: tuple[float, float] | None) -> tuple[float, float] | None:
    return tolerance and (STEADY * tolerance[0], STEADY * tolerance[1])


def compared(exercise: Exercise, case: Case, outputs: Outputs) -> Outputs:
    """Of a right answer's outputs those that a learner's are compared with, rounded to the case's dtype."""
    found = exercise.measure(case.inputs, outputs) if exercise.measure else outputs
    return {name: as_dtype(v, case.dtype) for name, v in found.items() if not name.startswith("_")}


def outcome_of(exercise: Exercise, objects: tuple[Any, ...], case: Case) -> Outcome:
    """What objects that are trusted do on one case, measured."""
    return measured(exercise, case, observe(exercise, objects, case))


def outcomes_of(exercise: Exercise, objects: tuple[Any, ...], cases: Sequence[Case]) -> tuple[Outcome, ...]:
    """What objects that are trusted do on the cases, one after another, measured."""
    seen = zip(cases, observe_all(exercise, objects, cases), strict=True)
    return tuple(measured(exercise, case, outcome) for case, outcome in seen)


def known_mistakes(exercise: Exercise, trusted: Trusted, cases: Sequence[Case]) -> list[KnownMistake]:
    """What every registered mistake does on these cases."""
    return [KnownMistake(m.name, m.sentence, outcomes_of(exercise, m.objects, cases)) for m in trusted.mistakes]
