"""Samples against steps: what a model wrote at each checkpoint of its training, beside the loss that it had there."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
from matplotlib import rc_context
from matplotlib.figure import Figure

from coursekit.figures import COLOURS, STYLE, draw_curves, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live
from coursekit.widgets.tokens import visible

MOST_CHARACTERS = 2_000  # of one sample
Curve = Sequence[Mapping[str, float]]
Samples = Sequence[Mapping[str, Any]]


def samples_by_step(curve: Curve, samples: Samples, prompts: Sequence[str] = ()) -> None:
    """Display a training run's samples and its loss, with a slider over the checkpoints.

    A row of `curve` has `step`, `loss` (held out, nats a token), `training` and `bits_per_byte`; one of `samples` has
    `step` and `texts`, as `material.decoders.gpt_run` gives both for each run. A prompt with which a text begins is
    set apart.
    """
    steps = [row["step"] for row in samples]
    options = [(f"{step:,.0f}", step) for step in steps]
    slider = ipywidgets.SelectionSlider(options=options, value=steps[-1], **labelled("step"))
    live(functools.partial(draw_checkpoint, curve, samples, prompts), {"step": slider})


def draw_checkpoint(curve: Curve, samples: Samples, prompts: Sequence[str], step: Any) -> Page | Notice:
    """The samples of one checkpoint beside the losses of all; a Notice for a step that is none."""
    rows, texts = {row["step"]: row for row in curve}, {row["step"]: row["texts"] for row in samples}
    steps = sorted(rows.keys() & texts)
    if isinstance(step, bool) or not isinstance(step, int | float) or step not in steps:
        known = ", ".join(f"{one:.0f}" for one in steps)
        return Notice(f"There is no checkpoint of step {step!r}: choose one of {known}.")
    loss, bits_per_byte = rows[step]["loss"], rows[step]["bits_per_byte"]
    title = translated(f"step {step:,.0f}: {loss:.2f} nats a token, {bits_per_byte:.2f} bits a byte")
    best = min(curve, key=lambda row: row["loss"])
    trained = translated(f", in training {rows[step]['training']:.2f}") if step else ""
    drawn = picture(
        _losses(curve, step, title),
        f"Losses over the steps of training. At step {step:,.0f} that of held-out text is {loss:.2f} nats a token, "
        f"{bits_per_byte:.2f} bits a byte{trained!s}; the lowest is {best['loss']:.2f} at step {best['step']:,.0f}.",
    )
    written = "".join(_quoted(text, prompts) for text in texts[step])
    side = "flex:1 1 280px;min-width:0"
    html = (
        f'<div style="display:flex;flex-wrap:wrap;gap:16px;max-width:800px"><div style="{side}">{drawn.html}</div>'
        f'<div style="{side}">{written}</div></div>'
    )
    begun = translated("It writes:")
    return Page(html, " ".join((drawn.alt, begun, *(f"“{_seen(text)}”" for text in texts[step]))))


def _seen(text: str) -> str:
    """A sample with its spaces and ends of lines as they are, and signs for what else would not be seen."""
    return visible(text, longest=MOST_CHARACTERS, kept=" \n")


def _quoted(text: str, prompts: Sequence[str]) -> str:
    """A sample with its own lines, the prompt before it in bold."""
    prompt = max((one for one in prompts if text.startswith(one)), key=len, default="")
    given = f"<b>{escape(_seen(prompt))}</b>" if prompt else ""
    rest = escape(_seen(text[len(prompt) :])) if len(text) > len(prompt) else ""
    look = "white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 8px;padding:2px 8px;border-left:3px solid #56B4E9"
    return f'<blockquote style="{look}"><bdi>{given}{rest}</bdi></blockquote>'


def _losses(curve: Curve, step: float, title: str) -> Figure:
    """Both losses over the steps, close together at first; a point where `step` is."""
    trained = [row for row in curve if row["step"]]  # before the first step there is no training loss
    with rc_context(STYLE):
        fig = Figure(figsize=(4.4, 3.4), layout="constrained")
        ax = fig.subplots()
        held_out = {"held out": [row["loss"] for row in curve]}
        draw_curves(ax, [row["step"] for row in curve], held_out, x_label="step (log scale)", y_label="nats a token")
        x, y = [row["step"] for row in trained], [row["training"] for row in trained]
        ax.plot(x, y, color=COLOURS[1], linestyle="--", label=translated("training"))
        here = next(row["loss"] for row in curve if row["step"] == step)
        ax.plot([step], [here], "o", color=COLOURS[2], markersize=9, clip_on=False, zorder=3)
        ax.set_xscale("symlog", linthresh=10, linscale=0.5)
        ticks = [0, *(10**n for n in range(1, 7) if 10**n <= curve[-1]["step"])]
        ax.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.set_title(title)
        ax.legend(loc="lower left")
    return fig
