"""Cache: cells and products are those that a model computes, pass after pass."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coursekit.figures import Picture
from coursekit.widgets import cells as cells_module
from coursekit.widgets.cells import (
    ABSENT,
    COMPUTED,
    KEPT,
    LONGEST,
    MOST_PADDING,
    MOST_STEPS,
    cache_cells,
    counts,
    draw_cells,
    states,
)
from coursekit.widgets.controls import Notice

BAD = [None, "3", -1, 99, 2.5, True, math.nan, [1]]


def test_without_a_cache_every_pass_computes_all_that_is_there():
    A = states(3, 2, cached=False)
    assert [row.tolist()[:6] for row in A[:4]] == [
        [COMPUTED] * 3 + [ABSENT] * 3,
        [COMPUTED] * 4 + [ABSENT] * 2,
        [COMPUTED] * 5 + [ABSENT],
        [ABSENT] * 6,
    ]


def test_with_a_cache_a_pass_computes_the_new_token_alone():
    A = states(3, 2, cached=True)
    assert [row.tolist()[:6] for row in A[:4]] == [
        [COMPUTED] * 3 + [ABSENT] * 3,
        [KEPT] * 3 + [COMPUTED] + [ABSENT] * 2,
        [KEPT] * 4 + [COMPUTED] + [ABSENT],
        [ABSENT] * 6,
    ]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("step", [0, 1, 5])
def test_products_are_those_of_torch(step, cached):
    """torch counts two operations for each of the d products of numbers in q · k."""
    d, first = 4, 6
    with FlopCounterMode(display=False) as counter:
        for t in range(step + 1):
            keys = torch.ones(first + t, d)
            queries = keys[-1:] if cached and t else keys
            _ = queries @ keys.T
    assert counts(first, step, cached)[1] == counter.get_total_flops() / (2 * d)


def test_a_cache_computes_each_pair_once():
    assert counts(6, 5, cached=True)[0] == 11


def test_the_description_tells_what_both_compute():
    told = draw_cells(5, 3, 0).alt
    assert "without a cache: 26 pairs of key and value, 174 products q · k" in told
    assert "with a cache: 8 pairs of key and value, 46 products q · k" in told


def test_padding_is_computed_like_tokens():
    assert "26 pairs of key and value, 174 products" in draw_cells(2, 3, 3).alt


def test_padding_is_told_where_there_is_some():
    assert ["padding are computed" in draw_cells(5, 3, padding).alt for padding in (0, 1)] == [False, True]


def test_padding_has_no_position():
    fig = cells_module._panels([states(5, 1, cached) for cached in (False, True)], ["", ""], padding=2)
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()][:4] == ["–", "–", "0", "1"]


@pytest.mark.parametrize("prompt", [1, LONGEST])
@pytest.mark.parametrize("step", [0, MOST_STEPS])
@pytest.mark.parametrize("padding", [0, MOST_PADDING])
def test_all_ends_of_the_sliders_are_drawn_so_that_they_can_be_read(prompt, step, padding, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw_cells(prompt, step, padding), Picture)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["prompt", "step", "padding"])
def test_a_length_that_does_not_work_is_told_with_the_range(name, value):
    told = draw_cells(**{"prompt": 5, "step": 3, "padding": 0} | {name: value})
    assert isinstance(told, Notice)
    assert f"{name} cannot be {value!r} here: choose a whole number from " in told.text


def test_the_first_values_give_a_picture(monkeypatch):
    shown = {}
    monkeypatch.setattr(cells_module, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    cache_cells()
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Picture)
