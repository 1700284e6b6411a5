"""Text, texts and bytes as tensors: what is said of one that is not the expected one."""

import re

import pytest
import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.findings import finding
from coursekit.checking.observing import Outcome, observe
from coursekit.checking.writing import as_numbers, written_difference

LONG = ["word"] * 40


def told(kind, found, wanted, **options):
    return written_difference("y", kind, as_numbers(found), as_numbers(wanted), **options)


@pytest.mark.parametrize(
    ("kind", "value"), [("text", "né\n"), ("texts", ["a b", "", "c"]), ("texts", []), ("bytes", b"\0")]
)
def test_equal_ones_do_not_differ(kind, value):
    assert told(kind, value, value) is None


@pytest.mark.parametrize(
    ("kind", "found", "wanted", "says"),
    [
        ("text", "the cat", "cat", "y is 'the cat', expected 'cat'"),
        ("texts", ["a b"], ["a", "b"], "y is ['a b'], expected ['a', 'b']"),
        ("texts", [""], [], "y is [''], expected []"),
        ("texts", ["b", "a"], ["a", "b"], "y is ['b', 'a'], expected ['a', 'b']: the same in another order"),
        ("bytes", b"\xff", b"a", r"y is b'\xff', expected b'a'"),
        ("text", "x" * 120 + "a", "x" * 120 + "b", f"differs first at place 120, where it has '{'x' * 20}a'"),
        ("texts", [*LONG, "a"], [*LONG, "b"], "y differs first at place 40, where it has 'a', expected 'b'"),
        ("texts", LONG, [*LONG, "b"], "y differs first at place 40, where it has None, expected 'b'"),
    ],
)
def test_what_differs_is_shown_as_text(kind, found, wanted, says):
    assert says in told(kind, found, wanted)


def test_a_long_text_is_not_shown_whole():
    assert len(told("texts", ["x" * 100_000], ["y"])) < 300


@pytest.mark.parametrize("kind", ["text", "texts", "bytes"])
@pytest.mark.parametrize("numbers", [[-1], [-5, 2**62], [97], [10, -1, 300]])
def test_numbers_that_nobody_would_write_are_a_difference(kind, numbers):
    wanted = as_numbers({"text": "x", "texts": ["x"], "bytes": b"x"}[kind])
    assert written_difference("y", kind, torch.tensor(numbers), wanted)


@pytest.mark.parametrize(
    ("kind", "found", "wanted"), [("texts", ["a"], ["b"]), ("text", "a", "b"), ("bytes", b"a", b"b")]
)
def test_a_case_is_judged_by_its_text(kind, found, wanted):
    exercise = Exercise("x.y", "Y", {"one": 1}, 1, "core", (f"f(x) -> y: {kind}",), lambda g: [], ())
    case = Case("one", "a case", {"x": 0})
    outcome = observe(exercise, (lambda x: found,), case)
    assert finding(exercise, case, outcome, {"y": as_numbers(wanted)}) == f"y is {found!r}, expected {wanted!r}"


@pytest.mark.parametrize("forged", [torch.zeros(2, 2), torch.zeros(1), torch.tensor(3)])
def test_a_tensor_that_is_no_text_is_told_by_its_form(forged):
    exercise = Exercise("x.y", "Y", {"one": 1}, 1, "core", ("f(x) -> y: text",), lambda g: [], ())
    case = Case("one", "a case", {"x": 0})
    told = finding(exercise, case, Outcome({"y": forged}), {"y": as_numbers("b")})
    assert re.search("has (shape|dtype)", told)
