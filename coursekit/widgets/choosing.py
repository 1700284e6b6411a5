"""Sampler: what temperature, top-k, top-p and min-p leave of a model's real distribution of the next token."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch
from jaxtyping import Bool, Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, labelled, live, number, refusal, whole
from coursekit.widgets.explorer import wrong_sentence
from coursekit.widgets.tokens import percent, visible, wrong_logits

TEXT = "My fellow Americans, the state of the"
COLDEST, HOTTEST = 0.05, 5.0
MOST_K = 100_000
MOST_SEED = 10_000
SHOWN = 30  # the likeliest tokens, in two columns
DRAWS = 5
REMOVED, FAINT = "#BBBBBB", "#767676"  # a bar, and letters that can still be read
Next = Callable[[str], Float[Tensor, " V"]]


def sampler(next_logits: Next, vocabulary: Sequence[str], text: str = TEXT) -> None:
    """Display the distribution of the next token of a text, with controls for all that narrows it.

    `next_logits(text)` returns the logits (V) of what follows; a text that it does not read raises ValueError.
    `vocabulary` holds each token's text by its id, as `material.decoders.vocabulary` gives it.
    """
    off = translated("off")
    ks = [(off, 0), *((str(k), k) for k in (1, 2, 3, 5, 10, 20, 30, 50, 100, 300, 1000))]
    live(
        functools.partial(draw_sampler, functools.lru_cache(maxsize=32)(next_logits), vocabulary),
        {
            "text": ipywidgets.Text(text, **labelled("text", continuous_update=False)),
            "temperature": ipywidgets.FloatSlider(1.0, min=0.1, max=3.0, step=0.05, **labelled("temperature")),
            "top_k": ipywidgets.SelectionSlider(options=ks, value=0, **labelled("top-k")),
            "top_p": ipywidgets.FloatSlider(1.0, min=0.05, max=1.0, step=0.01, **labelled("top-p (1 is off)")),
            "min_p": ipywidgets.FloatSlider(0.0, min=0.0, max=0.5, step=0.01, **labelled("min-p (0 is off)")),
            "seed": ipywidgets.IntSlider(0, 0, 20, **labelled("seed of the draws")),
        },
    )


@dataclass(frozen=True)
class Narrowed:
    """A distribution p after the temperature, the tokens that are `kept`, and five drawn from p over them."""

    p: Float[Tensor, " V"]
    kept: Bool[Tensor, " V"]
    drawn: list[int]

    @property
    def mass(self) -> float:
        return float(self.p[self.kept].sum())

    @property
    def q(self) -> Float[Tensor, " V"]:
        return self.p.where(self.kept, 0.0) / self.mass


def draw_sampler(
    next_logits: Next,
    vocabulary: Sequence[str],
    text: Any,
    temperature: Any,
    top_k: Any,
    top_p: Any,
    min_p: Any,
    seed: Any,
) -> Picture | Notice:
    """Bars of the likeliest tokens, the kept ones in colour, and five draws; a Notice for bad values.

    `top_k` 0, `top_p` 1 and `min_p` 0 remove nothing.
    """
    if wrong := wrong_sentence(text) or _wrong(temperature, top_k, top_p, min_p, seed):
        return Notice(wrong)
    try:
        logits = next_logits(text).detach().cpu().double()
    except ValueError as error:
        return refusal(error)
    if wrong := wrong_logits(logits, len(vocabulary)):
        return Notice(wrong)
    p = (logits / temperature).softmax(-1)
    kept = _kept(p, int(top_k), float(top_p), float(min_p))
    generator = torch.Generator().manual_seed(int(seed))
    drawn = torch.multinomial(p.where(kept, 0.0), DRAWS, replacement=True, generator=generator).tolist()
    return _told(Narrowed(p, kept, drawn), vocabulary, text, seed)


def _kept(p: Float[Tensor, " V"], top_k: int, top_p: float, min_p: float) -> Bool[Tensor, " V"]:
    """The tokens that top-k, then top-p, then min-p leave, each over what is left; the likeliest stays always.

    All that tie with the k-th stay, and the token with which the sum reaches top_p. Sources: Fan et al. 2018;
    Holtzman et al. 2020, section 3.1; Nguyen et al. 2024.
    """
    kept = torch.ones_like(p, dtype=torch.bool)
    if top_k:
        kept = p >= p.topk(min(top_k, len(p))).values[-1]
    if top_p < 1:
        q, order = (p.where(kept, 0.0) / p[kept].sum()).sort(descending=True, stable=True)
        before = q.cumsum(0) - q
        kept = kept & torch.zeros_like(kept).scatter(0, order, before < top_p)
    return kept & (p >= min_p * p.max())


def _told(found: Narrowed, vocabulary: Sequence[str], text: str, seed: int) -> Picture:
    V, n, ids = (
        len(vocabulary),
        int(found.kept.sum()),
        found.p.sort(descending=True, stable=True).indices[:SHOWN].tolist(),
    )
    drawn = ", ".join(visible(vocabulary[i], 14) for i in found.drawn)
    kept = translated(f"{n:d} of {V:d} tokens stay, which hold {found.mass:.1%} of the probability.")
    draws = translated(f"Drawn with seed {seed:d}: {drawn!s}")
    removed = translated("removed")
    bars = ", ".join(
        f"{visible(vocabulary[i])} {percent(float(found.p[i]))}{'' if found.kept[i] else f' ({removed})'}" for i in ids
    )
    likeliest = translated("The likeliest after the temperature are")
    begun = translated(f"The next token after '{text!s}'.")
    return picture(_bars(found, vocabulary, ids, f"{kept}\n{draws}"), f"{begun} {kept} {draws}. {likeliest} {bars}.")


def _bars(found: Narrowed, vocabulary: Sequence[str], ids: list[int], title: str) -> Figure:
    """The tokens in two columns on one scale: p as bars, and what is drawn from as marks."""
    half = max(1, -(-len(ids) // 2))
    most = 1.08 * max(float(found.p.max()), float(found.q.max()))
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 1.6 + 0.21 * half), layout="constrained")
        for ax, first in zip(fig.subplots(1, 2), (0, half), strict=True):
            column = ids[first : first + half]
            kept = found.kept[column].tolist()
            colours = [COLOURS[1] if stays else REMOVED for stays in kept]
            ax.barh(range(len(column)), found.p[column].tolist(), color=colours)
            stay = [row for row, stays in enumerate(kept) if stays]
            ax.plot(
                found.q[[column[row] for row in stay]].tolist(),
                stay,
                "|",
                color=COLOURS[2],
                markersize=11,
                markeredgewidth=2.5,
            )
            labels = [f"{visible(vocabulary[i], 16)}  {percent(float(found.p[i]))}" for i in column]
            ax.set_yticks(range(len(column)), labels=labels, parse_math=False)
            for label, stays in zip(ax.get_yticklabels(), kept, strict=True):
                label.set_color("black" if stays else FAINT)  # of a small bar the colour is not seen
            ax.set(xlabel="probability", xlim=(0, most), ylim=(half - 0.4, -0.6))
            ax.grid(axis="y", visible=False)
            ax.locator_params(axis="x", nbins=5)
        fig.suptitle(title, parse_math=False, fontsize="medium")
        handles = [ax.barh(-9, 0, color=colour) for colour in (COLOURS[1], REMOVED)]
        handles += ax.plot([], [], "|", color=COLOURS[2], markersize=11, markeredgewidth=2.5)
        names = (translated("kept"), translated("removed"), translated("kept, as they are drawn"))
        fig.legend(handles, names, loc="outside lower center", ncols=3)
    return fig


def _wrong(temperature: Any, top_k: Any, top_p: Any, min_p: Any, seed: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if not number(temperature, COLDEST, HOTTEST):
        return f"The temperature {temperature!r} does not work here: choose a number from {COLDEST} to {HOTTEST:g}."
    if whole(top_k) is None or not 0 <= top_k <= MOST_K:
        return f"A top-k of {top_k!r} does not work here: choose a whole number from 1 to {MOST_K}, or 0 for all."
    if not number(top_p, 0, 1) or top_p == 0:
        return f"A top-p of {top_p!r} does not work here: choose a number above 0, at most 1."
    if not number(min_p, 0, 1):
        return f"A min-p of {min_p!r} does not work here: choose a number from 0 to 1."
    if whole(seed) is None or not 0 <= seed <= MOST_SEED:
        return f"The seed {seed!r} does not work here: choose a whole number from 0 to {MOST_SEED}."
    return ""
