"""Draft and verify: a cheap model drafts, the target checks, and what comes out has the target's distribution.

Unless the check is made with another q than that from which the draft was drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole
from coursekit.widgets.tokens import percent, visible

MOST_DRAFTS, MOST_SEED = 8, 10_000
FILTER = 2  # tokens that a filtered q has
SHOWN = 8
ROUNDED = 0.02  # by which a softmax in half precision may miss 1
# Whether the draft is drawn from the filtered q, and whether it is checked with it.
RULES = {
    "drawn from q, checked with q": (False, False),
    "drawn from q's two likeliest, checked with them": (True, True),
    "wrong q: drawn from q's two likeliest, checked with q": (True, False),
}
Row = Float[Tensor, " V"]
Chances = Callable[[tuple[int, ...]], Row]


def draft_and_verify(target: Chances, other: Chances, vocabulary: Sequence[str]) -> None:
    """Display one pass of drafting and the distribution of its first token, with controls for how it is done.

    `target(ids)` and `other(ids)` return the probabilities (V) of the token that follows a text and the drafted `ids`
    behind it. The draft's q is a mixture of both, the target at an agreement of 1. `vocabulary` has each token's text.
    """
    remember = functools.lru_cache(maxsize=256)
    rules = [(translated(rule), rule) for rule in RULES]
    live(
        functools.partial(draw_draft, remember(target), remember(other), vocabulary),
        {
            "agreement": ipywidgets.FloatSlider(0.5, min=0.0, max=1.0, step=0.05, **labelled("agreement")),
            "drafts": ipywidgets.IntSlider(4, 1, MOST_DRAFTS, **labelled("drafts k")),
            "rule": ipywidgets.RadioButtons(options=rules, **labelled("the draft is")),
            "seed": ipywidgets.IntSlider(0, 0, 20, **labelled("seed of the run")),
        },
    )


def draw_draft(
    target: Chances, other: Chances, vocabulary: Sequence[str], agreement: Any, drafts: Any, rule: Any, seed: Any
) -> Page | Notice:
    """The first token's distribution as target, draft and result have it, and one run; a Notice for bad values."""
    if wrong := _wrong(agreement, drafts, rule, seed) or _wrong_rows(target(()), other(()), len(vocabulary)):
        return Notice(wrong)

    def places(ids: tuple[int, ...], rule: str = rule) -> Place:
        p, o = (one(ids).detach().cpu().double() for one in (target, other))
        return place(p / p.sum(), o / o.sum(), float(agreement), *RULES[rule])

    first = places(())
    r, accepted = outcome(first)
    title = _title(first, r, accepted, int(drafts))
    order = first.p.sort(descending=True, stable=True).indices[:SHOWN].tolist()
    bars = {"target": first.p, "draft": first.drawn, "result": r}
    top = max(float(row.max()) for one in RULES for at in [places((), one)] for row in (at.p, at.drawn, outcome(at)[0]))
    drawn = picture(_bars(bars, order, vocabulary, title, top), f"{title} {_told_bars(bars, order, vocabulary)}")
    lines, written = _run(places, int(drafts), int(seed))
    text, n, most = " ".join(visible(vocabulary[i]) for i in written), len(written), int(drafts) + 1
    ending = translated(f"This pass of the target writes {n:d} of at most {most:d} tokens: {text!s}")
    told = [_cells(line, written, vocabulary) for line in lines]
    said = "; ".join(f"{token}, q {q}, p {p}, u {u}, {verdict}" for token, q, p, u, verdict in told)
    html = f'<div style="max-width:800px">{drawn.html}<p>{escape(ending)}</p>{_table(told)}</div>'
    return Page(html, f"{drawn.alt} {ending}. {said}.")


@dataclass(frozen=True)
class Place:
    """One place of the text: the target's p, the q from which the draft is drawn, and the one it is checked with."""

    p: Row
    drawn: Row
    checked: Row

    @property
    def accepts(self) -> Row:
        """The probability with which each token is accepted; 1 where q is 0, for it is never drafted."""
        return (self.p / self.checked).nan_to_num(1.0).clamp(max=1)

    @property
    def rest(self) -> Row:
        """From what a rejected token is replaced; p where q is p, for then none is rejected."""
        over = (self.p - self.checked).clamp_min(0)
        return over / over.sum() if over.sum() > 0 else self.p


def place(p: Row, other: Row, agreement: float, filters_drawn: bool, filters_checked: bool) -> Place:
    q = agreement * p + (1 - agreement) * other
    filtered = q.where(q >= q.topk(min(FILTER, len(q))).values[-1], 0.0)
    filtered = filtered / filtered.sum()
    return Place(p, filtered if filters_drawn else q, filtered if filters_checked else q)


def outcome(at: Place) -> tuple[Row, float]:
    """The exact distribution of the token that comes out at a place, and how probably the draft is accepted.

    A draft y comes with probability drawn_y, and is accepted, or replaced by one from the rest. Source: Leviathan et
    al. 2023, algorithm 1 and appendix A.1.
    """
    stays = at.drawn * at.accepts
    return stays + (1 - stays.sum()) * at.rest, float(stays.sum())


@dataclass(frozen=True)
class Draft:
    """A drafted token as the check sees it; `verdict` says what became of it."""

    token: int
    q: float
    p: float
    u: float
    verdict: str


def _cells(line: Draft, written: Sequence[int], vocabulary: Sequence[str]) -> tuple[str, str, str, str, str]:
    """A row of the table: what was drafted, q, p, u, and what became of it."""
    instead = visible(vocabulary[written[-1]])
    verdict = translated(f"rejected, {instead!s} instead" if line.verdict == "rejected" else line.verdict)
    return visible(vocabulary[line.token]), percent(line.q), percent(line.p), f"{line.u:.2f}", verdict


def _run(places: Callable[[tuple[int, ...]], Place], k: int, seed: int) -> tuple[list[Draft], list[int]]:
    """k drafts, of which those behind a rejected one are not looked at, and the tokens that are written."""
    g = torch.Generator().manual_seed(seed)
    ids: tuple[int, ...] = ()
    lines, written = [], None
    for _ in range(k):
        at = places(ids)
        x, u = int(torch.multinomial(at.drawn, 1, generator=g)), float(torch.rand((), generator=g, dtype=torch.float64))
        verdict = "not looked at" if written else "accepted" if u < at.accepts[x] else "rejected"
        if verdict == "rejected":
            written = [*ids, int(torch.multinomial(at.rest, 1, generator=g))]
        lines.append(Draft(x, float(at.checked[x]), float(at.p[x]), u, verdict))
        ids = (*ids, x)
    return lines, written or [*ids, int(torch.multinomial(places(ids).p, 1, generator=g))]


def _title(first: Place, r: Row, accepted: float, k: int) -> str:
    moved = float((r - first.p).abs().sum() / 2)
    gain = sum(accepted**n for n in range(k + 1))
    told = translated(f"Total variation between target and result: {moved:.3f}.")
    mean = translated(
        f"The first draft is accepted with {accepted:.0%}; {gain:.1f} tokens a pass, were all places like it."
    )
    return f"{told}\n{mean}"


def _told_bars(bars: dict[str, Row], order: Sequence[int], vocabulary: Sequence[str]) -> str:
    tokens = [f"{name} {', '.join(map(percent, shares))}" for name, shares in _shares(bars, order, vocabulary, 24)]
    return translated(f"Target, draft and result of the first token: {'; '.join(tokens)!s}.")


def _shares(
    bars: dict[str, Row], order: Sequence[int], vocabulary: Sequence[str], longest: int
) -> list[tuple[str, list[float]]]:
    """The likeliest tokens with the height of each bar, and all others together where there are more."""
    told = [(visible(vocabulary[i], longest), [float(row[i]) for row in bars.values()]) for i in order]
    rest = [max(0.0, 1 - float(row[list(order)].sum())) for row in bars.values()]
    return [*told, (translated("others"), rest)] if len(vocabulary) > len(order) else told


def _bars(bars: dict[str, Row], order: Sequence[int], vocabulary: Sequence[str], title: str, top: float) -> Figure:
    """Three bars for each of the likeliest tokens."""
    labels, heights = zip(*_shares(bars, order, vocabulary, 9), strict=True)
    colours = (COLOURS[1], "#BBBBBB", COLOURS[2])
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 3.4), layout="constrained")
        ax = fig.subplots()
        for n, (name, colour) in enumerate(zip(bars, colours, strict=True)):
            x = [i + 0.27 * (n - 1) for i in range(len(labels))]
            ax.bar(x, [shares[n] for shares in heights], 0.27, color=colour, label=translated(name))
        ax.set_xticks(range(len(labels)), labels=labels, parse_math=False)
        ax.set(ylabel="probability of the first token", xlim=(-0.6, len(labels) - 0.4), ylim=(0, 1.05 * top))
        ax.set_title(title)
        ax.grid(axis="x", visible=False)
        fig.legend(loc="outside lower center", ncols=3)
    return fig


def _table(told: Sequence[Sequence[str]]) -> str:
    cell, names = "padding:1px 12px;text-align:left", (translated("draft"), "q", "p", "u", "")
    head = "".join(f'<th scope="col" style="{cell}">{escape(name)}</th>' for name in names)
    rows = ("".join(f'<td style="{cell}"><bdi>{escape(one)}</bdi></td>' for one in row) for row in told)
    body = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    caption = escape(translated("A draft is accepted where u < p / q."))
    return (
        '<table style="border-collapse:collapse;font-size:inherit">'
        f'<caption style="white-space:nowrap;text-align:left">{caption}</caption>{body}</table>'
    )


def _wrong(agreement: Any, drafts: Any, rule: Any, seed: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if not number(agreement, 0, 1):
        return f"An agreement of {agreement!r} does not work here: choose a number from 0 to 1."
    if whole(drafts) is None or not 1 <= drafts <= MOST_DRAFTS:
        return f"{drafts!r} drafts do not work here: choose a whole number from 1 to {MOST_DRAFTS}."
    if not isinstance(rule, str) or rule not in RULES:
        return f"{rule!r} is no way to draw and check a draft: choose one of {'; '.join(RULES)}."
    if whole(seed) is None or not 0 <= seed <= MOST_SEED:
        return f"The seed {seed!r} does not work here: choose a whole number from 0 to {MOST_SEED}."
    return ""


def _wrong_rows(p: Row, other: Row, V: int) -> str:
    for name, row in (("target", p.detach()), ("other", other.detach())):
        if row.shape != (V,):
            return f"{name} returns shape {tuple(row.shape)}, expected {(V,)}: one probability for each token."
        if not bool((row >= 0).all()) or abs(float(row.double().sum()) - 1) > ROUNDED:
            return f"{name} returns no probabilities, their sum is {float(row.double().sum()):.3g}: take the softmax."
    return ""
