"""Cache: whose keys and values each forward pass computes, with and without those of the passes before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
from jaxtyping import Int
from matplotlib import rc_context
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor, full

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, labelled, live, whole

LONGEST, MOST_STEPS, MOST_PADDING = 12, 8, 6
ABSENT, KEPT, COMPUTED = range(3)
SHADES = ListedColormap(["#F2F2F2", COLOURS[6], COLOURS[2]])
HATCH = "////"


def cache_cells() -> None:
    """Display which keys and values each pass computes, with controls for the prompt, the step and the padding."""
    live(
        draw_cells,
        {
            "prompt": ipywidgets.IntSlider(5, 1, LONGEST, **labelled("tokens in the prompt")),
            "step": ipywidgets.IntSlider(3, 0, MOST_STEPS, **labelled("step")),
            "padding": ipywidgets.IntSlider(0, 0, MOST_PADDING, **labelled("padding on the left")),
        },
    )


def draw_cells(prompt: Any, step: Any, padding: Any) -> Picture | Notice:
    """The cells of all passes up to `step`, with and without a cache, and their counts; a Notice for bad values.

    Pass 0 reads the padding and the prompt, each later one the token that the pass before chose.
    """
    limits = (
        ("length of the prompt", prompt, 1, LONGEST),
        ("number of the step", step, 0, MOST_STEPS),
        ("length of the padding", padding, 0, MOST_PADDING),
    )
    for name, value, low, high in limits:
        if whole(value) is None or not low <= value <= high:
            return Notice(f"The {name} cannot be {value!r} here: choose a whole number from {low:d} to {high:d}.")
    prompt, step, padding = int(prompt), int(step), int(padding)
    first = prompt + padding
    counted = [counts(first, step, cached) for cached in (False, True)]
    titles = [
        translated(f"{name}: {pairs:,d} pairs of key and value, {products:,d} products q · k")
        for name, (pairs, products) in zip(("without a cache", "with a cache"), counted, strict=True)
    ]
    told = "; ".join(titles)
    both, new = first + step, 1 if step else first
    now = translated(f"Pass {step:d} computes {both:d} pairs without a cache and {new:d} with it.")
    begun = translated(
        f"Prompt of length {prompt:d} behind padding of length {padding:d}, passes 0 to {step:d}: {told!s}."
    )
    hidden = translated("Pairs of padding are computed and kept too, and hidden from every token.") if padding else ""
    fig = _panels([states(first, step, cached) for cached in (False, True)], titles, padding)
    return picture(fig, f"{begun} {now} {hidden}")


def states(first: int, step: int, cached: bool) -> Int[Tensor, "passes places"]:
    """What each pass up to `step` does at each place: nothing, take from the cache, or compute keys and values."""
    A = full((MOST_STEPS + 1, first + MOST_STEPS), ABSENT)
    for t in range(step + 1):
        A[t, : first + t] = COMPUTED
        if cached and t:
            A[t, : first + t - 1] = KEPT
    return A


def counts(first: int, step: int, cached: bool) -> tuple[int, int]:
    """Of all passes up to `step` the cells that are computed, and the products q · k of one head.

    Each new query meets every key, also those that the mask hides: that is how matrices are multiplied.
    """
    A = states(first, step, cached)
    computed = (A == COMPUTED).sum(1)
    return int(computed.sum()), int((computed * (A != ABSENT).sum(1)).sum())


def _panels(grids: Sequence[Tensor], titles: Sequence[str], padding: int) -> Figure:
    """Passes from above, places from left; padding is hatched, and the last pass has a frame."""
    passes, places = grids[0].shape
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 5.2), layout="constrained")
        for ax, A, title in zip(fig.subplots(2, 1), grids, titles, strict=True):
            ax.pcolormesh(A.flip(0).numpy(), cmap=SHADES, vmin=0, vmax=2, edgecolors="white", linewidth=1)
            last = int((A != ABSENT).any(1).sum()) - 1
            for t, there in enumerate((A != ABSENT).sum(1).tolist()):
                padded = Rectangle((0, passes - 1 - t), min(padding, there), 1, fill=False, hatch=HATCH, linewidth=0)
                padded.set_edgecolor("white")
                ax.add_patch(padded)
            width = int((A[last] != ABSENT).sum())
            ax.add_patch(Rectangle((0, passes - 1 - last), width, 1, fill=False, edgecolor="black", linewidth=2))
            ax.set(title=title, ylabel="forward pass", xlim=(-0.05, places), ylim=(-0.05, passes + 0.05))
            _name_cells(ax.xaxis, ["–"] * padding + [str(n) for n in range(places - padding)])
            _name_cells(ax.yaxis, [str(n) if n % 2 == 0 else "" for n in reversed(range(passes))])
            ax.grid(False)
        ax.set_xlabel("position of the token (–: padding)")
        fig.legend(handles=_handles(padding > 0), loc="outside lower center", ncols=4)
    return fig


def _name_cells(axis: Any, labels: Sequence[str]) -> None:
    axis.set_ticks([n + 0.5 for n in range(len(labels))], labels=labels)
    axis.set_tick_params(length=0)


def _handles(padded: bool) -> list[Patch]:
    names = (translated("not there yet"), translated("from the cache"), translated("computed"))
    handles = [Patch(facecolor=SHADES(k), label=name) for k, name in enumerate(names)]
    hatched = Patch(facecolor="#999999", edgecolor="white", hatch=HATCH, label=translated("padding, hidden"))
    return [*handles, hatched] if padded else handles
