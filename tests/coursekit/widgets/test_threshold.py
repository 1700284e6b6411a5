"""The threshold slider: counts, ratios, a picture at once, and a sentence for bad values."""

import math

import pytest
import torch

from coursekit.figures import Picture
from coursekit.widgets.controls import Notice
from coursekit.widgets.threshold import counts, draw_threshold, precision_and_recall, ratios

P = torch.tensor([0.9, 0.8, 0.6, 0.4, 0.2, 0.1])
LABELS = torch.tensor([1, 1, 0, 1, 0, 0])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, (2, 1, 1, 2)), (0.0, (3, 3, 0, 0)), (1.0, (0, 0, 3, 3)), (0.15, (3, 2, 0, 1))],
)
def test_counts_add_up_what_is_called_positive_and_what_is(threshold, expected):
    assert counts(P, LABELS, threshold) == expected


def test_a_probability_on_the_threshold_is_called_positive():
    assert counts(torch.tensor([0.5]), torch.tensor([1]), 0.5) == (1, 0, 0, 0)


def test_precision_is_no_number_where_nothing_is_called_positive():
    precision, recall = ratios(0, 0, 3, 3)
    assert math.isnan(precision)
    assert recall == 0


@pytest.mark.parametrize("threshold", [0, 0.0, 0.5, 0.87, 1, 1.0])
def test_every_threshold_draws(threshold):
    drawn = draw_threshold(P, LABELS, threshold)
    assert isinstance(drawn, Picture)
    assert f"At {threshold:.2f}" in drawn.alt


@pytest.mark.parametrize("threshold", [-0.1, 1.1, None, "0.5", float("nan"), float("inf"), True, [0.5]])
def test_a_threshold_that_does_not_work_is_told(threshold):
    drawn = draw_threshold(P, LABELS, threshold)
    assert isinstance(drawn, Notice)
    assert "choose a number from 0 to 1" in drawn.text


@pytest.mark.parametrize("labels", [torch.ones(6).long(), torch.zeros(6).long(), torch.zeros(0).long()])
def test_one_class_alone_is_told(labels):
    assert "both classes" in draw_threshold(P[: len(labels)], labels, 0.5).text


def test_the_widget_displays_itself(capsys):
    precision_and_recall(P, LABELS)
    assert "Precision and recall over the threshold" in capsys.readouterr().out
