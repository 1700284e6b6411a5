"""Secret cases: rounding must not decide whether a right answer passes."""

import dataclasses

import pytest
import torch

from coursekit.checking.comparing import close
from coursekit.checking.contract import Case, Exercise
from coursekit.checking.observing import observe
from coursekit.exercises import find
from grader.contract import Trusted
from grader.drawing import draw, drawn_from
from grader.exercises import trusted

BAD_SEEDS = (1, 2, 3)


def variance(x):
    """Unstable where the mean is large: in float32 nothing of the variance is left."""
    return (x * x).mean() - x.mean() ** 2


def cases(g):
    x = torch.randn(8, generator=g)
    return [Case("values", "n=8", {"x": x + 1e4 if g.initial_seed() in BAD_SEEDS else x})]


EXERCISE = Exercise(
    id="test.variance",
    title="Variance",
    parts={"values": 1},
    minutes=1,
    difficulty="core",
    calls=("variance(x) -> y",),
    cases=cases,
    probe=lambda case, function: {"y": function(case["x"])},
    library=(variance,),
)


def test_a_draw_that_rounding_decides_is_thrown_away():
    drawn = draw(EXERCISE, Trusted(variance), seed=1)
    assert drawn.cases[0].inputs["x"].abs().max() < 100
    right = cases(torch.Generator().manual_seed(BAD_SEEDS[-1] + 1))[0]
    assert torch.equal(drawn.cases[0].inputs["x"], right.inputs["x"])


def test_the_same_seed_draws_the_same_cases():
    first, second = (draw(EXERCISE, Trusted(variance), seed=9) for _ in range(2))
    assert torch.equal(first.cases[0].inputs["x"], second.cases[0].inputs["x"])
    assert torch.equal(first.expected[0]["y"], second.expected[0]["y"])


def test_a_reference_is_asked_only_where_an_answer_is_compared():
    asked = []

    def counted(x):
        asked.append(x)
        return variance(x)

    drawn = drawn_from(EXERCISE, Trusted(counted), seed=9)
    assert (len(drawn.cases), asked) == (2, [])
    assert drawn.expected[0]["y"] == drawn.expected[0]["y"]
    assert len(asked) == len(drawn.cases)


def test_the_first_case_comes_again_after_all_others():
    first, again = draw(EXERCISE, Trusted(variance), seed=9).cases
    assert (first.again, again.again, again.part) == (False, True, first.part)
    assert torch.equal(first.inputs["x"], again.inputs["x"])


def test_cases_that_never_hold_still_are_told():
    def always_bad(g):
        return [Case("values", "n=8", {"x": 1e4 + torch.randn(8, generator=g)})]

    with pytest.raises(RuntimeError, match=r"test.variance: 100 draws from seed 5 on, and rounding decides"):
        draw(dataclasses.replace(EXERCISE, cases=always_bad), Trusted(variance), seed=5)


def test_right_answers_stay_within_half_of_the_tolerance():
    """The transformer block, whose norms magnify rounding, written in other ways and in float32."""
    exercise, secret = find("attention.block"), trusted("attention.block")
    half = tuple(value / 2 for value in exercise.tolerance[torch.float32])
    for n in range(20):
        drawn = draw(exercise, secret, 7919 * n)
        pairs = [pair for pair in zip(drawn.cases, drawn.expected, strict=True) if pair[0].dtype == torch.float32]
        for objects in (exercise.library, *secret.alternatives.values()):
            for case, right in pairs:
                found = observe(exercise, objects, case).outputs
                assert all(close(found[name], right[name], half).all() for name in right), case.label
