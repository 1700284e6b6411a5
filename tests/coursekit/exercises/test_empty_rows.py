"""attention.empty_rows: zero means zero, not something small."""

import torch

from coursekit.checking.observing import observe
from coursekit.exercises import find

EXERCISE = find("attention.empty_rows")
(LAW,) = EXERCISE.laws
INPUTS = {"allowed": torch.tensor([[True, False], [False, False]])}


def result(value):
    """Y of one head with two queries, of which the second sees nothing."""
    return {"Y": torch.tensor([[[[1.0, 2.0], [0.0, value]]]])}


def test_a_tiny_number_in_place_of_zero_is_told():
    assert LAW(INPUTS, result(1e-9)) == "a query without any allowed key gives 1.0e-09, expected exactly 0"


def test_zero_is_accepted_whatever_its_sign():
    assert LAW(INPUTS, result(-0.0)) is None


def test_a_query_that_sees_a_key_is_not_held_to_zero():
    assert LAW({"allowed": torch.tensor([[True, False], [True, False]])}, result(1.0)) is None


def test_some_rows_are_empty_and_some_are_not_in_each_part():
    for part in EXERCISE.parts:
        seen = [c.inputs["allowed"].any(-1) for c in EXERCISE.cases(torch.Generator()) if c.part == part]
        assert any(rows.all() for rows in seen)
        assert any(rows.any() and not rows.all() for rows in seen)


def test_the_library_gives_zero_too():
    case = next(c for c in EXERCISE.cases(torch.Generator().manual_seed(1)) if c.part == "forward")
    assert LAW(case.inputs, observe(EXERCISE, EXERCISE.library, case).outputs) is None
