"""The clinic: every illness is drawn beside the healthy run of its recipe, and bad values are told in a sentence."""

import base64

import pytest

from coursekit.figures import STRICT, Picture
from coursekit.material.clinic import ILLNESSES
from coursekit.widgets.clinic import CURVES, HEALTHY, MOST_SEED, draw_clinic, watch_an_illness
from coursekit.widgets.controls import Notice

BAD_SEEDS = [None, "8", -1, 2.5, True, float("nan"), float("inf"), [1], MOST_SEED + 1]


@pytest.mark.parametrize("illness", ILLNESSES)
def test_every_illness_is_drawn_so_that_it_can_be_read(illness, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    drawn = draw_clinic(illness, 3)
    assert isinstance(drawn, Picture)
    assert drawn.width <= 800
    assert f"a run called {illness}" in drawn.alt
    assert all(title in drawn.alt for _, title, _ in CURVES)


def test_both_runs_begin_at_one_place():
    told = draw_clinic("rate too low", 0).alt.split("validation loss (nats) ")[1].split(";")[0]
    ill, healthy = told.split(" (healthy ")
    assert ill.split()[0] == healthy.split()[0]


def test_the_healthy_run_stands_alone():
    told = draw_clinic(HEALTHY, 0).alt.split("Accuracy on shuffled labels: ")[1]
    assert told.count("%") == told.count(HEALTHY) == 1


def test_another_seed_is_another_run():
    pictures = {base64.b64encode(draw_clinic("dead units", seed).png) for seed in (0, 1)}
    assert len(pictures) == 2


@pytest.mark.parametrize("illness", ["", "influenza", None, 7, ["healthy"]])
def test_an_unknown_illness_is_told(illness):
    drawn = draw_clinic(illness, 0)
    assert isinstance(drawn, Notice)
    assert "choose one of healthy, rate too high" in drawn.text


@pytest.mark.parametrize("seed", BAD_SEEDS)
def test_a_seed_that_does_not_work_is_told(seed):
    assert "choose a whole number from 0" in draw_clinic("dead units", seed).text


def test_the_widget_displays_itself(capsys):
    watch_an_illness("labels leak")
    assert "Six curves of a run called labels leak" in capsys.readouterr().out
