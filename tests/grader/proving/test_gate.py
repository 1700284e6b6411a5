"""The gate itself can fail: each way of failing is shown once."""

import dataclasses

import pytest
import torch

from coursekit.exercises import find
from grader.exercises import trusted
from grader.proving import gate

ID = "attention.sdpa"


@pytest.fixture
def gated(monkeypatch):
    """Run the gate on sdpa with a trusted half of the test's own."""

    def run(half, exercise=None):
        monkeypatch.setattr(gate, "trusted", lambda _: half)
        monkeypatch.setattr(gate, "find", lambda exercise_id: exercise or find(exercise_id))
        return gate.run([ID], seeds=(5,))

    return run


def copy_of(half):
    return dataclasses.replace(half, mistakes=list(half.mistakes), alternatives=dict(half.alternatives))


def test_the_finished_exercise_passes(gated):
    tally = gated(trusted(ID))
    assert tally.failures == []
    mistakes, right = len(trusted(ID).mistakes), len(trusted(ID).alternatives)
    counts = f"{mistakes} of {mistakes} mistakes rejected, {mistakes} of {mistakes} named, {right} of {right}"
    assert tally.line().startswith(f"gate: 1 exercises, {counts} alternatives accepted, 2 seeds")


def test_a_right_answer_registered_as_a_mistake_fails(gated):
    half = copy_of(trusted(ID))
    half.add_mistake("right", "This is right.", torch.nn.functional.scaled_dot_product_attention)
    tally = gated(half)
    assert any("mistake right gets full marks" in told for told in tally.failures)
    assert tally.mistakes - tally.rejected == 1


def test_a_wrong_alternative_fails(gated):
    half = copy_of(trusted(ID))
    half.add_alternative("wrong", lambda Q, K, V: Q @ K.mT @ V)
    assert any("wrong loses marks" in told for told in gated(half).failures)


def test_two_mistakes_that_look_alike_fail(gated):
    half = copy_of(trusted(ID))
    half.add_mistake("no_scale_again", "Another sentence.", lambda Q, K, V: torch.softmax(Q @ K.mT, -1) @ V)
    assert any("no_scale_again is taken for NotScaled" in told for told in gated(half).failures)


def test_too_few_mistakes_fail(gated):
    half = copy_of(trusted(ID))
    del half.mistakes[3:]
    assert any("needs 4 mistakes" in told for told in gated(half).failures)


def test_a_check_that_pays_for_the_stub_fails(gated):
    paid = dataclasses.replace(find(ID), probe=lambda case, attend: {"Y": case["V"]})
    assert any("stub" in told for told in gated(copy_of(trusted(ID)), paid).failures)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gate_holds_on_a_gpu():
    assert gate.run(seeds=gate.SECRET[:2], device="cuda").failures == []
