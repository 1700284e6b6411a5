"""Charts of time and of memory: what each rank does when, and what takes up how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from coursekit.figures import COLOURS, STYLE, draw_curves
from coursekit.world.simulated import Span

# By what a label ends with, or else by a span's kind; dark and light, so that greyscale tells them apart.
_LOOKS = {
    "forward": ("computes forward", COLOURS[6]),
    "backward": ("computes backward", COLOURS[1]),
    "computes": ("computes", COLOURS[6]),
    "reduces": ("sends and adds up", COLOURS[5]),
}


def timeline(rows: Mapping[str, Sequence[Span]], *, x_label: str, unit: float = 1.0) -> Figure:
    """What a rank computes and, below it, what is on the wire meanwhile; a row of both for each of `rows`.

    `unit` is that of the axis in seconds. Waiting is left white.
    """
    with rc_context(STYLE):
        fig = Figure(figsize=(7.6, 0.5 + 0.75 * len(rows)), layout="constrained")
        ax = fig.subplots()
        seen = {}
        for k, spans in enumerate(rows.values()):
            for span in spans:
                look = _LOOKS.get(span.label.rpartition(" ")[2], _LOOKS.get(span.kind))
                if look is None:
                    continue  # it waits
                name, colour = look
                bottom = k + (0.42 if span.kind == "reduces" else 0.06)
                bar = [(span.began / unit, (span.ended - span.began) / unit)]
                ax.broken_barh(bar, (bottom, 0.34), color=colour, edgecolor="white", linewidth=0.8)
                seen[name] = colour
        ax.set(yticks=[k + 0.4 for k in range(len(rows))], yticklabels=[*rows], xlabel=x_label, xlim=(0, None))
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        handles = [Patch(color=colour, label=name) for name, colour in seen.items()]
        fig.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return fig


def stacked(bars: Mapping[str, Mapping[str, float]], *, y_label: str, levels: Mapping[str, float]) -> Figure:
    """A bar for each of `bars`, of parts one on another (the same ones in each); `levels` are lines across."""
    parts = [*next(iter(bars.values()))]
    colours = (COLOURS[1], COLOURS[5], COLOURS[3], COLOURS[6])
    with rc_context(STYLE):
        fig = Figure(figsize=(6.4, 3.2), layout="constrained")
        ax = fig.subplots()
        draw_curves(ax, [], {}, x_label="", y_label=y_label, levels=levels)
        foot = [0.0] * len(bars)
        for part, colour in zip(parts, colours, strict=False):
            heights = [bar[part] for bar in bars.values()]
            ax.bar([*bars], heights, 0.6, foot, label=part, color=colour, edgecolor="white")
            foot = [low + height for low, height in zip(foot, heights, strict=True)]
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.grid(axis="x", visible=False)
    return fig
