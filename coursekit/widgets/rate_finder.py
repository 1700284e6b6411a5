"""Rate finder: one short run whose learning rate grows by a factor a step tells which rates are worth a try."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, labelled, live, whole

LEAST_STEPS = 10  # of a run that is worth a look
WIDTH, MOST_WIDTH = 8, 50
BATCHES = (16, 32, 64, 128, 256)
LEAST_FALL = 0.05  # of the loss; noise alone falls a little too
NO_FALL = "the loss does not fall by a twentieth"
CEILING = 2.0  # times the loss at the beginning: what lies above, or is no number, counts as this
Run = Callable[[Sequence[float], int], Sequence[float] | Tensor]


def find_the_rate(run: Run, rates: Sequence[float], batches: Sequence[int] = BATCHES, width: int = WIDTH) -> None:
    """Display the loss over the rate of a run whose rate grows, with controls for the batch and the smoothing.

    `run(rates, batch)` starts anew, makes a step of each of the `rates`, such as `growing_rates(1e-4, 10, 100)`, on
    `batch` examples and returns the loss before each step; it is called once for each batch. It begins with the batch
    in the middle of `batches`.
    """
    sizes = ipywidgets.SelectionSlider(options=list(batches), value=batches[len(batches) // 2], **labelled("batch"))
    slider = ipywidgets.IntSlider(width, 1, MOST_WIDTH, **labelled("width of the smoothing"))
    remembered = functools.cache(functools.partial(run, rates))
    live(functools.partial(draw_rates, remembered, rates), {"batch": sizes, "width": slider})


def growing_rates(low: float, high: float, steps: int) -> list[float]:
    """Rates from `low` to `high`, each the same factor above the one before it: low (high/low)^(i/(steps-1))."""
    return [low * (high / low) ** (i / (steps - 1)) for i in range(steps)]


@dataclass(frozen=True)
class Found:
    """What the smoothed curve says: where it falls most steeply, where it is lowest, and from where it is blown up."""

    smoothed: Float[Tensor, " n"]
    steepest: float
    lowest: float
    blown_up: float | None

    @property
    def told(self) -> str:
        blown = translated(f"blown up from {self.blown_up:.2g}" if self.blown_up else "not blown up")
        return translated(f"steepest fall at {self.steepest:.2g}, lowest loss at {self.lowest:.2g}, {blown}")


def read_rates(rates: Sequence[float], losses: Sequence[float] | Tensor, width: int = WIDTH) -> Found | None:
    """What the curve of the losses over growing rates says; None where it does not fall.

    Smith 2017, section 3.3, lets the rate grow evenly and looks where the accuracy begins to rise and where it ceases
    to. That the rate grows by a factor, and that the steepest fall of the loss over log(rate) is looked for, became
    usual with fastai (Howard and Gugger 2020). Blown up is where half of what was gained is lost again.
    """
    z = smooth(losses, width)
    bottom = int(z.argmin())
    if z[bottom] > (1 - LEAST_FALL) * z[0]:
        return None
    steepest = int(z[: bottom + 1].diff().argmin())  # the step with this rate leads from this loss to the next
    lost = (z[bottom:] > (z[0] + z[bottom]) / 2).nonzero()
    return Found(z, rates[steepest], rates[bottom], rates[bottom + int(lost[0])] if len(lost) else None)


def smooth(losses: Sequence[float] | Tensor, width: int) -> Float[Tensor, " n"]:
    """The mean of the losses around each step, with weights that fall evenly to 0 at `width` steps; 1 smooths nothing.

    It looks ahead as far as back, so that a fall stays where it is: a running mean would show it at a higher rate.
    """
    y = capped(losses)
    i = torch.arange(len(y), dtype=torch.float64)
    weights = (1 - (i[:, None] - i).abs() / width).clamp(min=0)
    return weights @ y / weights.sum(1)


def capped(losses: Sequence[float] | Tensor) -> Float[Tensor, " n"]:
    """The losses, where one is infinite, no number or huge with twice the first few in its place."""
    y = torch.as_tensor(losses).detach().cpu().double()
    return y.nan_to_num(math.inf).clamp(max=CEILING * float(y[:LEAST_STEPS].median()))


def rate_curve(rates: Sequence[float], losses: Sequence[float] | Tensor, width: int = WIDTH) -> Figure:
    """The losses over the rates, smoothed, with what `read_rates` says of them."""
    found = read_rates(rates, losses, width)
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3.6), layout="constrained")
        ax = fig.subplots()
        ax.plot(rates, capped(losses), ".", color="#999999", markersize=4, label=translated("of each step"))
        ax.plot(rates, smooth(losses, width), color=COLOURS[0], linewidth=2, label=translated("smoothed"))
        if found:
            marked = ((found.steepest, "o", "steepest fall"), (found.lowest, "s", "lowest loss"))
            at = dict(zip(rates, found.smoothed.tolist(), strict=True))
            for k, (rate, marker, name) in enumerate(marked, 1):
                ax.plot([rate], [at[rate]], marker, color=COLOURS[k], markersize=10, label=translated(name))
            if found.blown_up:
                look = functools.partial(ax.axvspan, facecolor="#FBEACB", hatch="//", edgecolor="#E9C27A", lw=0)
                look(found.blown_up, rates[-1], label=translated("blown up"), zorder=0)
        ax.set(xlabel="learning rate (log scale)", ylabel="loss (nats)", xscale="log", xlim=(rates[0], rates[-1]))
        ax.set_title(found.told if found else translated(NO_FALL))
        ax.set_ylim(bottom=0)
        fig.legend(loc="outside lower center", ncols=5)
    return fig


def draw_rates(losses_of: Callable[[int], Any], rates: Sequence[float], batch: Any, width: Any) -> Picture | Notice:
    """The curve of one batch size with one smoothing; a Notice for bad values and for a run that gives other losses.

    `losses_of(batch)` returns a loss for each rate.
    """
    if whole(batch) is None or batch < 1:
        return Notice(f"A batch of {batch!r} does not work here: choose a whole number from 1.")
    if whole(width) is None or not 1 <= width <= MOST_WIDTH:
        return Notice(f"A width of {width!r} does not work here: choose a whole number from 1 to {MOST_WIDTH}.")
    losses = as_numbers(losses_of(int(batch)))
    if wrong := _wrong_run(rates, losses):
        return Notice(wrong)
    found = read_rates(rates, losses, int(width))
    told = found.told if found else translated(NO_FALL)
    return picture(
        rate_curve(rates, losses, int(width)),
        f"Loss over the learning rate, which grows from {rates[0]:.2g} to {rates[-1]:.2g} in {len(rates):d} steps of "
        f"{batch:d} examples, with a width of {width:d} of the smoothing: {told}.",
    )


def as_numbers(losses: Any) -> Any:
    """What a run returned as a list of numbers; as it is where it is no row of them."""
    if isinstance(losses, Tensor):
        return losses.tolist()
    return [one.item() if isinstance(one, Tensor) else one for one in losses] if isinstance(losses, list) else losses


def _wrong_run(rates: Sequence[float], losses: Any) -> str:
    """Why these losses give no curve over these rates; empty where they do."""
    if len(rates) < LEAST_STEPS or rates[0] <= 0 or any(high <= low for low, high in itertools.pairwise(rates)):
        return (
            f"These rates are no ladder: give at least {LEAST_STEPS} that grow, such as growing_rates(1e-4, 10, 100)."
        )
    if not isinstance(losses, list) or not all(isinstance(one, int | float) for one in losses):
        return f"run returned a {type(losses).__name__}, expected a list with one number for each rate, its loss."
    if len(losses) != len(rates):
        return f"run returned {len(losses)} losses for {len(rates)} rates: return the loss of each step."
    if not all(0 < one < math.inf for one in losses[:LEAST_STEPS]):
        return f"The first {LEAST_STEPS} losses are not all numbers above 0: begin with a smaller rate."
    return ""
