"""`judge`: from what was observed to points, findings, and the name of a mistake."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.findings import finding
from coursekit.checking.judging import KnownMistake, judge, measured
from coursekit.checking.laws import as_measurements, share
from coursekit.checking.observing import observe
from coursekit.checking.surroundings import (
    DEFAULT_DTYPE,
    GRADIENTS_OFF,
    LEFT_BEHIND,
    NUMPY_SEED,
    PYTHON_SEED,
    SEED,
)

SECRET = 31.4159  # in the inputs and the expected values only


def no_entry_is_huge(inputs, outputs):
    return "some entries are huge" if (outputs["_aside"].abs() > 1e6).any() else None


def exercise(**changes):
    """Twice x: positive x first, then any x, then x in float64."""
    settings = {
        "id": "test.double",
        "title": "Twice x",
        "parts": {"positive": 1, "any": 2, "float64": 1},
        "minutes": 1,
        "difficulty": "core",
        "calls": ("double(x) -> y",),
        "cases": lambda g: [],
        "probe": lambda case, double: {"y": double(case["x"]), "_aside": double(case["x"] * 1e4)},
        "library": (),
        "laws": (no_entry_is_huge,),
    }
    return Exercise(**settings | changes)


EXERCISE = exercise()
CASES = (
    Case("positive", "1, 2", {"x": torch.tensor([1.0, 2.0])}),
    Case("positive", "a larger one", {"x": torch.tensor([SECRET])}),
    Case("any", "-1, 2", {"x": torch.tensor([-1.0, 2.0])}),
    Case("any", "-3", {"x": torch.tensor([-3.0])}),
    Case("float64", "-1, 5", {"x": torch.tensor([-1.0, 5.0], dtype=torch.float64)}),
)


def right(x):
    return 2 * x


def squared(x):
    return x * x


def without_sign(x):
    return (2 * x).abs()


def never_negative(x):
    return (2 * x).clamp(min=0)


def huge(x):
    return 2 * x + (x.abs() > 5e3) * 1e9


MISTAKES = {
    "squared": (squared, "You square x."),
    "without_sign": (without_sign, "The sign is lost."),
    "never_negative": (never_negative, "Negative results become 0."),
    "huge": (huge, "Large x explode."),
}


def outcomes_of(function, of=EXERCISE):
    return [observe(of, (function,), case) for case in CASES]


def judged(function, mistakes=MISTAKES, hidden=False, of=EXERCISE):
    expected = [{"y": 2 * case.inputs["x"]} for case in CASES]
    known = [KnownMistake(n, told, tuple(outcomes_of(wrong, of))) for n, (wrong, told) in mistakes.items()]
    cases = [dataclasses.replace(case, hidden=hidden) for case in CASES]
    return judge(of, cases, outcomes_of(function, of), expected, known)


def points(verdict):
    return {part.name: part.earned for part in verdict.parts}


def test_a_right_answer_earns_every_part_and_no_mistake_is_named():
    verdict = judged(right)
    assert points(verdict) == {"positive": 1, "any": 2, "float64": 1}
    assert (verdict.full, verdict.mistake, verdict.advice) == (True, "", "")


def test_parts_before_the_first_wrong_one_are_earned():
    assert points(judged(without_sign)) == {"positive": 1, "any": 0, "float64": 0}


def test_a_part_after_a_wrong_one_passes_without_earning():
    verdict = judged(lambda x: 2 * x if x.dtype == torch.float64 or (x < 0).any() else x)
    assert points(verdict) == {"positive": 0, "any": 0, "float64": 0}
    assert [part.passed for part in verdict.parts] == [False, True, True]


def test_one_wrong_case_costs_the_whole_part():
    verdict = judged(lambda x: 2 * x if x.numel() > 1 else x)
    assert points(verdict)["positive"] == 0
    assert verdict.parts[0].findings == (
        "a larger one: y differs in 1 of 1 entries, most at [0]: 31.4159, expected 62.8318",
    )


def test_a_part_without_cases_earns_nothing():
    verdict = judged(right, of=exercise(parts={"forgotten": 1, "positive": 1, "any": 2, "float64": 1}))
    assert verdict.earned == 0


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_when_every_case_agrees(name):
    verdict = judged(MISTAKES[name][0])
    assert (verdict.mistake, verdict.advice) == (name, MISTAKES[name][1])
    assert not verdict.full


def test_a_mistake_is_named_however_it_is_written():
    assert judged(lambda x: x.pow(2.0)).mistake == "squared"


def test_a_mistake_is_named_in_another_precision():
    assert judged(lambda x: x.double() * x.double()).mistake == "squared"


def test_a_mistake_that_agrees_on_every_case_wins_over_an_earlier_one_that_agrees_on_most():
    def mostly_without_sign(x):
        return never_negative(x) if x.dtype == torch.float64 else without_sign(x)

    assert judged(mostly_without_sign).mistake == "without_sign"
    assert judged(mostly_without_sign, MISTAKES | {"mostly": (mostly_without_sign, "")}).mistake == "mostly"


def test_of_combined_mistakes_the_one_that_shows_first_is_named():
    def combined(x):
        return x.new_zeros(x.shape) if x.dtype == torch.float64 else without_sign(x)

    assert judged(combined).mistake == "without_sign"


def test_a_mistake_that_misses_the_first_wrong_case_is_not_named():
    def combined(x):
        return x + 7 if x.tolist()[0] == 1.0 else squared(x)

    assert judged(combined).mistake == ""


def test_a_mistake_that_agrees_on_fewer_than_half_of_the_wrong_cases_is_not_named():
    def seldom(x):
        return squared(x) if x.tolist()[0] == 1.0 else x + 7

    assert judged(seldom).mistake == ""


def test_a_mistake_that_is_wrong_where_the_learner_is_right_is_not_named():
    def rarely(x):
        return without_sign(x) if x.dtype == torch.float64 else 2 * x

    assert judged(rarely).mistake == ""


def test_a_mistake_that_raises_another_error_is_not_named():
    def one(x):
        raise ValueError("3 rows")

    def other(x):
        raise ValueError("4 rows")

    assert judged(one, {"one": (one, "")}).mistake == "one"
    assert judged(other, {"one": (one, "")}).mistake == ""


def counted(share_of_ones):
    """An exercise whose answer is random: half of the numbers are to be 1."""
    law = share("ones", "of", 0.5, "{share:.0%} are 1, expected 50%")
    of = exercise(
        measure=lambda case, outputs: as_measurements({"ones": outputs["y"].sum(), "of": outputs["y"].numel()}),
        laws=(law,),
        parts={"values": 1},
        probe=lambda case, draw: {"y": draw(case["x"])},
    )
    case = Case("values", "a coin", {"x": torch.zeros(10_000)})

    def seen(share):
        return measured(of, case, observe(of, (lambda x: (torch.rand_like(x) < share).to(x),), case))

    known = KnownMistake("mostly", "Nine in ten.", (seen(0.9),))
    return judge(of, [case], [seen(share_of_ones)], [{}], [known])


def test_a_law_that_is_broken_by_another_amount_is_another_mistake():
    assert counted(0.1).mistake == counted(0.7).mistake == ""


def test_a_law_that_is_broken_by_the_same_amount_is_the_same_mistake():
    assert counted(0.9).mistake == "mostly"


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_is_left_behind_costs_marks_where_values_are_right(name):
    leave = {
        SEED: lambda: torch.manual_seed(0),
        PYTHON_SEED: lambda: random.seed(0),
        NUMPY_SEED: lambda: np.random.seed(0),  # noqa: NPY002
        GRADIENTS_OFF: lambda: torch.set_grad_enabled(False),
        DEFAULT_DTYPE: lambda: torch.set_default_dtype(torch.float64),
    }[name]
    verdict = judged(lambda x: (leave(), 2 * x)[1])
    assert verdict.earned == 0
    assert verdict.parts[0].findings[0].endswith(LEFT_BEHIND[name])


def test_an_unknown_mistake_has_findings_and_no_name():
    verdict = judged(lambda x: 2 * x + x.abs() + 1)
    assert (verdict.mistake, verdict.advice) == ("", "")
    assert [len(part.findings) for part in verdict.parts] == [2, 2, 1]


def test_a_broken_law_costs_marks_where_values_are_right():
    verdict = judged(huge)
    assert not verdict.full
    assert verdict.parts[0].findings[0].endswith("some entries are huge")


def test_wrong_values_are_told_before_a_broken_law():
    case, outcome = CASES[0], observe(EXERCISE, (lambda x: huge(x) + 1,), CASES[0])
    assert "y differs" in finding(EXERCISE, case, outcome, {"y": 2 * case.inputs["x"]})


def test_a_right_value_that_breaks_no_law_is_not_taken_for_one_that_does():
    def sometimes(x):
        return 2 * x + 1 if x.dtype == torch.float64 else 2 * x

    assert judged(sometimes).mistake == ""


def test_an_in_place_change_costs_marks_where_values_are_right():
    verdict = judged(lambda x: x.mul_(2))
    assert verdict.earned == 0
    assert "changes its input x in place" in verdict.parts[0].findings[0]


def test_an_error_is_the_finding_of_its_case_alone():
    def fragile(x):
        if (x < 0).any():
            raise ValueError("no negative numbers")
        return 2 * x

    verdict = judged(fragile)
    assert points(verdict)["positive"] == 1
    assert verdict.parts[1].findings[0].endswith("ValueError: no negative numbers")


def test_tolerance_is_the_exercises_own():
    loose = exercise(tolerance={torch.float32: (0.0, 0.1), torch.float64: (0.0, 0.1)}, laws=())
    assert judged(lambda x: 2 * x + 0.05, of=loose).full
    assert not judged(lambda x: 2 * x + 0.05, of=exercise(laws=())).full


@pytest.mark.parametrize("answer", [lambda x: 2 * x + 1, lambda x: x * 0, squared])
def test_of_hidden_cases_no_input_and_no_expected_value_is_told(answer):
    text = judged(answer, hidden=True).text()
    assert "differs from what is expected" in text
    assert all(secret not in text for secret in ("31.4", "62.8"))


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize(("off", "full"), [(0.01, True), (1.0, False)])
def test_where_an_exercise_says_nothing_of_a_difference_it_may_be(off, full, hidden):
    of = exercise(said={"y": lambda found, right: "" if (found - right).abs().max() < 0.1 else "it is far off"})
    verdict = judged(lambda x: 2 * x + off, hidden=hidden, of=of)
    assert verdict.full == full
    assert ("it is far off" in verdict.text()) != full


def test_of_public_cases_found_and_expected_values_are_told():
    assert "31.4159, expected 62.8318" in judged(lambda x: x).text()


@pytest.mark.parametrize("worked_out", [62.0, 40.0])
def test_a_number_to_work_out_is_not_told(worked_out):
    of = exercise(parts={"number": 1}, calls=("memory() -> gib: number",), probe=None, laws=())
    case = Case("number", "of one context", {})
    text = judge(of, [case], [observe(of, (lambda: worked_out,), case)], [{"gib": torch.tensor(41.5)}], []).text()
    assert "gib differs from what is expected" in text
    assert "41.5" not in text


def test_points_and_the_name_are_the_same_of_hidden_cases():
    open_, hidden = judged(without_sign), judged(without_sign, hidden=True)
    assert (points(open_), open_.mistake) == (points(hidden), hidden.mistake)


def stub(x):
    raise NotImplementedError


def test_the_untouched_stub_is_told_as_not_started():
    verdict = judged(stub)
    assert (verdict.not_started, verdict.earned, verdict.mistake) == (True, 0, "")


def test_code_that_is_missing_on_some_cases_is_not_told_as_not_started():
    verdict = judged(lambda x: stub(x) if x.dtype == torch.float64 else 2 * x)
    assert not verdict.not_started
    assert points(verdict) == {"positive": 1, "any": 2, "float64": 0}


def test_another_error_is_not_told_as_not_started():
    assert not judged(lambda x: 1 / 0).not_started


def test_the_first_prints_are_kept():
    assert judged(lambda x: print(x.shape) or 2 * x).printed.startswith("torch.Size([2])")
