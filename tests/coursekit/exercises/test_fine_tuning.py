"""bert.classifier to bert.early_stopping: slips that the probes turn into one sentence."""

import copy

import pytest
import torch
from torch import nn

from coursekit.checking.observing import observe
from coursekit.exercises import find

IDS = ("bert.classifier", "bert.parameter_groups", "bert.fine_tuning", "bert.early_stopping")


def told(exercise_id, *objects, case=""):
    """The problem with the first case whose part or label has these words."""
    exercise = find(exercise_id)
    cases = exercise.cases(torch.Generator().manual_seed(1))
    return observe(exercise, objects, next(c for c in cases if case in f"{c.part}: {c.label}")).problem


class Misnamed(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(D, C)


class NoForward(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.linear = encoder, nn.Linear(D, C)


def test_a_classifier_without_its_linear_layer_is_told_what_it_has():
    assert told("bert.classifier", Misnamed).startswith(
        "the module has no weight called 'linear.weight'; it has encoder"
    )


def test_a_classifier_without_forward_is_told():
    assert "no method forward" in told("bert.classifier", NoForward)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (None, "parameter_groups returned a NoneType, expected a list of dicts"),
        ([[1]], "a group is a list, expected a dict"),
        ([{"params": [], "rate": 1.0}], "a group has no 'lr' and no 'weight_decay'; it has the keys 'params', 'rate'"),
        ([{"params": [("w", 1)], "lr": 1.0, "weight_decay": 0.0}], "'params' holds a tuple, expected parameters"),
        ([{"params": [1], "lr": 1.0, "weight_decay": 0.0}], "'params' holds a int, expected parameters"),
        ([{"params": [], "lr": "1e-4", "weight_decay": 0.0}], "expected one number: 'lr'"),
        ([{"params": [torch.ones(2)], "lr": 1.0, "weight_decay": 0.0}], "belongs to none of the parts"),
    ],
)
def test_groups_that_no_optimiser_could_read_are_told(groups, words):
    assert words in told("bert.parameter_groups", lambda parts, rate, factor, decay: groups, None)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "it returned None, expected 2 numbers: loss, accuracy"),
        (0.5, "it returned a float, expected 2 numbers"),
        ((0.5, None), "expected one number: accuracy"),
        ((torch.ones(2), 0.5), "of shape (2,), expected one number: loss"),
    ],
)
def test_an_evaluation_that_does_not_return_two_numbers_is_told(result, words):
    assert words in told("bert.fine_tuning", None, lambda model, batches, device: result, case="evaluation:")


def test_a_training_that_returns_nothing_is_told():
    words = "it returned None (is there a return?), expected one number: the mean loss"
    assert told("bert.fine_tuning", lambda *given: None, None) == words


def test_a_batch_that_is_not_moved_fails_without_a_gpu_too():
    def without_moving(model, batches, optimizer, scheduler, clip, device):
        for ids, real, _ in batches:
            model(ids, real)

    assert "move it with .to(device)" in told("bert.fine_tuning", without_moving, None, case="on another device")


class Twin(Misnamed):
    """A copy of the encoder in its place."""

    def __init__(self, encoder, pool, D, C, p):
        nn.Module.__init__(self)
        self.encoder, self.linear = copy.deepcopy(encoder), nn.Linear(D, C)

    def forward(self, ids, real):
        return self.linear(self.encoder(ids, real)[:, 0])


def test_a_copy_in_place_of_the_encoder_is_told():
    assert "self.encoder is a copy" in told("bert.classifier", Twin)


class Half:
    def __init__(self, model, patience):
        pass

    def update(self, loss):
        return False


class Assigns(Half):
    def __init__(self, model, patience):
        self.model = model

    def restore(self):
        self.model.linear.weight = nn.Parameter(torch.zeros(2, 3))


def test_early_stopping_without_restore_is_told():
    assert told("bert.early_stopping", Half) == "the class has no method restore"


def test_a_parameter_that_is_replaced_is_told():
    assert "which the optimiser does not know" in told("bert.early_stopping", Assigns)


@pytest.mark.parametrize("exercise_id", IDS)
def test_the_layout_of_cases_does_not_depend_on_the_seed(exercise_id):
    exercise = find(exercise_id)
    one, other = (exercise.cases(torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert [case.part for case in one] == [case.part for case in other]
    assert {case.part for case in one} == set(exercise.parts)
