"""Whether a figure can be read: measured from what the renderer draws, not from what was meant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

PAGE = 800  # CSS pixels: what a notebook gives to an output on a laptop
SMALLEST = 9  # CSS pixels of a letter's height
CSS_DPI, POINTS = 96, 72  # to the inch
_SLACK = 1.5  # pixels by which boxes may touch: a box is a little larger than its letters


def faults(fig: Figure) -> list[str]:
    """A sentence for every text that is cut off, lies on another one, or is too small where the page is PAGE wide."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)  # lays out what is laid out only then
    texts = list(_texts(fig))
    boxes = np.array([text.get_window_extent(renderer).extents for text in texts]).reshape(-1, 4)
    return [*_cut_off(fig, texts, boxes), *_overlapping(texts, boxes), *_small(fig, texts)]


def _texts(fig: Figure) -> Iterator[Text]:
    hidden = {text for ax in fig.axes for axis in (ax.xaxis, ax.yaxis) for text in _hidden(axis)}
    for text in fig.findobj(Text):
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip() and text not in hidden:
            yield text


def _hidden(axis: Axis) -> Iterator[Text]:
    """What an axis has and does not draw: all of one that is switched off, labels of ticks beyond its ends."""
    off = not (axis.get_visible() and axis.axes.axison)
    if off:
        yield from (axis.label, axis.offsetText)
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * (high - low)
    for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
        if off or not low - slack <= tick.get_loc() <= high + slack:
            yield from (tick.label1, tick.label2)


def _cut_off(fig: Figure, texts: list[Text], boxes: np.ndarray) -> Iterator[str]:
    width, height = fig.bbox.width, fig.bbox.height
    over = np.maximum(-boxes[:, :2], boxes[:, 2:] - (width, height)).max(1)
    for text, pixels in zip(texts, over, strict=True):
        if pixels > _SLACK:
            yield f"{text.get_text()!r} is cut off by {pixels:.0f} pixels"


def _overlapping(texts: list[Text], boxes: np.ndarray) -> Iterator[str]:
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    common = np.minimum(high, boxes[None, :, 2:]) - np.maximum(low, boxes[None, :, :2])
    pairs = np.argwhere(np.triu((common > _SLACK).all(-1), 1))
    for i, j in pairs:
        yield f"{texts[i].get_text()!r} lies on {texts[j].get_text()!r}"


def _small(fig: Figure, texts: list[Text]) -> Iterator[str]:
    shrunk = min(1.0, PAGE / (fig.get_figwidth() * CSS_DPI))
    for size in sorted({float(text.get_fontsize()) for text in texts}):
        pixels = size * CSS_DPI / POINTS * shrunk
        if pixels < SMALLEST:
            example = next(text.get_text() for text in texts if text.get_fontsize() == size)
            yield f"{example!r} is {pixels:.1f} pixels high on a page of {PAGE}, at least {SMALLEST} can be read"
