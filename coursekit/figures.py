"""Figures that everyone can read: alt text, and colours that survive colour blindness and greyscale."""

from __future__ import annotations

import base64
import io
import itertools
import math
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import torch
from IPython.display import display
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from coursekit.beside import entries, expect, is_text, unknown
from coursekit.language import chosen, translated
from coursekit.legible import CSS_DPI, faults

_ID = re.compile(r"[a-z]\w*\.\w+")
# Okabe and Ito (2008), dark and light in turns; the dashes tell lines apart in print.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)))
MARKERS = ("o", "x", "^", "s", "+", "d")
WEIGHT = "attention weight"
CATEGORIES = ("#00224E", "#7D7C78", "#FDE737", "#0072B2", "#D55E00", "#009E73")
HIDDEN_SEEN = ListedColormap(["#00224E", "#FDE737"])
STYLE: Any = {  # matplotlib types its settings by a list of all their names
    "figure.facecolor": "white",  # a picture of its own in light and dark themes alike
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "font.size": 10,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "image.cmap": "cividis",
}
DPI = 120
STRICT = "COURSEKIT_STRICT"


@dataclass(frozen=True)
class Picture:
    """A drawn figure with its description, as notebooks and screen readers take it.

    JupyterLab and nbconvert give no alt attribute to an image/png output, so the picture is an HTML output.
    A terminal shows the description.
    """

    png: bytes
    alt: str
    width: int  # CSS pixels

    @property
    def html(self) -> str:
        data = base64.b64encode(self.png).decode("ascii")
        style = "max-width:100%;height:auto;background:#fff"
        source = f'src="data:image/png;base64,{data}" width="{self.width}"'
        return f'<img {source} alt="{escape(self.alt)}" style="{style}">'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.alt}


def picture(fig: Figure, alt: str) -> Picture:
    """`fig` as a PNG with the description `alt`.

    Raises ValueError where that is missing, TypeError for no figure. With COURSEKIT_STRICT set, as it is when a chapter
    is built, a figure of which a text is cut off, covered or too small raises ValueError too.
    """
    if not isinstance(fig, Figure):
        raise TypeError(f"found a {type(fig).__name__}, expected a matplotlib Figure: pass fig, not its axes")
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("a figure needs alt text: say in one sentence what it shows to someone who cannot see it")
    _translate(fig)
    if os.environ.get(STRICT) and (found := faults(fig)):
        raise ValueError("the figure cannot be read: " + "; ".join(found))
    png = _small_png(fig)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close(fig)  # otherwise the inline backend shows it a second time
    return Picture(png, " ".join(translated(alt).split()), round(fig.get_figwidth() * CSS_DPI))


def show(fig: Figure, alt: str, **measured: Any) -> None:
    """Display `fig` with its description: the text itself, or the id of one in `texts/figures/`.

    There "attention.entropy" is `entropy = 'The largest weight is {largest:.2f}.'` in NN_attention.toml, and `measured`
    fills it in. Raises ValueError where the description or a number for it is missing, UnknownText for an unknown id.
    """
    display(picture(fig, described(alt, measured) if _ID.fullmatch(str(alt)) else alt))


def described(figure_id: str, measured: Mapping[str, Any]) -> str:
    """The description of the figure with this id, with what was measured filled in. Raises as `show` does."""
    known = all_descriptions()
    if figure_id not in known:
        raise unknown(figure_id, known, "figure")
    text = known[figure_id]
    wanted = {name for _, name, _, _ in Formatter().parse(text) if name}
    if wanted != measured.keys():
        found, expected = (", ".join(sorted(names)) or "none" for names in (measured, wanted))
        raise ValueError(f"the description of {figure_id} needs the numbers {expected}; found {found}")
    return text.format(**measured)


def all_descriptions(folder: Path | None = None) -> dict[str, str]:
    """Every description by id, with names in braces for what is measured. Raises TextError."""
    found = {}
    for id, text, where in entries("figures", folder):
        expect(is_text(text), where, "expected a text")
        found[id] = translated(" ".join(text.split()))
    return found


def heatmap(
    panels: Tensor | Mapping[str, Tensor],
    *,
    rows: str = "query",
    columns: str = "key",
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    unit: str = WEIGHT,
    limits: tuple[float, float] | None = None,
    numbers: str = "",
    names: Sequence[str] = (),
    per_row: int = 3,
) -> Figure:
    """One matrix (T S), or several by title, drawn side by side on one colour scale.

    `rows` and `columns` name the axes, `unit` the colour bar, which runs from 0 to 1 for attention weights. `numbers`
    is a format such as ".2f" in which each entry is written into its cell; one matrix without a title needs no bar
    then, and `unit` is its title. `names` are those of the whole numbers that a matrix of categories holds, from 0; a
    legend takes the place of the bar. A Bool matrix is hidden (0) and seen (1).
    """
    named = {"": panels} if isinstance(panels, Tensor) else dict(panels)
    matrices = {title: _matrix(title, A) for title, A in named.items()}
    if all(A.dtype == torch.bool for A in matrices.values()):
        names = names or (translated("hidden"), translated("seen"))
    floats = {title: A.float().numpy() for title, A in matrices.items()}
    colours = HIDDEN_SEEN if len(names) == 2 else ListedColormap(CATEGORIES[: len(names)]) if names else None
    low, high = limits or ((0, max(len(names) - 1, 1)) if names else _range(matrices.values(), unit))
    across = min(per_row, len(floats))
    down = -(-len(floats) // across)
    with rc_context(STYLE):
        fig = Figure(figsize=_heatmap_size(floats, across, down, row_labels), layout="compressed")
        grid = fig.subplots(down, across, squeeze=False)
        for ax in grid.flat[len(floats) :]:
            ax.set_axis_off()
        for k, (title, A) in enumerate(floats.items()):
            image = grid.flat[k].imshow(A, vmin=low, vmax=high, cmap=colours)
            grid.flat[k].set_title(title)
            grid.flat[k].grid(False)
            below = bool(column_labels) or k + across >= len(floats)  # labels are read at each panel, or not at all
            _name_axis(grid.flat[k].xaxis, columns, A.shape[1], column_labels, below)
            _name_axis(grid.flat[k].yaxis, rows, A.shape[0], row_labels, k % across == 0)
            if numbers:
                _write_numbers(grid.flat[k], A, numbers, image)
            if names and max(A.shape) <= 16:
                _rule_cells(grid.flat[k], A.shape)
        if names:
            patches = [Patch(color=image.cmap(image.norm(k)), label=name) for k, name in enumerate(names)]
            fig.legend(handles=patches, loc="outside right center", title="" if len(names) == 2 else unit)
        elif numbers and list(floats) == [""]:
            grid.flat[0].set_title(unit)
        else:
            fig.colorbar(image, ax=grid, shrink=0.9, label=unit)
    return fig


def _rule_cells(ax: Any, shape: tuple[int, int]) -> None:
    """Lines between the cells, so that rows and columns can be counted."""
    for n, line in zip(shape, (ax.axhline, ax.axvline), strict=True):
        for k in range(1, n):
            line(k - 0.5, color="white", linewidth=0.5)


def _write_numbers(ax: Any, A: Any, form: str, image: Any) -> None:
    """Each entry in its cell, in black or white, whichever is read more easily."""
    size = 8 if A.shape[1] > 4 else 11
    for (i, j), value in np.ndenumerate(A):
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        ax.text(j, i, format(value, form), ha="center", va="center", fontsize=size, color="white" if dark else "black")


def curves(x: Any, lines: Mapping[str, Any], *, size: tuple[float, float] = (6.4, 3.2), **look: Any) -> Figure:
    """Each of `lines` (label -> values) over `x`, with the look that `draw_curves` lists."""
    with rc_context(STYLE):
        fig = Figure(figsize=size, layout="constrained")
        draw_curves(fig.subplots(), x, lines, **look)
    return fig


def draw_curves(
    ax: Any,
    x: Any,
    lines: Mapping[str, Any],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log: str = "",
    marker: str = "",
    levels: Mapping[str, float] | None = None,
    places: Mapping[str, float] | None = None,
) -> None:
    """Each of `lines` (label -> values) over `x`; `log` names the logarithmic axes: "x", "y" or "xy".

    `levels` (label -> y) are baselines across, `places` (label -> x) upright lines; neither has marks.
    """
    looks = [{"color": colour, "linestyle": dash} for colour, dash in zip(COLOURS, DASHES, strict=True)]
    look = itertools.cycle(looks)
    for label, y in lines.items():
        ax.plot(_numbers(x), _numbers(y), label=label, marker=marker, markersize=4, **next(look))
    for draw, straight in ((ax.axhline, levels or {}), (ax.axvline, places or {})):
        for label, at in straight.items():
            draw(at, label=label, **next(look))
    ax.set(xlabel=x_label, ylabel=y_label, title=title)
    if "x" in log:
        ax.set_xscale("log", base=2 if all(math.frexp(one)[0] == 0.5 for one in x) else 10)  # powers of two?
    elif isinstance(x, range):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))  # no half of a layer
    if "y" in log:
        ax.set_yscale("log")
    if len(ax.lines) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the axes: it never hides a line


def curve_panels(
    x: Any,
    panels: Mapping[str, Mapping[str, Any]],
    *,
    x_label: str,
    marker: str = "",
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """The curves of each panel, by title, side by side, each with its `levels`, a scale and a legend below it."""
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3.0), layout="constrained")
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for ax, (title, lines) in zip(axes, panels.items(), strict=True):
            across = (levels or {}).get(title)
            draw_curves(ax, x, lines, x_label=x_label, y_label="", title=title, marker=marker, levels=across)
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return fig


def reliability(
    claimed: Float[Tensor, " k"], true: Float[Tensor, " k"], n: Int[Tensor, " k"], *, x_label: str, y_label: str
) -> Figure:
    """How often answers are right over the confidence with which they come, a point a bin of n answers.

    Bars are twice the standard error, the diagonal is honest, and the lower panel has the bins' sizes.
    """
    error = 2 * (true * (1 - true) / n).clamp(min=0).sqrt()
    with rc_context(STYLE):
        fig = Figure(figsize=(6.4, 4.2), layout="constrained")
        above, below = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0.5, 1], [0.5, 1], color=COLOURS[0], linewidth=1, label="honest")
        look = {"color": COLOURS[1], "marker": "o", "linestyle": "", "capsize": 3, "label": "this model"}
        above.errorbar(_numbers(claimed), _numbers(true), yerr=_numbers(error), **look)
        above.set(ylabel=y_label, ylim=(0, 1.05))
        above.legend(loc="lower right")
        below.bar(_numbers(claimed), _numbers(n), width=0.03, color=COLOURS[1])
        below.set(xlabel=x_label, ylabel="answers")
    return fig


def clouds(
    panels: Mapping[str, Float[Tensor, "n 2"]],
    labels: Int[Tensor, " n"],
    names: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    per_row: int = 3,
) -> Figure:
    """The points (n, 2) of each panel, by title; `labels` choose colour and shape, `names` say what the labels mean."""
    down = -(-len(panels) // per_row)
    with rc_context(STYLE):
        fig = Figure(figsize=(2.9 * per_row, 2.5 * down + 0.3), layout="constrained")
        grid = fig.subplots(down, per_row, squeeze=False, sharex=True, sharey=True)
        for ax, (title, XY) in zip(grid.flat, panels.items(), strict=False):
            ax.set_title(title)
            for c, name in enumerate(names):
                look = {"color": COLOURS[c + 1], "marker": MARKERS[c], "s": 14, "linewidths": 0.8}
                ax.scatter(*_numbers(XY[labels == c].T), label=name, **look)
        fig.supxlabel(x_label, fontsize="medium")
        fig.supylabel(y_label, fontsize="medium")
        fig.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names))
    return fig


def _translate(fig: Figure) -> None:
    """Titles, the names of axes and legends in the learner's language; what stands at a tick may be a token."""
    if not chosen():
        return
    legends = [legend for legend in (*fig.legends, *(ax.get_legend() for ax in fig.axes)) if legend]
    written = [text for ax in fig.axes for text in (ax.title, ax.xaxis.label, ax.yaxis.label)]
    written += [text for legend in legends for text in (legend.get_title(), *legend.get_texts())]
    for text in (*written, *fig.texts):
        text.set_text(translated(text.get_text()))


def _small_png(fig: Figure) -> bytes:
    """The figure with 256 colours: a third of the size, and no difference that an eye would see."""
    fig.set_dpi(DPI)
    fig.set_facecolor("white")  # a learner's own figure may come in a dark or see-through style
    canvas, small = FigureCanvasAgg(fig), io.BytesIO()
    with warnings.catch_warnings():
        # A learner may type any script: a box in the picture says enough, the alt text holds the words.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        canvas.draw()  # once; savefig would draw twice
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def _matrix(title: str, A: Tensor) -> Tensor:
    A = A.detach().cpu()
    if A.ndim != 2:
        where = f" for {title!r}" if title else ""
        raise ValueError(
            f"found shape {tuple(A.shape)}{where}, expected a matrix (rows, columns): pick one head, A[0, 0]"
        )
    return A


def _range(matrices: Any, unit: str) -> tuple[float, float]:
    """From 0 to 1 for weights, as far as the entries reach for all else."""
    values = torch.cat([A.float().flatten() for A in matrices])
    finite = values[values.isfinite()]
    if unit == WEIGHT and len(finite) and finite.min() >= 0 and finite.max() <= 1:
        return 0.0, 1.0
    return (finite.min().item(), finite.max().item()) if len(finite) else (0.0, 1.0)


def _heatmap_size(floats: dict, across: int, down: int, row_labels: Sequence[str]) -> tuple[float, float]:
    height, width = next(iter(floats.values())).shape
    side = min(5.0, max(2.4, 0.24 * width)) if row_labels else 2.6
    if across > 1:
        side = min(side, 9.0 / across)
    letters = max(map(len, row_labels), default=0)
    beside = 0.1 * letters if letters > 16 else 0.0  # a token fits, a sentence needs room of its own
    return across * side + 1.4 + beside, down * (side * min(height / width, 1.2) + (1.1 if row_labels else 0.7))


def _name_axis(axis: Any, name: str, n: int, labels: Sequence[str], outer: bool) -> None:
    """Name and ticks of an axis; panels inside the grid share those of the outer ones."""
    if not outer:
        axis.set_ticks([])
        return
    axis.set_label_text(name)
    if labels:
        axis.set_ticks(range(n), labels=labels, rotation=90 if axis.axis_name == "x" else 0, parse_math=False)
    elif n <= 16:
        axis.set_ticks(range(0, n, 1 if n <= 10 else 3))


def _numbers(values: Any) -> Any:
    return values.detach().cpu().float().numpy() if isinstance(values, Tensor) else values
