"""The gate itself can fail: each way of failing is shown once."""

import dataclasses
import re

import pytest
import torch

from coursekit.checking import store
from coursekit.exercises import find
from grader import depending
from grader.__main__ import main
from grader.exercises import trusted
from grader.proving import gate, memory, proof, tensors

ID = "attention.sdpa"
FEW = proof.Seeds((5, 9), (9,))


def gated(half, exercise=None, committed=None):
    """The proof of sdpa with a trusted half of the test's own, and tensors that fit it."""
    exercise = exercise or find(ID)
    committed = committed or tensors.public(exercise, half)
    return proof.prove(exercise, half, committed, FEW, torch.device("cpu"))


def copy_of(half):
    return dataclasses.replace(half, mistakes=list(half.mistakes), alternatives=dict(half.alternatives))


def test_the_finished_exercise_passes():
    found = gate.run([ID], FEW)
    assert found.tally.failures == []
    mistakes, right = len(trusted(ID).mistakes), len(trusted(ID).alternatives)
    counts = f"{mistakes} of {mistakes} mistakes rejected, {mistakes} of {mistakes} named, {right} of {right}"
    wanted = (
        f"gate: 1 exercises, {counts} alternatives accepted, right answers on 2 secret seeds, mistakes on seeds 9, "
    )
    assert found.line().startswith(wanted)


def test_a_right_answer_registered_as_a_mistake_fails():
    half = copy_of(trusted(ID))
    half.add_mistake("right", "This is right.", torch.nn.functional.scaled_dot_product_attention)
    tally = gated(half)
    assert any("mistake right gets full marks" in told for told in tally.failures)
    assert tally.mistakes - tally.rejected == 1


def test_a_wrong_alternative_fails():
    half = copy_of(trusted(ID))
    half.add_alternative("wrong", lambda Q, K, V: Q @ K.mT @ V)
    tally = gated(half)
    assert any("wrong loses marks" in told for told in tally.failures)
    assert tally.alternatives - tally.accepted == 1


def test_a_right_answer_is_tried_on_seeds_on_which_mistakes_are_not():
    half = copy_of(trusted(ID))
    half.add_alternative("wrong", lambda Q, K, V: Q @ K.mT @ V)
    assert {re.search(r"\((\w+ ?\d*)\)", told)[1] for told in gated(half).failures} == {"public", "seed 5", "seed 9"}


def test_two_mistakes_that_look_alike_fail():
    half = copy_of(trusted(ID))
    half.add_mistake("no_scale_again", "Another sentence.", lambda Q, K, V: torch.softmax(Q @ K.mT, -1) @ V)
    tally = gated(half)
    assert any("no_scale_again is taken for NotScaled (seed 9)" in told for told in tally.failures)
    assert tally.mistakes - tally.named == 1


def test_a_mistake_that_only_hidden_cases_refuse_a_part_fails():
    """As when the drawn numbers decide whether it shows: a learner's green check would not hold in grading."""
    public = {case.inputs["V"].sum().item() for case in store.load(ID).cases}

    def right_by_chance(Q, K, V):
        return torch.nn.functional.scaled_dot_product_attention(Q, K, V) + (V.sum().item() not in public)

    half = copy_of(trusted(ID))
    half.add_mistake("by_chance", "It depends on the numbers.", right_by_chance)
    told = [told for told in gated(half).failures if "passes" in told]
    parts = find(ID).parts
    assert told == [
        f"{ID}: mistake by_chance passes {part} on the public cases, not on hidden ones (seed 9)"
        for part in sorted(parts)
    ]


def test_too_few_mistakes_fail():
    half = dataclasses.replace(copy_of(trusted(ID)), budget="")
    del half.mistakes[3:]
    assert any("expected 8 to 16" in told for told in gated(half).failures)


def test_a_check_that_pays_for_the_stub_fails():
    paid = dataclasses.replace(find(ID), probe=lambda case, attend: {"Y": case["V"]})
    assert any("stub" in told for told in gated(copy_of(trusted(ID)), paid).failures)


def test_tensors_that_are_not_those_made_now_fail():
    half = copy_of(trusted(ID))
    del half.mistakes[-1]
    [told] = gated(half, committed=store.load(ID)).failures
    assert told.startswith(f"{ID}: the committed tensors have other mistakes (('scale_after_softmax', ")
    assert told.endswith("run `make tensors`")


def test_a_reference_that_fails_is_one_sentence():
    def broken(Q, K, V):
        raise ValueError("no such matrix")

    half = copy_of(trusted(ID))
    half.reference = (broken,)
    [told] = gated(half, committed=store.load(ID)).failures
    assert told.startswith(f"{ID}: the reference of {ID} fails on 'T=3, S=4, d=8, e=5':")


def test_what_breaks_a_proof_is_told_and_stops_no_other(monkeypatch):
    def prove(exercise, *rest):
        if exercise.id == ID:
            raise TypeError("a law of its own")
        return proof.Tally(exercises=1)

    monkeypatch.setattr(gate, "prove", prove)
    found = gate.run([ID, "attention.softmax"], FEW)
    [told] = found.tally.failures
    assert told.startswith(f"{ID}: the proof breaks off\nTraceback")
    assert told.endswith("TypeError: a law of its own\n")
    assert found.tally.exercises == 2


@pytest.fixture
def proved(monkeypatch):
    """Ids in the order in which they are proved, by a proof that costs nothing."""
    ids = []

    def prove(exercise, *rest):
        ids.append(exercise.id)
        return proof.Tally(exercises=1, seconds=20.0 if exercise.id == ID else 1.0)

    monkeypatch.setattr(gate, "prove", prove)
    return ids


def test_what_was_proved_is_not_proved_again(proved, tmp_path):
    lines = []
    gate.run([ID], FEW, where=tmp_path)
    found = gate.run([ID], FEW, where=tmp_path, say=lines.append)
    assert (proved, lines) == ([ID], [f"{ID}: proved before"])
    assert found.line().startswith("gate: 1 exercises, 1 proved before")


@pytest.mark.parametrize("changed", ["the code", "the seeds", "the tensors", "the memory"])
def test_after_a_change_it_is_proved_again(changed, proved, tmp_path, monkeypatch):
    gate.run([ID], FEW, where=tmp_path)
    seeds = FEW
    if changed == "the code":
        monkeypatch.setattr(depending, "digest", lambda files: "another state")
    elif changed == "the seeds":
        seeds = proof.Seeds((5, 9), (5,))
    elif changed == "the tensors":
        known = store.load(ID)
        first = dataclasses.replace(known.cases[0], label="another")
        monkeypatch.setattr(store, "load", lambda _: dataclasses.replace(known, cases=(first, *known.cases[1:])))
    else:
        (tmp_path / f"{ID}.json").write_text('{"seconds": 1, "pro')
    gate.run([ID], seeds, where=tmp_path)
    assert proved == [ID, ID]


def test_a_proof_that_failed_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "prove", lambda *_: proof.Tally(exercises=1, failures=["wrong"]))
    for _ in range(2):
        assert gate.run([ID], FEW, where=tmp_path).tally.failures == ["wrong"]


def test_nothing_is_remembered_where_tests_run_for_everybody(monkeypatch):
    monkeypatch.setenv("CI", "true")
    assert memory.folder() is None


def test_the_dearest_are_proved_first(proved, tmp_path):
    """By how many answers are tried on how many cases, and from then on by the time that they took."""
    ids = ["attention.softmax", "attention.masks", ID]
    sizes = {id: len(trusted(id).mistakes) * len(store.load(id).cases) for id in ids}
    gate.run(ids, FEW, where=tmp_path)
    assert proved == sorted(ids, key=sizes.__getitem__, reverse=True)
    gate.run(ids, proof.Seeds((1,), (1,)), where=tmp_path)
    assert proved[3] == ID


def test_what_is_dear_is_a_warning(proved):
    found = gate.run([ID, "attention.softmax"], FEW)
    assert found.warnings() == [
        f"{ID} takes 20 CPU s, more than 15: cheaper cases or fewer mistakes",
        "an exercise takes 10.5 CPU s on average, more than 6",
    ]


def test_each_turn_takes_other_seeds_and_all_turns_take_every_one():
    turns = [gate.seeds_of(turn).mistakes for turn in range(1, gate.TURNS + 1)]
    assert {len(turn) for turn in turns} == {2, 3}
    assert sorted(n for turn in turns for n in turn) == list(gate.NUMBERS)
    assert gate.seeds_of().mistakes in turns
    assert {gate.seeds_of(turn).right for turn in (*range(1, gate.TURNS + 1), None)} == {gate.NUMBERS}


@pytest.mark.parametrize("command", ["gate", "tensors"])
def test_a_misspelt_id_is_one_sentence(command, capsys):
    assert main([command, "attention.spda"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("no exercise is called 'attention.spda'; did you mean 'attention.sdpa'")
    assert printed.err.count("\n") == 1


def test_missing_tensors_are_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    assert main(["gate", ID, "--all"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("the reference tensors 02_attention.safetensors cannot be read")
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_right_answers_are_right_on_a_gpu():
    assert gate.run(seeds=proof.Seeds((1,), ()), device="cuda").tally.failures == []
