"""The clinic's runs: one for a seed, with the symptoms that their sentences promise."""

import dataclasses

import pytest
import torch

from coursekit.material.clinic import ILLNESSES, RECORDED, Run, train_with

SEEDS = (1, 2, 3)
CURVES = [field.name for field in dataclasses.fields(Run)][:-1]


@pytest.fixture(scope="module")
def runs():
    return {name: [train_with(name, seed) for seed in SEEDS] for name in ILLNESSES}


def every(runs, *names):
    return [run for name in names for run in runs[name]]


def test_a_seed_gives_the_same_run_again(runs):
    again = train_with("rate too high", SEEDS[0])
    assert all(torch.equal(getattr(runs["rate too high"][0], name), getattr(again, name)) for name in CURVES)


def test_every_curve_is_recorded_at_the_same_number_of_steps_and_finite(runs):
    found = [getattr(run, name) for run in every(runs, *ILLNESSES) for name in CURVES]
    assert {(*x.shape, x.dtype) for x in found} == {(RECORDED, torch.float32)}
    assert all(x.isfinite().all() for x in found)


def test_seeds_draw_recipes_and_illnesses_do_not(runs):
    lengths = {name: [run.steps[-1].item() for run in runs[name]] for name in ILLNESSES}
    assert len(set(lengths["healthy"])) == len(SEEDS)
    assert len({tuple(x) for x in lengths.values()}) == 1


def test_only_a_leak_is_better_than_chance_on_shuffled_labels(runs):
    reached = {name: [run.accuracy_on_shuffled_labels for run in runs[name]] for name in ILLNESSES}
    assert min(reached.pop("labels leak")) > 0.5
    assert max(max(found) for found in reached.values()) < 0.2


def test_healthy_runs_learn(runs):
    assert min(run.validation_accuracy[-1] for run in every(runs, "healthy")) > 0.6


def test_what_is_wrong_from_the_first_step_shows_before_it(runs):
    assert all(run.training_loss[0] > 20 for run in every(runs, "inputs not scaled"))
    assert all(run.zeros[0] > 0.9 for run in every(runs, "dead units"))
    alike = every(runs, "healthy", "rate too high", "rate too low", "gradients not zeroed", "over-fitting")
    assert all(run.training_loss[0] < 4 and run.zeros[0] < 0.7 for run in alike)


def test_learning_by_heart_leaves_the_two_losses_apart(runs):
    assert all(run.training_loss[-1] < 0.4 * run.validation_loss[-1] for run in every(runs, "over-fitting"))


def test_an_unknown_illness_is_refused():
    with pytest.raises(ValueError, match=r"found the illness 'flu', expected one of healthy, rate too high"):
        train_with("flu", 0)
