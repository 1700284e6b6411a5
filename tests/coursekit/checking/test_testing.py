"""A learner's test is judged by what it lets pass and what it refuses, and by nothing else."""

import random

import numpy as np
import pytest
import torch

from coursekit.checking import testing
from coursekit.checking.drawing import sealed
from coursekit.checking.probing import Wrong

CASE = {"source": sealed("def double(x): return 2 * x")}
probe = testing.tested("double")


def accepts(test):
    return probe(CASE, test)["accepted"].item()


def refuses(double):
    assert double(2) == 5


def test_a_test_that_raises_nothing_accepts():
    assert accepts(lambda double: None)


def test_an_assertion_that_fails_refuses():
    assert not accepts(refuses)


def test_what_a_test_returns_does_not_count():
    assert accepts(lambda double: double(2) == 5)


def test_another_error_is_told_with_its_place():
    def confused(double):
        raise ValueError("no")

    with pytest.raises(
        Wrong, match=r'raises ValueError in line \d+, raise ValueError\("no"\): no\nOnly an AssertionError'
    ):
        accepts(confused)


@pytest.mark.parametrize("give_up", [lambda: pytest.fail("no"), exit])
def test_what_is_no_exception_is_told_as_well(give_up):
    with pytest.raises(Wrong, match="Only an AssertionError"):
        accepts(lambda double: give_up())


def test_an_interrupt_is_passed_on():
    def endless(double):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accepts(endless)


def test_a_stub_is_passed_on():
    def stub(double):
        raise NotImplementedError

    with pytest.raises(NotImplementedError):
        accepts(stub)


@pytest.mark.parametrize(
    ("seed", "state"),
    [
        (lambda: torch.manual_seed(0), lambda: torch.initial_seed()),
        (lambda: random.seed(0), lambda: random.getstate()),
        (lambda: np.random.seed(0), lambda: np.random.get_state()[1].tolist()),  # noqa: NPY002
    ],
)
def test_a_test_may_set_a_seed(seed, state):
    before = state()
    assert accepts(lambda double: seed() and None)
    assert state() == before


@pytest.mark.parametrize(("found", "right"), [(True, False), (False, True)])
def test_a_verdict_says_which_of_the_two_is_wrong(found, right):
    told = testing.said(torch.tensor(found), torch.tensor(right))
    assert ("refuses" in told) == right
    assert ("lets it pass" in told) != right


def test_every_right_one_and_one_of_each_kind_are_drawn():
    draw = testing.of_each({"twice": "a", "again": "b"}, {"sign": ("c", "d"), "size": ("e",)})
    cases = draw(torch.Generator().manual_seed(1))
    assert [case.part for case in cases] == ["right ones"] * 2 + ["wrong ones"] * 2
    assert cases[2].label == "a wrong one (sign)"
    assert cases[2].inputs["source"] in {sealed("c"), sealed("d")}
