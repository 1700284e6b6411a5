"""The clinic: the trusted diagnosis finds what was put in, and a verdict says what was taken for what."""

import pytest
import torch

from coursekit.exercises.core.clinic import EACH, NAMES, PARTS, told
from coursekit.material.clinic import train_with
from grader.exercises import trusted

ALL = torch.arange(len(NAMES)).repeat(EACH)
HALF = torch.tensor([NAMES.index(name) for name in PARTS["one look"]]).repeat(EACH)


def answered(right, *others):
    """`right` but for what `others` changes, (place, name) each."""
    found = right.clone()
    for place, name in others:
        found[place] = NAMES.index(name)
    return told(found, right)


@pytest.mark.parametrize("name", NAMES)
def test_every_right_answer_names_what_was_put_in(name):
    answers = [trusted("core.clinic").reference, *trusted("core.clinic").alternatives.values()]
    runs = [train_with(name, seed) for seed in (11, 12)]
    assert {diagnose(run) for (diagnose,) in answers for run in runs} == {name}


def test_the_parts_share_the_illnesses_among_them():
    assert sorted([*PARTS["one look"], *PARTS["two curves"]]) == sorted(NAMES) == sorted(PARTS["all ten"])


def test_eight_of_eighty_may_be_wrong_where_each_illness_is_wrong_once():
    assert answered(ALL, *((place, "healthy") for place in range(1, 9))) == ""
    assert answered(ALL, *((place, "healthy") for place in range(1, 10))).startswith("71 of 80 runs are named")


def test_an_illness_that_is_missed_twice_is_told():
    sentence = answered(ALL, (9, "over-fitting"), (19, "over-fitting"))
    assert sentence == "78 of 80 runs are named; 2 of 8 'labels leak' were called 'over-fitting'"


def test_of_five_illnesses_one_may_be_missed():
    first = NAMES[HALF[0]]
    places = (HALF[0] == HALF).nonzero().flatten().tolist()
    assert answered(HALF, *((place, "over-fitting") for place in places)) == ""
    assert f"8 of 8 '{first}'" in answered(HALF, *((p, "over-fitting") for p in (*places, 1, 2, 3)))


def test_three_kinds_of_error_are_told_and_others_counted():
    wrong = [(1, "healthy"), (11, "healthy"), (2, "dead units"), (3, "dead units"), (4, "healthy")]
    sentence = answered(ALL, *wrong)
    assert sentence.count("were called") == 3
    assert sentence.endswith(", and another one")


def test_numbers_that_name_nothing_are_wrong_and_break_nothing():
    assert told(torch.full_like(ALL, -(2**62)), ALL) == "0 of 80 runs are named"
