"""The clinic: what one illness does to six curves of a training, beside the healthy run of the same recipe."""

from __future__ import annotations

import functools
import math
from typing import Any

import ipywidgets
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.material.clinic import ILLNESSES, Run, train_with
from coursekit.widgets.controls import Notice, labelled, live, whole

HEALTHY = "healthy"
MOST_SEED = 2**31 - 1
FIRST = "rate too high"
# A field of Run, its title, and whether its scale is logarithmic.
CURVES = (
    *(("training_loss", "training loss (nats)", True), ("validation_loss", "validation loss (nats)", True)),
    *(("validation_accuracy", "validation accuracy", False), ("gradient_norm", "gradient norm", True)),
    *(("update_ratio", "update ratio", True), ("zeros", "share of hidden zeros", False)),
)
MOST_TICKS = 5
NARROWEST = 6.0  # what a logarithmic scale spans at least, as a factor: else it makes much of next to nothing


def watch_an_illness(first: str = FIRST) -> None:
    """Display six curves of a run with one illness and of the healthy one, with controls for the illness and a seed."""
    live(
        draw_clinic,
        {
            "illness": ipywidgets.Dropdown(options=[*ILLNESSES], value=first, **labelled("illness")),
            "seed": ipywidgets.IntSlider(0, 0, 20, **labelled("seed of the recipe", continuous_update=False)),
        },
    )


def draw_clinic(illness: Any, seed: Any) -> Picture | Notice:
    """Six curves of two runs with one recipe, the ill one and the healthy one; a Notice for bad values."""
    if not isinstance(illness, str) or illness not in ILLNESSES:
        return Notice(f"There is no illness {illness!r} here: choose one of {', '.join(ILLNESSES)}.")
    if whole(seed) is None or not 0 <= seed <= MOST_SEED:
        return Notice(f"The seed {seed!r} does not work here: choose a whole number from 0 to {MOST_SEED}.")
    ill, healthy = (_trained(name, int(seed)) for name in (illness, HEALTHY))
    runs = {HEALTHY: healthy} | {illness: ill}
    told = ", ".join(f"{name} {run.accuracy_on_shuffled_labels:.0%}" for name, run in runs.items())
    shuffled = translated(f"Accuracy on shuffled labels: {told!s}.")
    sentence = translated(ILLNESSES[illness])
    ends = "; ".join(f"{translated(title)} {_ends(ill, healthy, field)}" for field, title, _ in CURVES)
    return picture(
        _six(runs, f"{sentence}\n{shuffled}"),
        translated(
            f"Six curves of a run called {illness!s}, of {ill.steps[-1] + 1:.0f} steps, beside the healthy one, each "
            f"from its first to its last value: {ends!s}. {shuffled!s}"
        ),
    )


@functools.lru_cache(maxsize=64)
def _trained(illness: str, seed: int) -> Run:
    return train_with(illness, seed)


def _ends(ill: Run, healthy: Run, field: str) -> str:
    """Both curves from their first to their last value: `2.4 to 0.3 (healthy 2.4 to 0.4)`."""
    mine, theirs = (getattr(run, field) for run in (ill, healthy))
    return translated(f"{mine[0]:.2g} to {mine[-1]:.2g} ({HEALTHY!s} {theirs[0]:.2g} to {theirs[-1]:.2g})")


def _six(runs: dict[str, Run], title: str) -> Figure:
    """The curves in two rows of three, the healthy run dashed and black."""
    looks = [{"color": COLOURS[0], "linestyle": "--", "linewidth": 1.2}, {"color": COLOURS[2], "linewidth": 1.8}]
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 5.0))
        # By hand: to let matplotlib find the places takes as long as all else.
        fig.subplots_adjust(left=0.075, right=0.985, top=0.83, bottom=0.165, wspace=0.33, hspace=0.28)
        for ax, (field, name, log) in zip(fig.subplots(2, 3, sharex=True).flat, CURVES, strict=True):
            for (label, run), look in zip(runs.items(), looks, strict=False):
                ax.plot(run.steps, getattr(run, field), label=label, **look)
            ax.set_title(f"{name}, log scale" if log else name)
            if log:
                _logarithmic(ax, [getattr(run, field) for run in runs.values()])
            else:
                ax.set_ylim(-0.03, 1.03)
        for ax in fig.axes[3:]:
            ax.set_xlabel("step")
        fig.suptitle(title, fontsize="medium")
        fig.legend(*fig.axes[0].get_legend_handles_labels(), loc="lower center", ncols=2)
    return fig


def _logarithmic(ax: Any, curves: list[Tensor]) -> None:
    """A logarithmic scale over all that is above 0, at least NARROWEST wide, with at most MOST_TICKS numbers."""
    x = torch.cat(curves)
    low, high = x[x > 0].min().item(), x[x > 0].max().item()
    widen = max(1.15, (NARROWEST * low / high) ** 0.5)
    low, high = low / widen, high * widen
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0**e for e in decades for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    whole_ones = [10.0**e for e in decades if low <= 10.0**e <= high]
    if len(fine) <= MOST_TICKS:
        ax.set_yticks(fine, labels=[f"{tick:g}" for tick in fine])
    else:
        ax.set_yticks(whole_ones[:: -(-len(whole_ones) // MOST_TICKS)])
    ax.yaxis.set_minor_locator(NullLocator())
