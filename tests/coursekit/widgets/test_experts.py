"""Experts: loads add up, room is what the capacity says, and the temperature does what the text says it does."""

import math

import pytest
import torch

from coursekit.figures import Picture
from coursekit.widgets import experts as experts_module
from coursekit.widgets.controls import Notice
from coursekit.widgets.experts import (
    CHOICES,
    DRAWN,
    LIKELIEST,
    MOST_EXPERTS,
    TOKENS,
    _finds_room,
    draw_load,
    expert_load,
    load,
)

SETTINGS = {"temperature": 1.0, "capacity": 1.25, "experts": 8, "choice": DRAWN}
BAD = {
    "temperature": [0, -1, None, "1", True, math.nan, math.inf, 99],
    "capacity": [0, -1, None, "1", True, math.nan, 99],
    "experts": [0, 1, 2.5, None, "8", True, math.nan, MOST_EXPERTS + 1],
    "choice": [None, "", 1, []],
}


def draw(**settings):
    return draw_load(**SETTINGS | settings)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("E", [2, 5, MOST_EXPERTS])
def test_every_choice_is_kept_or_dropped(drawn, E):
    found = load(1.0, 1.0, E, drawn)
    assert int((found.kept + found.dropped).sum()) == TOKENS * CHOICES


def test_no_expert_takes_more_than_its_room():
    found = load(1.0, 1.25, 8, False)
    assert (int(found.kept.max()), found.room) == (80, 80)


def test_only_a_full_expert_drops():
    found = load(1.0, 1.25, 8, False)
    assert (found.kept[found.dropped > 0] == found.room).all()


def test_ample_room_drops_nothing():
    assert int(load(1.0, 4.0, 8, False).dropped.sum()) == 0


def test_lost_experts_add_up_to_dropped_choices():
    found = load(1.0, 1.0, 8, True)
    assert found.lost_one + 2 * found.lost_both == int(found.dropped.sum())


def test_first_choices_find_room_before_second_ones():
    best = torch.tensor([[0, 1], [1, 0], [0, 1]])
    assert _finds_room(best, 2, 2).tolist() == [[True, True], [True, False], [True, False]]


def test_a_token_goes_to_two_experts():
    assert load(1.0, 4.0, 2, True).kept.tolist() == [TOKENS, TOKENS]


def test_the_temperature_does_not_change_who_is_likeliest():
    assert torch.equal(*(load(temperature, 4.0, 8, False).kept for temperature in (0.1, 10.0)))


def test_experts_that_are_drawn_are_loaded_more_evenly_as_the_temperature_rises():
    most = [int(load(temperature, 4.0, 8, True).kept.max()) for temperature in (0.1, 1.0, 10.0)]
    assert most == sorted(most, reverse=True)
    assert most[-1] < most[0]


def test_what_is_drawn_when_it_is_cold_is_the_likeliest():
    """At a tenth of the temperature noise decides only where two experts are nearly as likely."""
    cold, likeliest = (load(0.1, 4.0, 8, drawn).kept for drawn in (True, False))
    assert int((cold - likeliest).abs().sum()) < TOKENS * CHOICES / 20


def test_an_even_load_has_a_balance_of_one():
    assert load(1.0, 4.0, 2, False).balance == pytest.approx(1.0, abs=1e-3)


def test_the_balance_is_that_of_the_switch_transformer():
    found = load(1.0, 1.0, 8, False)
    f = (found.kept + found.dropped) / (TOKENS * CHOICES)
    P = experts_module._logits(8)[0].softmax(-1).mean(0)
    assert found.balance == pytest.approx(8 * float((f * P).sum()))


def test_the_description_tells_drops_and_loads():
    found = load(1.0, 1.25, 8, True)
    told = draw().alt
    assert f"{found.lost_one} of 256 tokens lose one expert, {found.lost_both} both" in told
    assert f"; 7: {found.kept[7]}, {found.dropped[7]}, {found.expected[7]:.0f}." in told


@pytest.mark.parametrize("temperature", [0.1, 10.0])
@pytest.mark.parametrize("capacity", [0.25, 4.0])
@pytest.mark.parametrize("experts", [2, MOST_EXPERTS])
@pytest.mark.parametrize("choice", [DRAWN, LIKELIEST])
def test_each_figure_can_be_read(temperature, capacity, experts, choice, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw_load(temperature, capacity, experts, choice), Picture)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    assert isinstance(draw(**{name: value}), Notice)


def test_the_first_values_are_drawn(monkeypatch):
    shown = {}
    monkeypatch.setattr(experts_module, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    expert_load()
    assert shown["draw"](**{name: control.value for name, control in shown["controls"].items()}) == draw()
