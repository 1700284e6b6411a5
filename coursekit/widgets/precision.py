"""Precision ruler: which numbers a floating format has, what it makes of x, and which steps are too small for it."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import ipywidgets
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from coursekit.figures import COLOURS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole

MOST_BITS = 23
STEPS = 40  # of the weight
LEAST, MOST = 1e-3, 1e3  # x
SMALLEST, LARGEST = 2.0**-40, 1.0  # the update
OCTAVES = 3  # on the ruler
MOST_TICKS = 100  # of more every second, fourth, ... is drawn
NEIGHBOURS = 2  # on each side
MOST_LINES = 10  # of numbers that have room behind the weight
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


@dataclass(frozen=True)
class Format:
    """Binary floating numbers with `bits` of mantissa behind the point, the smallest normal 2^lowest, the largest."""

    name: str
    bits: int
    lowest: int
    largest: float

    def step(self, x: float) -> float:
        """The distance from x to the next number, where x > 0 is no power of two: 2^(floor(log2 x) - bits)."""
        return math.ldexp(1.0, max(math.frexp(x)[1] - 1, self.lowest) - self.bits)

    def rounded(self, x: float) -> float:
        """The nearest number, of two the even one; NaN above the largest, where formats differ in what they do."""
        step = self.step(abs(x)) if x else 1.0
        near = step * round(x / step)  # both exact: step is a power of two, and round takes the even one
        return near if abs(near) <= self.largest else math.nan

    def text(self, x: float) -> str:
        """x in as many digits as tell a number of the format from the next one."""
        return f"{x:.{max(6, 2 + math.ceil(self.bits * math.log10(2)))}g}"

    @property
    def least_step(self) -> float:
        """1 + u is 1 up to this u, half of the distance to the next number: the tie goes to 1, which is even."""
        return 2.0 ** -(self.bits + 1)


@functools.cache
def formats() -> dict[str, Format]:
    """Those of torch by name: bits and range are what torch.finfo says."""
    found = {}
    for dtype in DTYPES:
        info, name = torch.finfo(dtype), str(dtype).removeprefix("torch.")
        found[name] = Format(name, round(-math.log2(info.eps)), round(math.log2(info.tiny)), info.max)
    return found


def chosen(name: str, bits: int) -> Format:
    """The format of that name, with its own bits of mantissa where `bits` is 0, else with the range of its numbers."""
    form = formats()[name]
    if bits in (0, form.bits):
        return form
    return replace(form, name=translated(f"{name!s} with {bits:d} bits of mantissa"), bits=bits)


def precision_ruler() -> None:
    """Display the numbers of a format around x and a weight that takes small steps, with controls for all of them."""
    bits = [(translated("as the format has"), 0), *((str(n), n) for n in range(1, MOST_BITS + 1))]
    row = labelled("format", layout=ipywidgets.Layout(width="50em"), style={"button_width": "8.8em"})
    update = {"base": 2, "min": -30, "max": 0, "step": 0.5, "readout_format": ".2e"}
    live(
        draw_precision,
        {
            "name": ipywidgets.ToggleButtons(options=list(formats()), value="bfloat16", **row),
            "bits": ipywidgets.SelectionSlider(options=bits, value=0, **labelled("bits of mantissa")),
            "x": ipywidgets.BoundedFloatText(1.1, min=LEAST, max=MOST, step=0.1, **labelled("x, and the weight")),
            "update": ipywidgets.FloatLogSlider(2.0**-9, **update, **labelled("update of the weight")),
        },
    )


def draw_precision(name: Any, bits: Any = 0, x: Any = 1.1, update: Any = 2.0**-9) -> Page | Notice:
    """Two rulers around x, and a weight that is x plus `update` again and again; a Notice for bad values.

    `name` is one of `formats()`, which has its own bits of mantissa where `bits` is 0.
    """
    if wrong := _wrong(name, bits, x, update):
        return Notice(wrong)
    form = chosen(name, int(bits))
    x, update = float(x), float(update)
    stored = form.rounded(x)
    if math.isnan(stored):
        return Notice(f"{x:.4g} is above the largest number of {form.name}, which is {form.largest:.6g}: lower x.")
    shown = Shown(form, x, stored, update, walk(form, stored, update))
    drawn = picture(_figure(shown), f"{shown.ruler}. {shown.rounding}. {shown.walked}.")
    html = f'<div style="max-width:800px">{drawn.html}<p>{escape(shown.smallest)}</p></div>'
    return Page(html, f"{drawn.alt} {shown.smallest}")


def walk(form: Format, start: float, update: float) -> list[float]:
    """A weight before and after each step: w = rounded(w + update), which is exact in between."""
    found = [start]
    for _ in range(STEPS):
        found.append(form.rounded(found[-1] + update))
    return found


def neighbours(form: Format, at: float) -> list[float]:
    """The number `at` and those next to it, NEIGHBOURS on each side, none above the format's largest or below 0."""
    up, down = [at], [at]
    for _ in range(NEIGHBOURS):
        up.append(up[-1] + form.step(up[-1]))
        if down[-1]:
            down.append(down[-1] - form.step(math.nextafter(down[-1], 0)))  # below a power of two they lie closer
    return [one for one in (*down[:0:-1], *up) if one <= form.largest]


@dataclass(frozen=True)
class Shown:
    """What the figure shows: x as the format stores it, and the weight's steps from there."""

    form: Format
    x: float
    stored: float
    update: float
    weights: list[float]

    @property
    def octave(self) -> float:
        """The power of two below x."""
        return math.ldexp(1.0, math.frexp(self.x)[1] - 1)

    @property
    def exact(self) -> list[float]:
        return [self.stored + n * self.update for n in range(STEPS + 1)]

    @property
    def ruler(self) -> str:
        low, count = self.octave, int(self.octave / self.form.step(self.octave))  # 0 below all that the format has
        return translated(f"{self.form.name}: {count:,d} numbers from {low:.6g} to below {2 * low:.6g}")

    @property
    def rounding(self) -> str:
        if self.stored == self.x:
            return translated(f"x = {self.x:.9g} is stored exactly")
        off = abs(self.stored / self.x - 1)
        stored = self.form.text(self.stored)
        return translated(f"x = {self.x:.9g} is stored as {stored!s}, a relative error of {off:.1e}")

    @property
    def walked(self) -> str:
        end, exact = (self.form.text(line[-1]) for line in (self.weights, self.exact))
        done = f"{STEPS:d} updates by {self.update:.3g}"
        return translated(f"{done}: the weight is {end!s}, exactly it would be {exact!s}")

    @property
    def smallest(self) -> str:
        """What is lost at 1, and at the weight where it begins."""
        least, half = self.form.least_step, self.form.step(self.stored) / 2
        one = translated(
            f"1 + u stays 1 for every u up to {least:.3g}, two to the power of {-self.form.bits - 1:d}: that is half a "
            f"step, and a tie goes to the number whose last bit is 0."
        )
        weight = translated(f"At the weight half a step is {half:.3g}, and an update below that is lost.")
        return f"{one} {weight}"


def _figure(shown: Shown) -> Figure:
    """Three octaves around x, the numbers next to it, and the weight over its updates."""
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 5.6), layout=ConstrainedLayoutEngine(h_pad=0.1))
        far, near, below = fig.subplots(3, 1, height_ratios=(2, 2, 5))
        _draw_octaves(far, shown)
        _draw_neighbours(near, shown)
        _draw_weight(below, shown)
        for ax in (far, near):
            ax.plot([shown.stored], [0.5], "s", color=COLOURS[2], markersize=9, label=translated("as it is stored"))
            ax.plot([shown.x], [1.15], "v", color=COLOURS[0], markersize=9, label=translated("x"), clip_on=False)
            ax.set(ylim=(0, 1.3), yticks=[])
            ax.spines["left"].set_visible(False)
            ax.grid(False)
        handles, names = near.get_legend_handles_labels()
        more, others = below.get_legend_handles_labels()
        fig.legend([*handles, *more], [*names, *others], loc="outside lower center", ncols=5, columnspacing=1.2)
    return fig


def _draw_octaves(ax: Any, shown: Shown) -> None:
    """The numbers of the octave of x and of those beside it, on an even scale."""
    low, high = shown.octave / 2, shown.octave * 2 ** (OCTAVES - 1)
    every = max(1, 2 ** math.ceil(math.log2(OCTAVES * 2**shown.form.bits / MOST_TICKS)))
    ax.vlines(list(numbers(shown.form, low, high, every)), 0, 0.8, color=COLOURS[1], linewidth=1)
    ax.set_xlim(0.98 * low, 1.01 * min(high, shown.form.largest))
    ax.set_title(shown.ruler)
    if every > 1:
        ax.set_xlabel(f"one in {every:,d} is drawn")


def numbers(form: Format, low: float, high: float, every: int = 1) -> Iterator[float]:
    """One in `every` of the format's numbers from `low`, a power of two or one of them, to `high`."""
    at = max(low, form.step(low))  # the numbers end above 0, in one step
    while at <= min(high, form.largest):
        yield at
        at += form.step(at) * every


def _draw_neighbours(ax: Any, shown: Shown) -> None:
    """The numbers next to x, and where rounding changes from one to the next."""
    around = neighbours(shown.form, shown.stored)
    borders = [(one + other) / 2 for one, other in itertools.pairwise(around)]
    ax.vlines(around, 0, 0.8, color=COLOURS[1], linewidth=2)
    ax.vlines(borders, 0, 0.8, color="#767676", linestyle=":", label=translated("half way between two"))
    ax.set_xticks(around, labels=[shown.form.text(one) for one in around], fontsize="small")
    edge = 0.25 * (around[-1] - around[0]) / NEIGHBOURS
    ax.set_xlim(around[0] - edge, around[-1] + edge)
    ax.set_title(shown.rounding)


def _draw_weight(ax: Any, shown: Shown) -> None:
    """The weight as it is stored after each update, and as it would be exactly, on the format's numbers as lines."""
    n, step = range(STEPS + 1), shown.form.step(shown.stored)
    bottom, top = shown.stored - step / 2, max(shown.exact[-1], shown.weights[-1], shown.stored + step) + step / 2
    if (top - bottom) / step < MOST_LINES:
        lines = list(numbers(shown.form, shown.stored, top))
        ax.set_yticks(lines, labels=[shown.form.text(one) for one in lines])
    else:
        ax.ticklabel_format(axis="y", useOffset=False)
    ax.plot(n, shown.exact, color=COLOURS[0], linestyle="--", label=translated("weight, exactly"))
    ax.plot(n, shown.weights, "s", color=COLOURS[2], markersize=4, label=translated("weight, stored"))
    ax.set(xlabel="updates", ylabel="weight", ylim=(bottom, top), xlim=(-0.5, STEPS + 0.5))
    ax.set_title(shown.walked)


def _wrong(name: Any, bits: Any, x: Any, update: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if name not in list(formats()):
        return f"There is no format {name!r}: choose one of {', '.join(formats())}."
    if whole(bits) is None or not 0 <= bits <= MOST_BITS:
        return f"A mantissa of {bits!r} bits does not work here: choose a whole number from 0 to {MOST_BITS}."
    if not number(x, LEAST, MOST):
        return f"An x of {x!r} does not work here: choose a number from {LEAST} to {MOST:g}."
    if not number(update, SMALLEST, LARGEST):
        return f"An update of {update!r} does not work here: choose a number from {SMALLEST:.2g} to {LARGEST:g}."
    return ""
