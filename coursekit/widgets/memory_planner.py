"""Memory planner: what a plan leaves on each GPU of weights, gradients, optimiser and activations, against 80 GB."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
from matplotlib import rc_context
from matplotlib.figure import Figure

from coursekit.figures import COLOURS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole

GB = 1e9
CARD = 80 * GB
SHOWN = 2.6 * CARD  # what lies above is cut off
LEAST, MOST = 0.1, 500.0  # billion parameters
HEAD = 128  # numbers of a head
OWN = "a size of my own"
LIMITS = {"n": 4096, "t": 16, "p": 64, "s": 1 << 20, "b": 64}
# What is held: its key in the library's answer, its colour, its hatch.
KINDS = (
    *(("weights", "#00224E", ""), ("gradients", COLOURS[5], "///")),
    *(("optimizer", COLOURS[6], ""), ("activations", COLOURS[3], "...")),
)


@dataclass(frozen=True)
class Model:
    """P parameters in L layers that are D wide and have that many heads."""

    P: int
    L: int
    D: int
    heads: int


# Zhang et al. 2024 (github.com/jzhang38/TinyLlama, README); Touvron et al. 2023 (arXiv 2302.13971), table 2;
# Grattafiori et al. 2024 (arXiv 2407.21783), table 3.
MODELS = {
    "TinyLlama 1.1B": Model(1_100_000_000, 22, 2048, 32),
    "LLaMA 7B": Model(6_700_000_000, 32, 4096, 32),
    "LLaMA 13B": Model(13_000_000_000, 40, 5120, 40),
    "Llama 3 70B": Model(70_000_000_000, 80, 8192, 64),
    "Llama 3 405B": Model(405_000_000_000, 126, 16384, 128),
}


def model_of(billions: float) -> Model:
    """A model with P = 12 L D^2 parameters and D = 128 L, a head for every 128 numbers of its width."""
    L = max(1, round((billions * 1e9 / (12 * HEAD**2)) ** (1 / 3)))
    return Model(round(billions * 1e9), L, HEAD * L, L)


@dataclass(frozen=True)
class Plan:
    """How a model is trained: n copies, cut t ways and into p stages, on b texts of s tokens at a time."""

    n: int
    t: int
    p: int
    s: int
    b: int
    flash: bool
    again: bool  # activations are computed again

    @property
    def gpus(self) -> int:
        return self.n * self.t * self.p


def plan_memory() -> None:
    """Display the memory of each GPU for a model and a plan, with controls for both."""
    log = {"base": 10, "min": -1, "max": 2.7, "step": 0.05, "readout_format": ".1f"}
    models = [(translated(OWN), OWN), *((name, name) for name in MODELS)]
    yes_no = [(translated("kept"), False), (translated("computed again (checkpointing)"), True)]
    scores = [(translated("kept"), False), (translated("never kept (flash)"), True)]
    live(
        draw_plan,
        {
            "model": ipywidgets.Dropdown(options=models, value="LLaMA 7B", **labelled("model")),
            "billions": ipywidgets.FloatLogSlider(10.0, **log, **labelled("own size (billions)")),
            "stage": ipywidgets.IntSlider(0, 0, 3, **labelled("sharding stage")),
            "n": _powers("data parallel ranks n", 1024, 8),
            "t": _powers("tensor parallel ranks t", 8, 1),
            "p": _powers("pipeline stages p", 16, 1),
            "s": _powers("tokens in a text s", 1 << 17, 4096, 512),
            "b": _powers("texts in a micro-batch b", 16, 1),
            "flash": ipywidgets.Dropdown(options=scores, value=True, **labelled("attention scores are")),
            "again": ipywidgets.Dropdown(options=yes_no, **labelled("activations are")),
        },
    )


def _powers(name: str, most: int, value: int, least: int = 1) -> ipywidgets.SelectionSlider:
    options = [(f"{2**k:,d}", 2**k) for k in range(21) if least <= 2**k <= most]
    return ipywidgets.SelectionSlider(options=options, value=value, **labelled(name))


def draw_plan(
    model: Any, billions: Any, stage: Any, n: Any, t: Any, p: Any, s: Any, b: Any, flash: Any = True, again: Any = False
) -> Page | Notice:
    """The bytes of one GPU by sharding stage, against 80 GB, and what is largest; a Notice for bad values."""
    if wrong := _wrong(model, billions, stage, {"n": n, "t": t, "p": p, "s": s, "b": b}):
        return Notice(wrong)
    found = MODELS[model] if model != OWN else model_of(billions)
    plan = Plan(int(n), int(t), int(p), int(s), int(b), bool(flash), bool(again))
    if plan.p > found.L or plan.t > found.heads:
        return Notice(
            f"{found.L:d} layers with {found.heads:d} heads cannot be cut into {plan.p:d} stages and {plan.t:d} ways: "
            "lower p or t."
        )
    try:
        (training_bytes,) = importlib.import_module("coursekit.library.distributed.training_bytes").LIBRARY
    except ImportError:
        return Notice("The bytes come from the course's own function, which is not here while an answer is graded.")
    return _page(found, plan, int(stage), by_stage(training_bytes, found, plan))


def by_stage(training_bytes: Callable[..., dict[str, int]], model: Model, plan: Plan) -> list[dict[str, int]]:
    """What the GPU that holds most has to hold, in sharding stages 0 to 3: its own P / (t p) parameters, over n."""
    P, activations = math.ceil(model.P / (plan.t * plan.p)), round(activation_bytes(model, plan))
    return [training_bytes(P, plan.n, stage, True, activations) for stage in range(4)]


def activation_bytes(model: Model, plan: Plan) -> float:
    """What the first pipeline stage holds for the backward pass: s b D (10 + 24/t + 5 heads s / (D t)) a layer.

    It holds p micro-batches of L / p layers. The scores' term goes where they are never kept. Computed again, a layer
    holds its input alone, 2 s b D, and one layer at a time all it has. Counted with masks of dropout and a GELU that
    is 4 D wide, in 16 bits: for other layers it is an estimate. Sources: Korthikanti et al. 2022 (arXiv 2205.05198),
    equations 1 and 2, section 4.2.3; Narayanan et al. 2021 (arXiv 2104.04473), section 3.5.
    """
    scores = 0.0 if plan.flash else 5 * model.heads * plan.s / (model.D * plan.t)
    numbers = plan.s * plan.b * model.D
    layer = numbers * (10 + 24 / plan.t + scores)
    return model.L * 2 * numbers + layer if plan.again else model.L * layer


def _page(model: Model, plan: Plan, stage: int, rows: list[dict[str, int]]) -> Page:
    told = [_told_fit(plan, rows[stage]), _told_activations(plan, rows[stage]), _told_model(model)]
    stages = "; ".join(translated(f"stage {k:d}: {_listed(row)!s}") for k, row in enumerate(rows))
    shown = translated(f"GB on one GPU by sharding stage: {stages!s}.")
    drawn = picture(_bars(rows, stage), " ".join(filter(None, (*told, shown))))
    below = "".join(f'<p style="margin:6px 0">{escape(sentence)}</p>' for sentence in told if sentence)
    return Page(f'<div style="max-width:800px">{drawn.html}{below}</div>', drawn.alt)


def _names() -> dict[str, str]:
    """What each kind of number is called."""
    names = (translated("weights"), translated("gradients"), translated("optimiser"), translated("activations"))
    return dict(zip((key for key, *_ in KINDS), names, strict=True))


def _listed(row: dict[str, int]) -> str:
    return ", ".join(f"{name} {_gb(row[key])}" for key, name in _names().items())


def _gb(bytes: float) -> str:
    return f"{bytes / GB:,.1f}" if bytes < 10 * GB else f"{bytes / GB:,.0f}"


def _told_fit(plan: Plan, row: dict[str, int]) -> str:
    """Whether it fits, and what is largest."""
    key = max(_names(), key=lambda name: row[name])
    largest, total, left = _gb(row[key]), _gb(row["total"]), _gb(abs(CARD - row["total"]))
    if row["total"] <= CARD:
        fits = translated(f"It fits: {total!s} GB on a GPU, which leaves {left!s} of 80 GB for buffers.")
    else:
        fits = translated(f"It does not fit: {total!s} GB on a GPU, {left!s} more than 80 GB.")
    most = translated(f"The largest part is {_names()[key]!s}, {largest!s} GB.")
    gpus = translated(f"GPUs in all: n t p = {plan.n:d} × {plan.t:d} × {plan.p:d} = {plan.gpus:,d}.")
    return f"{fits} {most} {gpus}"


def _told_activations(plan: Plan, row: dict[str, int]) -> str:
    """Which of the splits leave the activations as they are."""
    if plan.p > 1:
        return translated(
            f"Stages of a pipeline leave the activations as they are: the first one holds those of {plan.p:d} "
            f"micro-batches at once."
        )
    if plan.n > 1:
        return translated("Sharding leaves the activations as they are: each rank has texts of its own.")
    return ""


def _told_model(model: Model) -> str:
    return translated(
        f"The model: {model.P / 1e9:,.3g} billion parameters, {model.L:d} layers, {model.D:,d} wide, {model.heads:d} "
        f"heads. Weights and gradients in 2 bytes, master weights and both averages in 4."
    )


def _bars(rows: list[dict[str, int]], stage: int) -> Figure:
    """A bar for each stage, the chosen one on a stripe, cut off where it is much longer than the card."""
    titles = (
        *(translated("stage 0: nothing sharded"), translated("stage 1: optimiser sharded")),
        *(translated("stage 2: and gradients"), translated("stage 3: and weights")),
    )
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3.3), layout="constrained")
        ax = fig.subplots()
        for key, colour, hatch in KINDS:
            before = [sum(row[k] for k, *_ in KINDS[: [k for k, *_ in KINDS].index(key)]) / GB for row in rows]
            widths = [row[key] / GB for row in rows]
            ax.barh(range(4), widths, left=before, color=colour, hatch=hatch, edgecolor="white", label=_names()[key])
        for k, row in enumerate(rows):
            x, cut = min(row["total"], SHOWN) / GB, row["total"] > SHOWN
            text = f"{_gb(row['total'])} GB{' →' if cut else ''}"
            look: Any = {"ha": "right", "backgroundcolor": "white"} if cut else {"ha": "left"}
            ax.text(x, k, f" {text} ", va="center", fontweight="bold" if k == stage else "normal", **look)
        ax.axvline(CARD / GB, color=COLOURS[2], linestyle="--", linewidth=2, label=translated("a GPU of 80 GB"))
        ax.set(xlim=(0, SHOWN / GB), ylim=(3.6, -0.6), xlabel="GB on one GPU")
        ax.set_yticks(range(4), labels=titles)
        ax.axhspan(stage - 0.5, stage + 0.5, color="#FFF0C2", zorder=0)
        ax.grid(axis="y", visible=False)
        fig.legend(loc="outside lower center", ncols=5, columnspacing=1.2)
    return fig


def _wrong(model: Any, billions: Any, stage: Any, counts: dict[str, Any]) -> str:
    """Why these settings do not work; empty where they do."""
    if not isinstance(model, str) or model not in (OWN, *MODELS):
        return f"There is no model {model!r} here: choose one of {', '.join((OWN, *MODELS))}."
    if not number(billions, LEAST, MOST * 1.01):
        return f"A size of {billions!r} billion parameters does not work here: choose {LEAST} to {MOST:g}."
    if whole(stage) is None or not 0 <= stage <= 3:
        return f"There is no sharding stage {stage!r}: choose 0, 1, 2 or 3."
    for name, value in counts.items():
        if whole(value) is None or not 1 <= value <= LIMITS[name]:
            return f"The number {name} cannot be {value!r} here: choose a whole number from 1 to {LIMITS[name]:d}."
    return ""
