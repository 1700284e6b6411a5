"""Where a right answer is random, what was drawn is handed over and measured outside the learner's process."""

import pytest
import torch

from coursekit.checking.handover import Handed, dump
from coursekit.checking.observing import Outcome, observe
from coursekit.exercises import chapters, find
from grader.exercises import trusted
from grader.grading import secret
from grader.grading.verifying import known, verify

MEASURED = [id for chapter in chapters() for id in chapter.exercises if find(id).measure]


@pytest.fixture(scope="module", params=MEASURED)
def given(request):
    """An exercise with secret cases, and what the check cell hands over for the reference, case by case."""
    id = request.param
    drawn = secret.drawn(id, 11)
    cases = [*known(id).cases, *drawn.cases]
    outcomes = [observe(find(id), trusted(id).reference, case) for case in cases]
    return id, drawn, cases, outcomes


def verdict(given, change):
    """The verdict when `change` has its way with what each case handed over."""
    id, drawn, cases, outcomes = given
    changed = [Outcome(change(case, dict(outcome.outputs))) for case, outcome in zip(cases, outcomes, strict=True)]
    return verify(id, drawn, dump(Handed(tuple(changed)))).verdict


def test_there_are_such_exercises():
    assert MEASURED


def test_what_the_reference_draws_earns_everything(given):
    assert verdict(given, lambda case, outputs: outputs).full


def test_measurements_from_the_kernel_count_for_nothing(given):
    measure = find(given[0]).measure
    assert not verdict(given, lambda case, outputs: measure(case.inputs, outputs)).full


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.flatten()[:0],
        lambda x: torch.zeros_like(x),
        lambda x: x.double() * torch.nan,
        lambda x: x.to(torch.complex64),
        lambda x: x.flatten().repeat(5),
        lambda x: torch.full_like(x, 2**30 if not x.is_floating_point() else torch.inf),
        lambda x: -(x.long() if x.dtype == torch.bool else x) - 1,
    ],
    ids=["empty", "zeros", "nan", "complex", "five times", "huge", "negative"],
)
def test_forged_numbers_earn_nothing_and_end_nothing(given, change):
    assert verdict(given, lambda case, outputs: {name: change(x) for name, x in outputs.items()}).earned == 0


def test_what_is_much_longer_than_a_right_answer_is_still_told_by_its_shape():
    id = "bert.batches"
    wide = next(m.objects for m in trusted(id).mistakes if m.name == "pad_to_a_fixed_length")
    drawn = secret.drawn(id, 11)
    outcomes = [observe(find(id), wide, case) for case in (*known(id).cases, *drawn.cases)]
    assert verify(id, drawn, dump(Handed(tuple(outcomes)))).verdict.mistake == "pad_to_a_fixed_length"
