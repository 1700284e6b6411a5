"""Reference tensors: what the committed ones must be, and how one exercise's are made anew. The gate compares them."""

import dataclasses
import shutil

import pytest
import torch

from coursekit.checking import store
from coursekit.exercises import chapters, find
from grader.exercises import trusted
from grader.proving import tensors

IDS = [exercise_id for chapter in chapters() for exercise_id in chapter.exercises]
ID = "attention.sdpa"


@pytest.fixture(scope="module")
def made():
    return tensors.public(find(ID), trusted(ID))


def told(committed, made):
    return list(tensors.differences(committed, made, find(ID)))


def replaced(known, i=0, **changes):
    """Known, with other inputs, label or answers of one case."""
    cases, expected = list(known.cases), list(known.expected)
    expected[i] = expected[i] | changes.pop("answers", {})
    cases[i] = dataclasses.replace(cases[i], inputs=cases[i].inputs | changes.pop("inputs", {}), **changes)
    return dataclasses.replace(known, cases=tuple(cases), expected=tuple(expected))


def test_what_is_made_now_is_what_is_made_now(made):
    assert told(made, made) == []


def test_rounding_is_no_difference(made):
    assert told(replaced(made, answers={"Y": made.expected[0]["Y"] * (1 + 2e-7)}), made) == []


Y = "the committed answers to 'T=3, S=4, d=8, e=5' are others (Y): run `make tensors`"
Q = "the committed inputs of 'T=3, S=4, d=8, e=5' are others (Q): run `make tensors`"


def test_trained_inputs_may_be_others_and_answers_may_not(made):
    exercise = dataclasses.replace(find(ID), trained=True)
    others = replaced(made, inputs={"Q": made.cases[0].inputs["Q"] + 1})
    assert list(tensors.differences(others, made, exercise)) == []
    wrong = replaced(others, answers={"Y": made.expected[0]["Y"] + 1})
    assert list(tensors.differences(wrong, made, exercise)) == [Y]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda k: replaced(k, answers={"Y": k.expected[0]["Y"] + 1e-3}), Y),
        (lambda k: replaced(k, answers={"Y": k.expected[0]["Y"].double()}), Y),
        (lambda k: replaced(k, answers={"Z": k.expected[0]["Y"]}), Y.replace("Y", "Z")),
        (lambda k: replaced(k, inputs={"Q": k.cases[0].inputs["Q"] + 1e-7}), Q),
        (lambda k: replaced(k, inputs={"Q": k.cases[0].inputs["Q"].mT.contiguous().mT}), Q),
    ],
)
def test_other_numbers_are_told(change, sentence, made):
    assert told(change(made), made) == [sentence]


def test_another_label_is_told(made):
    [sentence] = told(replaced(made, label="another"), made)
    assert sentence.startswith("the committed tensors have other cases (('values', 'T=3")


def test_another_sentence_of_a_mistake_is_told(made):
    first, *rest = made.mistakes
    [sentence] = told(dataclasses.replace(made, mistakes=(dataclasses.replace(first, sentence="?"), *rest)), made)
    assert sentence.startswith("the committed tensors have other mistakes (('NotScaled', '?')")


def test_another_order_of_the_cases_is_told(made):
    turned = dataclasses.replace(made, cases=made.cases[::-1], expected=made.expected[::-1])
    assert told(turned, made) == ["the committed tensors have other cases (their order): run `make tensors`"]


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.slug)
def test_what_is_read_and_written_again_is_the_same_to_the_byte(chapter):
    """So that one exercise can be made anew and the others stay."""
    committed = (store.FOLDER / f"{chapter.slug}.safetensors").read_bytes()
    assert store.dump({id: store.load(id) for id in chapter.exercises}) == committed


def test_one_exercise_is_made_anew_and_the_others_stay(tmp_path):
    chapter = next(chapter for chapter in chapters() if ID in chapter.exercises)
    shutil.copy(store.FOLDER / f"{chapter.slug}.safetensors", tmp_path)
    was = {id: store.load(id) for id in chapter.exercises}
    spoiled = was | {ID: replaced(was[ID], answers={"Y": was[ID].expected[0]["Y"] + 1})}
    path = tmp_path / f"{chapter.slug}.safetensors"
    path.write_bytes(store.dump(spoiled))
    assert tensors.write([ID], tmp_path) == [path]
    now = {id: store.load(id, tmp_path) for id in chapter.exercises}
    assert list(tensors.differences(was[ID], now[ID], find(ID))) == []
    others = [id for id in chapter.exercises if id != ID]
    assert store.dump({id: now[id] for id in others}) == store.dump({id: was[id] for id in others})


def test_processes_make_the_same_bytes(tmp_path):
    chapter = next(chapter for chapter in chapters() if ID in chapter.exercises)
    ids, contents = ["attention.softmax", ID], []
    for jobs in (1, 2):
        shutil.copy(store.FOLDER / f"{chapter.slug}.safetensors", tmp_path)
        [path] = tensors.write(ids, tmp_path, jobs)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_an_exercise_that_stays_must_be_there(tmp_path):
    with pytest.raises(store.StoreError, match="run `make tensors`"):
        tensors.write([ID], tmp_path)
    assert list(tmp_path.iterdir()) == []


# Exercises whose statements name the one precision of what they are given.
OF_ONE_PRECISION = {"core.scaling_law": torch.float64, "core.clinic": torch.float32}


@pytest.mark.parametrize("exercise_id", IDS)
def test_cases_cover_single_and_double_precision(exercise_id):
    dtypes = {case.dtype for case in store.load(exercise_id).cases}
    # An exercise without floating inputs answers in float32, whatever the case.
    if any(
        torch.is_tensor(v) and v.is_floating_point() for c in store.load(exercise_id).cases for v in c.inputs.values()
    ):
        one = OF_ONE_PRECISION.get(exercise_id)
        assert dtypes == {one} if one else {torch.float32, torch.float64} <= dtypes


@pytest.mark.parametrize("exercise_id", IDS)
def test_every_part_has_cases(exercise_id):
    assert {case.part for case in store.load(exercise_id).cases} == set(find(exercise_id).parts)
