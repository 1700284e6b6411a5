"""How fast the pairs of a rotary head turn, and which of them never finish a turn within the context."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, draw_curves, picture
from coursekit.widgets.controls import Notice, labelled, live, whole

WIDEST = 512
LONGEST = 2**20
BASES = (2.0, 1e9)


def rotary_frequencies() -> None:
    """Display the wavelengths of a rotary head with controls for the base, the head width and the context."""
    contexts = [2**n for n in range(7, 18)]
    live(
        draw_rotary,
        {
            "base": ipywidgets.FloatLogSlider(
                10_000, min=2, max=7, step=0.1, readout_format=",.0f", **labelled("base")
            ),
            "d": ipywidgets.SelectionSlider(options=[16, 32, 64, 128, 256], value=128, **labelled("head width d")),
            "context": ipywidgets.SelectionSlider(options=contexts, value=8192, **labelled("context (tokens)")),
        },
    )


def draw_rotary(base: Any, d: Any, context: Any) -> Picture | Notice:
    """Wavelength of each pair against the context, and four pairs as they turn; a Notice for bad values."""
    if wrong := _wrong(base, d, context):
        return Notice(wrong)
    d, context = int(d), int(context)
    waves = wavelengths(float(base), d)
    slow = (waves > context).sum().item()
    with rc_context(STYLE):
        fig = Figure(figsize=(9, 3), layout="constrained")
        left, right = fig.subplots(1, 2)
        left.plot(range(d // 2), waves, ".", color=COLOURS[1])
        left.axhline(context, color=COLOURS[2], linestyle="--", label=f"context of {context:,} tokens")
        left.set(xlabel="pair i", ylabel="tokens per turn (log scale)", yscale="log")
        left.set_title(f"{slow} of {d // 2} pairs never finish a turn")
        left.legend()
        chosen = sorted({d // 4, (3 * d) // 8, d // 2 - 1})
        points = 16 * context / waves[chosen[0]].item()  # fewer in a turn would draw a slow wave that is not there
        p = torch.linspace(0, context, min(max(400, round(points)), 100_000))
        lines = {f"pair {i}": (2 * math.pi * p / waves[i]).cos() for i in chosen}
        draw_curves(right, p, lines, x_label="position p (tokens)", y_label="cos(p θ)", title="three pairs, turning")
    return picture(
        fig,
        f"Tokens per turn of the {d // 2} pairs of a head of width {d} with base {base:,.0f}: from "
        f"{waves[0]:.1f} to {waves[-1]:,.0f}, on a straight line in the logarithm. {slow} pairs are slower "
        f"than the context of {context:,} tokens.",
    )


def wavelengths(base: float, d: int) -> Float[Tensor, pairs]:
    """Tokens per full turn of each pair: 2π base^(2i/d), from Su et al. 2021, equation 15."""
    i = torch.arange(d // 2, dtype=torch.float64)
    return 2 * math.pi * base ** (2 * i / d)


def _wrong(base: Any, d: Any, context: Any) -> str:
    number = isinstance(base, int | float) and not isinstance(base, bool)
    if not number or not BASES[0] <= base <= BASES[1]:
        return f"The base {base!r} does not work here: choose a number from {BASES[0]:g} to {BASES[1]:g}."
    if whole(d) is None or not 2 <= d <= WIDEST or d % 2:
        return f"A head of width {d!r} has no pairs to turn: choose an even number from 2 to {WIDEST}."
    if whole(context) is None or not 1 <= context <= LONGEST:
        return f"The context {context!r} does not work here: choose a whole number from 1 to {LONGEST}."
    return ""
