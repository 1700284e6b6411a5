"""Precision ruler: numbers, rounding and lost updates are torch's own, and bad values are answered with a sentence."""

import itertools
import math

import pytest
import torch

from coursekit.widgets import precision
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.precision import (
    DTYPES,
    LEAST,
    MOST,
    STEPS,
    chosen,
    draw_precision,
    formats,
    neighbours,
    numbers,
    precision_ruler,
    walk,
)

NAMED = list(zip(DTYPES, formats().values(), strict=True))
GOOD = {"name": "bfloat16", "bits": 0, "x": 1.1, "update": 2.0**-9}
BAD = {
    "name": [None, "float64", 7, [], ""],
    "bits": [-1, 24, 2.5, None, "7", True, math.nan],
    "x": [0, -1, 1e4, 1e-9, None, "1", True, math.nan, math.inf],
    "update": [0, -1, 2, None, "1", True, math.nan],
}


def torchs(dtype, values):
    """The values as torch stores them, back in double."""
    return torch.tensor(values, dtype=torch.float64).float().to(dtype).double().tolist()


def drawn_values():
    """Single precision numbers over the whole range of x, ties of coarse formats among them."""
    u = torch.rand(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (LEAST * (MOST / LEAST) ** u).float().double()
    return [*x.tolist(), *(k / 16 for k in range(1, 400)), 1.0, 2.0, 464.0, 448.0]


@pytest.mark.parametrize(("dtype", "form"), NAMED, ids=formats())
def test_rounding_is_torchs(dtype, form):
    x = [one for one in drawn_values() if one <= form.largest]
    assert [form.rounded(one) for one in x] == torchs(dtype, x)
    assert [form.rounded(-one) for one in x] == torchs(dtype, [-one for one in x])
    assert form.rounded(0.0) == 0


@pytest.mark.parametrize(("dtype", "form"), NAMED, ids=formats())
def test_all_numbers_on_the_ruler_exist_in_torch_and_none_is_left_out(dtype, form):
    found = list(numbers(form, 256.0, 1024.0)) if form.bits < 11 else list(numbers(form, 1.0, 1 + 2**-13))
    assert torchs(dtype, found) == found
    between = [(one + other) / 2 for one, other in itertools.pairwise(found)]
    assert not {*torchs(dtype, between)} - {*found}


@pytest.mark.parametrize(("dtype", "form"), NAMED, ids=formats())
def test_the_smallest_step_that_moves_one_is_torchs(dtype, form):
    u = form.least_step
    assert torchs(dtype, [1 + u, 1 + 1.01 * u]) == [1.0, 1 + 2 * u]


def test_below_a_power_of_two_numbers_lie_closer():
    assert neighbours(formats()["float8_e5m2"], 1.0) == [0.75, 0.875, 1.0, 1.25, 1.5]


def test_no_neighbour_lies_beyond_the_formats_ends():
    e4m3 = formats()["float8_e4m3fn"]
    assert neighbours(e4m3, 448.0) == [384.0, 416.0, 448.0]
    assert neighbours(e4m3, 2.0**-9) == [0.0, 2.0**-9, 2.0**-8, 3 * 2.0**-9]


def test_a_weight_moves_as_torchs_does():
    w = torch.tensor(1.1, dtype=torch.bfloat16)
    found = walk(formats()["bfloat16"], w.item(), 0.0078)
    for one in found[:-1]:
        assert w.item() == one
        w += 0.0078


def test_an_update_below_half_a_step_is_lost():
    bf16 = formats()["bfloat16"]
    assert {*walk(bf16, 1.1015625, 2.0**-9)} == {1.1015625}
    assert walk(bf16, 1.1015625, 2.0**-7)[-1] == 1.1015625 + STEPS * 2.0**-7


def test_float32_with_the_bits_of_bfloat16_is_bfloat16():
    x = drawn_values()
    assert [chosen("float32", 7).rounded(one) for one in x] == [formats()["bfloat16"].rounded(one) for one in x]


def test_other_bits_than_its_own_are_told():
    assert "bfloat16 with 3 bits of mantissa: 8 numbers" in draw_precision(**GOOD | {"bits": 3}).alt
    assert "bfloat16: 128 numbers" in draw_precision(**GOOD | {"bits": 7}).alt


def test_what_is_seen_is_told():
    told = draw_precision(**GOOD).alt
    assert "bfloat16: 128 numbers from 1 to below 2." in told
    assert "x = 1.1 is stored as 1.10156, a relative error of 1.4e-03." in told
    assert "40 updates by 0.00195: the weight is 1.10156, exactly it would be 1.17969." in told
    assert "1 + u stays 1 for every u up to 0.00391, two to the power of -8" in told


def test_an_x_that_is_stored_as_it_is_has_no_error():
    assert "x = 1.5 is stored exactly" in draw_precision(**GOOD | {"x": 1.5}).alt


@pytest.mark.parametrize(("name", "bits"), [*((name, 0) for name in formats()), ("float32", 1), ("float16", 23)])
@pytest.mark.parametrize(
    ("x", "update"), [(LEAST, 2.0**-30), (LEAST, 1.0), (1.1, 2.0**-9), (400, 2.0**-30), (MOST, 1.0)]
)
def test_everything_on_the_sliders_is_drawn_so_that_it_can_be_read(name, bits, x, update, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    drawn = draw_precision(name, bits, x, update)
    assert isinstance(drawn, Notice if (name, x) == ("float8_e4m3fn", MOST) else Page)


def test_an_x_above_the_largest_number_is_told_with_it():
    assert "448" in draw_precision("float8_e4m3fn", x=500).text


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    told = draw_precision(**GOOD | {name: value})
    assert isinstance(told, Notice)
    assert "choose" in told.text


def test_the_first_values_give_a_picture(monkeypatch):
    shown = {}
    monkeypatch.setattr(precision, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    precision_ruler()
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Page)
