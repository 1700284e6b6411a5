"""Experts: how a router loads them, which tokens find no room, and what temperature and capacity change in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch
from jaxtyping import Bool, Float, Int
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, labelled, live, number, whole

TOKENS, CHOICES = 256, 2
MOST_EXPERTS = 16
COLDEST, HOTTEST = 0.1, 10.0
LEAST_ROOM, MOST_ROOM = 0.25, 4.0
LIKELIEST, DRAWN = "the likeliest", "drawn at random"


def expert_load() -> None:
    """Display the load of each expert, with controls for the router's temperature, the capacity and the choice."""
    choices = [(translated(one), one) for one in (DRAWN, LIKELIEST)]
    log = {"min": -1, "max": 1, "step": 0.1, "readout_format": ".2f"}
    live(
        draw_load,
        {
            "temperature": ipywidgets.FloatLogSlider(1.0, **log, **labelled("router temperature")),
            "capacity": ipywidgets.FloatSlider(1.25, min=0.25, max=4.0, step=0.25, **labelled("capacity factor")),
            "experts": ipywidgets.IntSlider(8, 2, MOST_EXPERTS, **labelled("experts")),
            "choice": ipywidgets.ToggleButtons(options=choices, **labelled("two experts are")),
        },
    )


@dataclass(frozen=True)
class Load:
    """Choices by expert that found room and that did not, and what the router gave it; tokens that lost one or both."""

    kept: Int[Tensor, " E"]
    dropped: Int[Tensor, " E"]
    expected: Float[Tensor, " E"]
    room: int
    lost_one: int
    lost_both: int

    @property
    def balance(self) -> float:
        """E sum f P, f the shares of the choices and P the mean probabilities: 1 where the load is even."""
        f, P = ((one / one.sum()) for one in (self.kept + self.dropped, self.expected))
        return len(f) * float((f * P).sum())


def draw_load(temperature: Any, capacity: Any, experts: Any, choice: Any = DRAWN) -> Picture | Notice:
    """Choices by expert, kept and dropped, and the router's mean probabilities; a Notice for bad values.

    Each of 256 tokens goes to two experts. The likeliest two do not depend on the temperature, which changes the
    weights alone; two that are drawn spread out as it rises.
    """
    if wrong := _wrong(temperature, capacity, experts, choice):
        return Notice(wrong)
    E = int(experts)
    found = load(float(temperature), float(capacity), E, choice == DRAWN)
    total, dropped = TOKENS * CHOICES, int(found.dropped.sum())
    most = float((found.kept + found.dropped).max()) * E / total
    title = translated(
        f"{dropped / total:.0%} of {total:d} choices are dropped; "
        f"the busiest expert is wanted {most:.1f} times as often as the mean"
    )
    one, both = found.lost_one, found.lost_both
    lost = translated(f"{one:d} of {TOKENS:d} tokens lose one expert, {both:d} both; balance {found.balance:.2f}")
    rows = zip(found.kept.tolist(), found.dropped.tolist(), found.expected.tolist(), strict=True)
    by_expert = "; ".join(f"{e}: {kept}, {gone}, {mean:.0f}" for e, (kept, gone, mean) in enumerate(rows))
    told = translated(
        f"Choices kept, dropped and expected by expert, with room for {found.room:d} each: {by_expert!s}."
    )
    return picture(_bars(found, f"{title}\n{lost}"), f"{title}. {lost}. {told}")


def load(temperature: float, capacity: float, E: int, drawn: bool) -> Load:
    """Where fixed random logits send 256 tokens. First choices find room before second ones, in the tokens' order.

    Sources: Shazeer et al. 2017, section 2.1; Lepikhin et al. 2020, algorithm 1; Fedus et al. 2022, equations 4 to 6.
    """
    logits, noise = _logits(E)
    scores = logits / temperature
    p = scores.softmax(-1)
    best = (scores + noise if drawn else scores).topk(CHOICES).indices  # (T, k)
    room = math.ceil(capacity * TOKENS * CHOICES / E)
    kept = _finds_room(best, E, room)
    here = torch.nn.functional.one_hot(best, E)  # (T, k, E)
    lost = (~kept).sum(1)
    stays, goes = ((here * mask[..., None]).sum((0, 1)) for mask in (kept, ~kept))
    return Load(stays, goes, p.mean(0) * TOKENS * CHOICES, room, int((lost == 1).sum()), int((lost == 2).sum()))


def _logits(E: int) -> tuple[Float[Tensor, "T E"], Float[Tensor, "T E"]]:
    """Logits by which some experts are liked by all tokens, and Gumbel's noise: the largest sums are draws from p."""
    g = torch.Generator().manual_seed(0)
    liked = torch.randn(MOST_EXPERTS, generator=g)
    own, u = torch.randn(TOKENS, MOST_EXPERTS, generator=g), torch.rand(TOKENS, MOST_EXPERTS, generator=g)
    return (liked + own)[:, :E], -(-u.clamp_min(1e-9).log()).log()[:, :E]


def _finds_room(best: Int[Tensor, "T k"], E: int, room: int) -> Bool[Tensor, "T k"]:
    """Whether each choice comes among the first `room` of its expert, all first choices before all second ones."""
    queue = best.T.flatten()
    before = torch.nn.functional.one_hot(queue, E).cumsum(0).gather(1, queue[:, None])[:, 0] - 1
    return (before < room).view_as(best.T).T


def _bars(found: Load, title: str) -> Figure:
    """Kept choices with the dropped ones above them, the room that each expert has, and what the router gives it."""
    E = range(len(found.kept))
    kept, dropped = found.kept.tolist(), found.dropped.tolist()
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3.6), layout="constrained")
        ax = fig.subplots()
        ax.bar(E, kept, color=COLOURS[1], label=translated("kept"))
        above = ax.bar(E, dropped, bottom=kept, color=COLOURS[5], hatch="///", edgecolor="white")
        above.set_label(translated("dropped"))
        expected = translated("mean router probability × choices")
        room = translated(f"room of each expert: {found.room:d}")
        ax.plot(E, found.expected.tolist(), "D", color=COLOURS[0], markersize=5, label=expected)
        ax.axhline(found.room, color=COLOURS[2], linestyle="--", label=room)
        ax.set(xlabel="expert", ylabel="choices of tokens", title=title)
        ax.set_xticks(E)
        tallest = float(torch.maximum(found.kept + found.dropped, found.expected).max())
        ax.set_ylim(0, 1.08 * max(tallest, min(found.room, 1.5 * tallest)))  # ample room needs no line
        ax.grid(axis="x", visible=False)
        fig.legend(loc="outside lower center", ncols=4)
    return fig


def _wrong(temperature: Any, capacity: Any, experts: Any, choice: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if not number(temperature, COLDEST, HOTTEST):
        return f"The temperature {temperature!r} does not work here: choose a number from {COLDEST} to {HOTTEST:g}."
    if not number(capacity, LEAST_ROOM, MOST_ROOM):
        return f"The capacity factor {capacity!r} does not work here: choose one from {LEAST_ROOM} to {MOST_ROOM:g}."
    if whole(experts) is None or not CHOICES <= experts <= MOST_EXPERTS:
        return f"{experts!r} experts do not work here: choose a whole number from {CHOICES} to {MOST_EXPERTS}."
    if choice not in (LIKELIEST, DRAWN):
        return f"{choice!r} is no way to choose an expert: choose {LIKELIEST} or {DRAWN}."
    return ""
