"""The committed reference tensors are what `make tensors` makes."""

import pytest
import torch

from coursekit.checking import store
from coursekit.checking.comparing import close
from coursekit.exercises import chapters, find
from grader.proving import tensors

IDS = [exercise_id for chapter in chapters() for exercise_id in chapter.exercises]


@pytest.mark.parametrize("exercise_id", IDS)
def test_rebuilt_tensors_equal_the_committed_ones(exercise_id):
    committed, rebuilt = store.load(exercise_id), tensors.public(exercise_id)
    tolerance = find(exercise_id).tolerance
    assert [m.sentence for m in committed.mistakes] == [m.sentence for m in rebuilt.mistakes]
    for old, new in zip(committed.cases, rebuilt.cases, strict=True):
        assert (old.part, old.label, list(old.inputs)) == (new.part, new.label, list(new.inputs))
        # Inputs are drawn, so they are equal to the bit; outputs may differ in the last bit between processors.
        assert all(_equal(old.inputs[name], value) for name, value in new.inputs.items())
    for old, new in zip(committed.expected, rebuilt.expected, strict=True):
        assert all(close(old[name], value, tolerance.get(value.dtype)).all() for name, value in new.items())


def _equal(old, new):
    """Equal numbers in the same places of memory."""
    if not torch.is_tensor(new):
        return old == new
    return torch.equal(old, new) and old.stride() == new.stride()


@pytest.mark.parametrize("exercise_id", IDS)
def test_cases_cover_single_and_double_precision(exercise_id):
    dtypes = {case.dtype for case in store.load(exercise_id).cases}
    # An exercise without floating inputs answers in float32, whatever the case.
    if any(
        torch.is_tensor(v) and v.is_floating_point() for c in store.load(exercise_id).cases for v in c.inputs.values()
    ):
        assert {torch.float32, torch.float64} <= dtypes


@pytest.mark.parametrize("exercise_id", IDS)
def test_every_part_has_cases(exercise_id):
    assert {case.part for case in store.load(exercise_id).cases} == set(find(exercise_id).parts)


def test_the_bytes_are_the_same_twice():
    chapter = chapters()[0]
    known = {exercise_id: tensors.public(exercise_id) for exercise_id in chapter.exercises[:2]}
    again = {exercise_id: tensors.public(exercise_id) for exercise_id in chapter.exercises[:2]}
    assert store.dump(known) == store.dump(again)
