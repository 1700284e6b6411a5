"""What moving the threshold does to precision and recall, on the predictions of a classifier with two classes."""

from __future__ import annotations

import functools
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, draw_curves, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, labelled, live


def precision_and_recall(p: Float[Tensor, " n"], labels: Int[Tensor, " n"]) -> None:
    """Display precision and recall of "positive where p is at least the threshold", with a slider for the threshold."""
    slider = ipywidgets.FloatSlider(0.5, min=0.0, max=1.0, step=0.01, **labelled("threshold"))
    live(functools.partial(draw_threshold, p, labels), {"threshold": slider})


def draw_threshold(p: Tensor, labels: Tensor, threshold: Any) -> Picture | Notice:
    """Precision and recall over all thresholds, and the four counts at this one; a Notice for bad values."""
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if not number or not 0 <= threshold <= 1:
        return Notice(f"The threshold {threshold!r} does not work here: choose a number from 0 to 1.")
    if not len(labels) or labels.min() == labels.max():
        return Notice("Precision and recall need sentences of both classes: here there is only one.")
    grid = torch.linspace(0, 1, 101)
    P, R = zip(*(ratios(*counts(p, labels, t)) for t in grid.tolist()), strict=True)
    found = counts(p, labels, threshold)
    precision, recall = ratios(*found)
    told = f"precision {precision:.0%}, recall {recall:.0%}" if any(found[:2]) else "nothing is called positive"
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3), layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(3, 2))
        draw_curves(left, grid, {"precision": P, "recall": R}, x_label="threshold", y_label="share")
        left.axvline(threshold, color=COLOURS[2], linewidth=1)
        left.set(title=told, ylim=(0, 1.03))
        names = (
            *(translated("true positives"), translated("false positives")),
            *(translated("false negatives (missed)"), translated("true negatives")),
        )
        right.barh(names, found, color=[COLOURS[k] for k in (3, 2, 5, 1)])
        right.bar_label(right.containers[0], padding=3)
        right.invert_yaxis()
        right.set(xlabel="sentences", xlim=(0, 1.25 * max(found)))
    counted = ", ".join(f"{n} {name}" for n, name in zip(found, names, strict=True))
    return picture(
        fig,
        f"Precision and recall over the threshold. At {threshold:.2f}: {told}; {counted!s}. "
        "Recall falls as the threshold rises, precision rises on the whole.",
    )


def counts(p: Tensor, labels: Tensor, threshold: float) -> tuple[int, int, int, int]:
    """True positives, false positives, false negatives, true negatives where p >= threshold is called positive."""
    said, true = p >= threshold, labels.bool()
    right, wrong, missed, rest = (int(x.sum()) for x in (said & true, said & ~true, ~said & true, ~said & ~true))
    return right, wrong, missed, rest


def ratios(right: int, wrong: int, missed: int, rest: int) -> tuple[float, float]:
    """Precision, NaN where nothing is called positive, and recall."""
    return right / (right + wrong) if right + wrong else float("nan"), right / (right + missed)
