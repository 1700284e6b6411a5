"""Rate finder: what is marked is where the curve says it is, a run is made once, and bad runs are answered."""

import math

import pytest
import torch

from coursekit.figures import Picture
from coursekit.widgets import rate_finder
from coursekit.widgets.controls import Notice
from coursekit.widgets.rate_finder import (
    MOST_WIDTH,
    draw_rates,
    find_the_rate,
    growing_rates,
    rate_curve,
    read_rates,
    smooth,
)

RATES = growing_rates(1e-4, 10, 101)


def sloping(steepest=0.1, up_from=1.0):
    """A loss that falls from 2 to 1, most steeply up to one rate, and is infinite beyond another."""
    fall = [2 - 1 / (1 + math.exp(-6 * math.log10(r / steepest))) for r in RATES]
    return [z if r <= up_from else math.inf for z, r in zip(fall, RATES, strict=True)]


def draw(losses, batch=32, width=1, rates=RATES):
    return draw_rates(lambda batch: losses, rates, batch, width)


def test_rates_grow_by_a_factor():
    assert growing_rates(0.01, 1, 3) == pytest.approx([0.01, 0.1, 1])


def test_the_steepest_fall_is_marked():
    assert read_rates(RATES, sloping(0.1), 1).steepest == pytest.approx(0.1, rel=0.2)


def test_smoothing_leaves_the_fall_where_it_is():
    assert read_rates(RATES, sloping(0.1, 99), 12).steepest == pytest.approx(0.1, rel=0.2)


def test_it_is_blown_up_from_the_first_rate_at_which_half_of_the_gain_is_lost():
    found = read_rates(RATES, sloping(0.1, 1.0), 1)
    assert found.blown_up == next(rate for rate in RATES if rate > 1.0)
    assert found.lowest <= 1.0


def test_a_run_that_only_falls_is_not_blown_up():
    found = read_rates(RATES, sloping(0.1, 99), 1)
    assert found.blown_up is None
    assert "not blown up" in found.told


@pytest.mark.parametrize(
    "losses", [[2.0] * 101, [2.0 + 0.01 * (k % 3) for k in range(101)], [2.0] * 50 + [math.nan] * 51]
)
def test_where_nothing_falls_nothing_is_marked(losses):
    assert read_rates(RATES, losses, 4) is None
    assert "does not fall" in draw(losses).alt


def test_a_width_of_one_smooths_nothing():
    y = torch.rand(20, dtype=torch.float64) + 1
    torch.testing.assert_close(smooth(y, 1), y)


def test_smoothing_weighs_neighbours_less_the_farther_they_are():
    y = torch.ones(9, dtype=torch.float64)
    y[4] = 1.9
    torch.testing.assert_close(smooth(y, 2)[3:6], torch.tensor([1.225, 1.45, 1.225], dtype=torch.float64))


def test_what_is_no_number_counts_as_twice_the_beginning():
    losses = [2.0] * 12 + [math.nan, math.inf, 1e30]
    assert smooth(losses, 1).tolist() == [2.0] * 12 + [4.0] * 3


@pytest.mark.parametrize("kind", [list, torch.tensor, lambda z: [torch.tensor(one) for one in z]])
def test_losses_may_be_numbers_or_tensors(kind):
    assert "steepest fall at 0.089, lowest" in draw(kind(sloping(0.1))).alt


def test_losses_may_keep_their_gradients():
    z = torch.tensor(sloping(), requires_grad=True)
    assert isinstance(draw(z), Picture)
    assert isinstance(draw([*z]), Picture)


def test_the_figure_can_be_drawn_without_the_widget():
    assert "steepest fall at 0.089, lowest" in rate_curve(RATES, sloping(0.1), 1).axes[0].get_title()


@pytest.mark.parametrize("width", [1, MOST_WIDTH])
@pytest.mark.parametrize("losses", [sloping(), sloping(0.001, 0.01), sloping(1, 99), [2.0] * 101])
def test_every_curve_is_drawn_so_that_it_can_be_read(losses, width, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw(losses, width=width), Picture)


@pytest.mark.parametrize("batch", [0, -1, 2.5, None, "8", True, math.nan])
def test_a_batch_that_does_not_work_is_told(batch):
    assert "batch" in draw(sloping(), batch=batch).text


@pytest.mark.parametrize("width", [0, -1, 2.5, None, "8", True, math.nan, MOST_WIDTH + 1])
def test_a_width_that_does_not_work_is_told(width):
    assert "width" in draw(sloping(), width=width).text


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        (sloping()[:-1], "100 losses for 101 rates"),
        (None, "a NoneType"),
        (2.0, "a float"),
        (torch.ones(101, 2), "a list"),
        (["2"] * 101, "a list"),
        ([math.nan] * 101, "smaller rate"),
        ([0.0] * 101, "smaller rate"),
    ],
)
def test_a_run_that_gives_other_losses_is_told(losses, told):
    found = draw(losses)
    assert isinstance(found, Notice)
    assert told in found.text


@pytest.mark.parametrize("rates", [RATES[:5], RATES[::-1], [0.1] * 20, [0.0, *RATES]])
def test_rates_that_do_not_grow_are_told(rates):
    assert "no ladder" in draw([2.0] * len(rates), rates=rates).text


def test_a_run_is_made_once_for_each_batch(monkeypatch):
    shown, asked = {}, []
    monkeypatch.setattr(rate_finder, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    find_the_rate(lambda rates, batch: asked.append((rates, batch)) or sloping(), RATES, batches=(8, 16, 32))
    first = {name: control.value for name, control in shown["controls"].items()}
    assert isinstance(shown["draw"](**first), Picture)
    for width in (1, 5):
        shown["draw"](batch=8, width=width)
    assert asked == [(RATES, 16), (RATES, 8)]
