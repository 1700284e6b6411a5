"""bert.wordpiece, bert.batches, bert.embeddings, bert.encoder_layer: slips that a sentence names, and the stand-ins."""

import copy

import pytest
import torch
from torch import nn

from coursekit.checking.judging import measured
from coursekit.checking.observing import observe
from coursekit.exercises import find


def case_of(exercise, part):
    return next(c for c in exercise.cases(torch.Generator().manual_seed(1)) if c.part == part)


def told(exercise_id, part, *objects):
    exercise = find(exercise_id)
    case = case_of(exercise, part)
    return measured(exercise, case, observe(exercise, objects, case)).problem


@pytest.mark.parametrize(
    ("wordpiece", "words"),
    [
        (lambda word, vocabulary: [0], "pieces holds a int, expected strings"),
        (lambda word, vocabulary: "[UNK]", "it returned a str, expected pieces: a list of strings"),
        (lambda word, vocabulary: None, "it returned None (is there a return?), expected pieces"),
    ],
)
def test_pieces_that_are_no_list_of_strings_are_told(wordpiece, words):
    assert words in told("bert.wordpiece", "longest match", wordpiece)


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        (lambda lengths, size: [[7]], "a batch holds the number 7, and there are 7 sentences, 0 to 6"),
        (lambda lengths, size: [0, 1], "it returned a int, expected a batch: a list of integers"),
        (lambda lengths, size: None, "batches_by_length returned a NoneType, expected a list of batches"),
    ],
)
def test_batches_that_are_no_lists_of_sentences_are_told(batches, words):
    assert words in told("bert.batches", "batches", None, batches, None)


class WithoutForward(nn.Module):
    """The released cell with its forward taken out."""

    def __init__(self, like):
        super().__init__()
        for name, part in like.named_children():
            setattr(self, name, part)


@pytest.mark.parametrize("exercise_id", ["bert.embeddings", "bert.encoder_layer"])
def test_a_class_without_forward_is_told(exercise_id):
    library = find(exercise_id).library[0]
    assert "the class has no method forward" in told(exercise_id, "values", lambda *a: WithoutForward(library(*a)))


@pytest.fixture
def layer():
    return find("bert.encoder_layer").library[0](8, 2, 12)


def test_a_copy_of_the_stand_in_computes_with_its_own_weights(layer):
    X, real = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    before, other = layer(X, real), copy.deepcopy(layer)
    with torch.no_grad():
        other.query.weight.zero_()
        other.norm_output.bias.add_(1)
    assert torch.equal(layer(X, real), before)
    assert (other(X, real) - before).abs().max() > 0.1


def test_the_stand_in_has_each_weight_once_under_the_names_of_the_exercise(layer):
    modules = ("query", "key", "value", "output", "norm_attention", "up", "down", "norm_output")
    assert set(layer.state_dict()) == {f"{name}.{part}" for name in modules for part in ("weight", "bias")}
    assert len(list(layer.parameters())) == 16


def test_the_stand_in_gives_the_same_in_training_as_in_evaluation(layer):
    X, real = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(layer.train()(X, real), layer.eval()(X, real))
