"""What is said of a wrong answer that nobody knows: true of its numbers on every case, or nothing."""

import dataclasses
import math

import pytest
import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.observing import Outcome, observe_all
from coursekit.checking.surroundings import SEED
from coursekit.checking.symptoms import symptom


def exercise_for(right):
    return Exercise(
        id="test.any",
        title="Any",
        parts={"values": 1},
        minutes=1,
        difficulty="core",
        calls=("f(x) -> y",),
        cases=lambda g: [
            Case("values", f"d={d}", {"x": torch.randn(3, d, generator=g, dtype=torch.float64), "d": d, "heads": 7})
            for d in (4, 9)
        ],
        library=(right,),
    )


def said(right, wrong, hidden=False):
    exercise = exercise_for(right)
    cases = [dataclasses.replace(c, hidden=hidden) for c in exercise.drawn(torch.Generator().manual_seed(0))]
    expected = [outcome.outputs for outcome in observe_all(exercise, (right,), cases)]
    return symptom(exercise, cases, observe_all(exercise, (wrong,), cases), expected)


def softmax(x):
    return x.softmax(-1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda x: x.softmax(-1) / x.shape[-1] ** 0.5, "y is 1 / sqrt(d) times what is expected"),
        (lambda x: x.softmax(-1) * x.shape[-1], "y is d times what is expected"),
        (lambda x: x.softmax(-1) * (x.shape[-1] / 7) ** 0.5, "y is sqrt(d / heads) times what is expected"),
        (lambda x: 3 * x.softmax(-1), "y is 3 times what is expected"),
        (lambda x: -x.softmax(-1), "y has the wrong sign"),
        (lambda x: x, "y is the input x, unchanged"),
        (lambda x: x + 1, "y stops before the softmax: its softmax along dimension -1 would be right"),
        (lambda x: x.softmax(-2), "y does not sum to 1 along dimension -1, but along dimension -2"),
        (lambda x: x.softmax(-1).flip(-1), "y is in reverse order along dimension -1"),
        (lambda x: x.softmax(-1).roll(1, -2), "y is shifted by one place along dimension -2"),
        (lambda x: x.softmax(-1).mT, "y has dimensions -2 and -1 exchanged"),
        (lambda x: x.softmax(-1)[None], "y has a dimension of size 1 too many"),
        (lambda x: torch.zeros_like(x), "y is 0 everywhere"),
        (lambda x: x[:0], "y is empty (gone through a second time, a generator, `map` or `zip` gives nothing)"),
        (lambda x: x.softmax(-1) + 0.25, "y is too large by 0.25 everywhere"),
        (
            lambda x: x.softmax(-1).view(-1).sort().values.view(x.shape),
            "y holds the right numbers at the wrong places",
        ),
    ],
)
def test_a_property_of_the_numbers_is_told(wrong, told):
    assert said(softmax, wrong) == told


def test_a_logarithm_is_told():
    assert said(lambda x: 2 * x.exp(), lambda x: x + math.log(2)) == "y is the logarithm of what is expected"


def test_a_log_softmax_in_place_of_logits_is_told():
    assert said(lambda x: 2 * x, lambda x: (2 * x).log_softmax(-1)).startswith("y differs from what is expected by one")


def test_a_lost_dimension_is_told():
    right = lambda x: x.sum(-1, keepdim=True)  # noqa: E731
    assert said(right, lambda x: x.sum(-1)).startswith("y has lost a dimension of size 1")


def test_what_is_true_of_one_case_alone_is_not_told():
    assert said(lambda x: 2 * x, lambda x: x * (5 if x.shape[-1] == 4 else 7)) == ""


def test_rows_that_sum_to_1_in_one_case_alone_are_not_looked_at():
    mixed = lambda x: x.softmax(-1) * x.shape[-1] if x.shape[-1] == 4 else x.softmax(-1)  # noqa: E731
    wrong = lambda x: x.softmax(-2).exp() if x.shape[-1] == 4 else x.exp().softmax(-2)  # noqa: E731
    assert said(mixed, wrong) == ""


def given(outputs, expected, inputs=({},), laws=(), **noted):
    """What is said of these outcomes, one for each of `inputs`."""
    exercise = dataclasses.replace(exercise_for(softmax), laws=laws)
    cases = [Case("values", f"case {i}", {"x": torch.ones(2), **some}) for i, some in enumerate(inputs)]
    outcomes = [Outcome({"y": torch.tensor(y)}, **noted) for y in outputs]
    return symptom(exercise, cases, outcomes, [{"y": torch.tensor(y)} for y in expected])


def test_a_list_that_happens_to_sum_to_1_has_no_rows():
    assert given([[0.6, 0.7]], [[0.4, 0.6]]) == ""


def test_a_list_whose_entries_differ_by_one_number_is_no_row_of_logits():
    assert given([[1.0, 2.0], [5.0, 8.0]], [[0.0, 1.0], [3.0, 6.0]], ({}, {})) == ""


@pytest.mark.parametrize("noted", [{"changed": ("x",)}, {"left": (SEED,)}])
def test_of_numbers_after_something_was_changed_in_place_or_left_behind_nothing_is_told(noted):
    assert given([[2.0, 4.0]], [[1.0, 2.0]]) == "case 0: y is 2 times what is expected"
    assert given([[2.0, 4.0]], [[1.0, 2.0]], **noted) == ""


def test_what_one_case_alone_shows_is_told_of_it():
    assert (
        given([[2.0, 4.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]], ({}, {})) == "case 0: y is 2 times what is expected"
    )


INF = math.inf


@pytest.mark.parametrize(
    ("actual", "told"),
    [
        ([2.0, 4.0, -INF], "case 0: y is 2 times what is expected"),
        ([1.0, 2.0, 3.0], ""),  # nearly right, were it measured against infinity
        ([2.0, -INF, 3.0], ""),
    ],
)
def test_of_infinite_numbers_their_places_decide(actual, told):
    assert given([actual], [[1.0, 2.0, -INF]]) == told


def test_one_number_is_not_what_stands_before_a_softmax():
    assert "softmax" not in given([[[3.0], [2.0]]], [[[1.0], [1.0]]])


def test_not_even_where_another_case_shows_it_alone():
    """Gradients are taken of a copy, whose change in place nobody sees."""
    cases = [Case("values", f"case {i}", {"x": torch.ones(2)}) for i in range(2)]
    right = {"y": torch.tensor([1.0, 2.0])}
    outcomes = [Outcome(right, changed=("x",)), Outcome({"y": 2 * right["y"]})]
    assert symptom(exercise_for(softmax), cases, outcomes, [right, right]) == ""


def test_what_a_probe_writes_where_there_is_nothing_is_no_number_of_the_learners():
    assert given([[-1.0, -1.0]], [[0.1, 0.0]]) == ""
    assert given([[-1.0, -1.0]], [[0.1, -1.0]]) == ""
    assert given([[-1.0, -1.0]], [[0.1, -0.2]]) == "case 0: y is -1 everywhere"


def at_most_two(inputs, outputs):
    return "a number is above 2" if outputs["y"].max() > 2 else None


def test_a_result_in_half_precision_is_nearly_right():
    coarse = lambda x: (x.half() @ x.half().mT).to(x.dtype)  # noqa: E731
    assert said(lambda x: x @ x.mT, coarse).startswith(
        "what differs is right but for less than 0.2% of the largest number:"
    )


def test_a_law_that_wrong_values_break_too_is_told_with_its_case():
    assert given([[1.0, 2.5]], [[1.0, 1.5]], laws=(at_most_two,)) == "case 0: a number is above 2"


def test_a_law_is_asked_only_where_shapes_are_right():
    assert "above 2" not in given([[[1.0, 2.5]]], [[1.0, 1.5]], laws=(at_most_two,))


def test_of_mixed_slips_nothing_is_told():
    assert said(lambda x: 2 * x, lambda x: x.softmax(-2).exp() + x) == ""


def test_nothing_is_told_of_hidden_cases():
    assert said(softmax, lambda x: 3 * x.softmax(-1), hidden=True) == ""


def test_two_calls_that_differ_are_told():
    assert said(softmax, lambda x: torch.dropout(x.softmax(-1), 0.5, True)).startswith("two calls with the same")


def test_what_is_kept_from_an_earlier_call_is_told():
    kept = []

    def keeps(x):
        kept.append(x)
        return x.softmax(-1) + (len(kept) > 2)

    assert said(softmax, keeps).startswith("two calls with the same arguments give two different results")


def sized(right, calls="f(x, d, mask?) -> y", sizes=(1, 4, 5, 60), masked=(), flag="kept", above=3):
    def cases(g):
        for d in sizes:
            mask = {"mask": torch.ones(3, dtype=torch.bool)} if d in masked else {}
            x = torch.randn(3, 2, generator=g, dtype=torch.float64)
            yield Case("values", f"d={d}", {"x": x, "d": d, flag: d > above, **mask})

    return dataclasses.replace(exercise_for(right), calls=(calls,), cases=cases, library=(right,), probe=None)


def test_of_cases_that_also_ask_for_something_else_no_size_is_told():
    exercise = sized(lambda x, d, mask=None: x, sizes=(2, 4, 5, 60), above=9)
    assert told_of(exercise, lambda x, d, mask=None: x.sin() if d > 9 else x) == ""


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda d: d < 2, "in these cases right where d is more than 1, wrong where it is 1"),
        (lambda d: d > 9, "in these cases right where d is 5 or less, wrong where it is 60 or more"),
        (lambda d: d == 5, ""),
        (lambda d: d < 9, ""),
    ],
)
def test_the_sizes_in_which_wrong_cases_differ_from_right_ones_are_told(wrong, told):
    exercise = sized(lambda x, d, mask=None: x, sizes=(1, 4, 4, 5, 60) if wrong(1) else (2, 4, 5, 60))
    assert told_of(exercise, lambda x, d, mask=None: x.sin() if wrong(d) else x) == told


def test_an_input_that_all_wrong_cases_have_is_told():
    exercise = sized(lambda x, d, mask=None: x, sizes=(4, 5, 6, 7, 8), masked=(7, 8))
    assert told_of(exercise, lambda x, d, mask=None: x if mask is None else x.sin()) == (
        "in these cases right without `mask`, wrong with it"
    )


def test_a_truth_value_that_all_wrong_cases_have_is_told():
    exercise = sized(lambda x, big: x, calls="f(x, big) -> y", sizes=(7, 8, 9, 10), flag="big", above=9)
    assert (
        told_of(exercise, lambda x, big: x.sin() if big else x)
        == "in these cases right where big is False, wrong where it is True"
    )


def with_numbers(names, *rows):
    """What is said where the last row of these inputs is wrong and all others are right."""
    inputs = [dict(zip(names, row, strict=True)) for row in rows]
    right = [[1.0, 2.0]] * len(rows)
    return given([*right[1:], [1.0, 2.5]], right, inputs)


def test_a_number_that_is_0_in_all_right_cases_alone_is_told_in_place_of_a_size():
    assert (
        with_numbers("pB", (0.0, 3), (0, 4), (0.0, 2), (0.3, 400))
        == "in these cases right where p is 0, wrong where it is more"
    )


def test_a_size_that_is_1_in_the_large_cases_alone_is_told_beside():
    told = "in these cases right where S is 6 or less, wrong where it is 300 or more (they differ in d too)"
    assert with_numbers("dS", (2, 4), (3, 5), (4, 6), (1, 300)) == told


def test_a_size_is_no_reason_where_something_else_is_given_to_the_wrong_cases_alone():
    rows = [{"S": 4}, {"S": 5}, {"S": 6}, {"S": 300, "kept": torch.ones(2)}]
    right = [[1.0, 2.0]] * 4
    assert given([*right[1:], [1.0, 2.5]], right, rows) == ""
    rows[-1]["blocks.1.weight"] = rows[-1].pop("kept")  # a deeper model has more weights
    assert given([*right[1:], [1.0, 2.5]], right, rows).startswith("in these cases right where S is 6 or less")


def test_a_weight_that_hardly_changes_is_no_rotation():
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.001]])
    assert given([[[3.0, 5.0]]], [y.tolist()], [{"w": x}]) == ""


def told_of(exercise, wrong):
    cases = exercise.drawn(torch.Generator().manual_seed(0))
    expected = [outcome.outputs for outcome in observe_all(exercise, exercise.library, cases)]
    return symptom(exercise, cases, observe_all(exercise, (wrong,), cases), expected)


def unmoved(f):
    """What is said of f(x, k), which should be x ** k, on cases that share x or k."""
    x, z = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 5.0, 2.0])
    given = [{"x": x, "k": 2}, {"x": z, "k": 4}, {"x": x, "k": 4}]
    cases = [Case("values", f"case {i}", inputs) for i, inputs in enumerate(given)]
    exercise = dataclasses.replace(exercise_for(f), calls=("f(x, k) -> y",), probe=None)
    return symptom(exercise, cases, observe_all(exercise, (f,), cases), [{"y": g["x"] ** g["k"]} for g in given])


def test_an_argument_that_changes_nothing_is_named():
    kept = {}
    assert "differ in k alone (case 0; case 2)" in unmoved(lambda x, k: kept.setdefault(tuple(x.tolist()), x**k))


def test_nothing_is_said_of_an_argument_where_the_results_differ():
    assert unmoved(lambda x, k: x**k + k * torch.tensor([0.0, 1.0, 0.5])) == ""


def two_results(exchanged=(), cases=2):
    """What is said of two results of which those of the cases in `exchanged` stand in each other's place."""
    drawn = [Case("values", f"case {i}", {"x": torch.tensor(float(i))}) for i in range(cases)]
    expected = [{"loss": torch.tensor(1.0 + i), "accuracy": torch.tensor(0.5)} for i in range(cases)]
    outcomes = [
        Outcome(dict(zip(right, reversed(right.values()) if i in exchanged else right.values(), strict=True)))
        for i, right in enumerate(expected)
    ]
    return symptom(exercise_for(softmax), drawn, outcomes, expected)


def test_two_results_in_each_others_place_are_told():
    assert two_results(exchanged=(0, 1)) == "accuracy and loss are exchanged: each is what the other should be"


def test_results_that_are_where_they_should_be_are_not_said_to_be_exchanged():
    assert "exchanged" not in two_results()


def test_probabilities_in_place_of_logits_are_told():
    assert "y lies between 0 and 1" in given([[[0.2, 0.9], [0.4, 0.5]]], [[[-3.0, 2.0], [0.1, 5.0]]])


def test_one_number_is_a_multiple_only_where_it_is_so_in_three_cases():
    right, wrong = [0.5, 0.7, 0.2], [50.0, 70.0, 20.0]
    assert "y is 100 times what is expected" in given(wrong, right, inputs=({}, {}, {}))
    assert "times" not in given(wrong[:2], right[:2], inputs=({}, {}))


def test_where_another_case_is_nan_a_property_is_said_of_the_others():
    right, wrong = [[1.0, 2.0, 3.0]] * 2, [[0.0, 0.0, 0.0], [1.0, math.nan, 3.0]]
    assert "y, where all of it is finite, is 0 everywhere" in given(wrong, right, inputs=({}, {}))


def test_a_small_count_can_speak_against_a_multiple_and_shows_none():
    right, wrong = [1000, 2000, 3000], [2000, 4000, 6000]
    assert "y is 2 times what is expected" in given(wrong, right, inputs=({}, {}, {}))
    assert "times" not in given([*wrong, 5], [*right, 1], inputs=({},) * 4)
    assert "times" not in given([2, 4, 6], [1, 2, 3], inputs=({}, {}, {}))
