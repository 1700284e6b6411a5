"""What dividing the scores by sqrt(d) does to a query's weights as the head grows wider."""

from __future__ import annotations

import functools
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, draw_curves, picture
from coursekit.widgets.controls import Notice, labelled, live, whole

KEYS = 64
WIDEST = 4096
WIDTHS = tuple(2**n for n in range(13))
DIVISORS = {"√d": 0.5, "1 (no scale)": 0.0, "d": 1.0}


def scale_entropy() -> None:
    """Display a query's weights over 64 keys, with controls for the head width and the divisor."""
    beside = {"description_width": "9em", "button_width": "7em"}  # three in one row
    live(
        draw_scale,
        {
            "d": ipywidgets.SelectionSlider(options=WIDTHS, value=64, **labelled("head width d")),
            "divisor": ipywidgets.ToggleButtons(options=list(DIVISORS), **labelled("divide scores by", style=beside)),
        },
    )


def draw_scale(d: Any, divisor: Any = "√d") -> Picture | Notice:
    """One query's weights at width `d`, and the entropy over all widths; a Notice for bad values."""
    if whole(d) is None or not 1 <= d <= WIDEST:
        return Notice(f"A head cannot be {d!r} wide here: choose a whole number from 1 to {WIDEST}.")
    if not isinstance(divisor, str) or divisor not in DIVISORS:
        return Notice(f"{divisor!r} is not offered as a divisor: choose {', '.join(DIVISORS)}.")
    d = int(d)
    a = weights(d, DIVISORS[divisor])[0]
    bits = _entropy(a[None])
    with rc_context(STYLE):
        fig = Figure(figsize=(9, 3), layout="constrained")
        left, right = fig.subplots(1, 2)
        left.bar(range(KEYS), a.numpy(), color=COLOURS[1])
        left.set(xlabel="key", ylabel="attention weight", ylim=(0, 1), title=f"one query, d = {d}: {bits:.1f} bits")
        title, y_label = "average of 64 queries, by divisor", "entropy (bits)"
        lines = dict(zip(DIVISORS, _entropies(), strict=True))
        draw_curves(right, WIDTHS, lines, x_label="head width d (log scale)", y_label=y_label, title=title, log="x")
        right.axvline(d, color="#888888", linewidth=1)
    return picture(
        fig,
        f"Weights of one query over {KEYS} keys at head width {d}, scores divided by {divisor}: entropy "
        f"{bits:.1f} bits, largest weight {a.max():.2f}. Beside it the entropy over all widths: level when "
        "divided by √d, falling to 0 without a scale, rising to 6 bits when divided by d.",
    )


def weights(d: int, power: float, seed: int = 0) -> Float[Tensor, "queries keys"]:
    """Weights of 64 random queries over 64 random keys of width d, their scores divided by d^power."""
    g = torch.Generator().manual_seed(seed)
    Q, K = torch.randn(64, d, generator=g), torch.randn(KEYS, d, generator=g)
    return (Q @ K.T / d**power).softmax(-1)


def _entropy(A: Float[Tensor, "queries keys"]) -> float:
    """Bits per query, on average: log2(64) = 6 when all keys are looked at equally, 0 for a single one."""
    return max(0.0, -(A * A.clamp_min(1e-30).log2()).sum(-1).mean().item())


@functools.cache
def _entropies() -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(_entropy(weights(d, power)) for d in WIDTHS) for power in DIVISORS.values())
