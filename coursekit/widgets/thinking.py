"""Watch it think: how likely a model held each token of a text, what it expected instead, and how unsure it was.

Radio buttons and style sheets open a token's line, as in `heads`: a click, the arrow keys, no script.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.figures import STYLE, draw_curves, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, refusal
from coursekit.widgets.explorer import wrong_sentence
from coursekit.widgets.tokens import bits, listed, percent, visible, wrong_logits

TEXT = "My fellow Americans, the state of the Union is strong."
MOST_TOKENS = 128
MOST_NAMED = 36  # tokens that have room for their names along an axis
ALTERNATIVES = 3
# From likely to surprising: the least probability, the shade behind the token, and letters that can be read on it.
SHADES = (
    (0.5, "#FEEDDE", "#000"),
    (0.2, "#FDD0A2", "#000"),
    (0.05, "#FDAE6B", "#000"),
    (0.01, "#FD8D3C", "#000"),
    (0.001, "#D94801", "#000"),
    (0.0, "#7F2704", "#FFF"),
)
Score = Callable[[str], tuple[Int[Tensor, " T"], Float[Tensor, "T V"]]]


def watch_it_think(score: Score, vocabulary: Sequence[str], text: str = TEXT) -> None:
    """Display a text with each token's probability as the shade behind it, and a control for the text.

    `score(text)` returns the ids (T) of its tokens and the logits (T, V) of what may follow each of them, so that
    nothing is told of the first; `material.decoders.score` begins with the token that begins a document. A text that
    it does not read raises ValueError. `vocabulary` holds each token's text by its id.
    """
    box = ipywidgets.Textarea(text, rows=3, **labelled("text", continuous_update=False))
    live(functools.partial(draw_thought, score, vocabulary), {"text": box})


@dataclass(frozen=True)
class Guess:
    """What was expected at one place: the token that stands there, its p and rank, others as text; both in bits."""

    token: str
    p: float
    rank: int
    instead: str
    surprise: float
    entropy: float

    def told(self, n: int) -> str:
        return translated(
            f"Token {n:d}, {visible(self.token)!s}: probability {percent(self.p)!s}, rank {self.rank:d}, surprise "
            f"{self.surprise:.1f} bits of {self.entropy:.1f} expected. Instead: {self.instead!s}"
        )


def draw_thought(score: Score, vocabulary: Sequence[str], text: Any) -> Page | Notice:
    """The text, shaded, with a line for each token and the curve of its surprise; a Notice for what cannot be read."""
    if wrong := wrong_sentence(text):
        return Notice(wrong)
    try:
        ids, logits = score(text)
    except ValueError as error:
        return refusal(error)
    if not 2 <= len(ids) <= MOST_TOKENS:
        return Notice(f"The text has {len(ids)} tokens; the picture has room for 2 to {MOST_TOKENS}. Change it.")
    if wrong := wrong_logits(logits, len(vocabulary)):
        return Notice(wrong)
    return _page(vocabulary[int(ids[0])], guesses(ids.cpu(), logits.detach().cpu(), vocabulary))


def guesses(ids: Int[Tensor, " T"], logits: Float[Tensor, "T V"], vocabulary: Sequence[str]) -> list[Guess]:
    """What was expected at each place but the first."""
    log_p = logits[:-1].double().log_softmax(-1)
    found = []
    for i, row in zip(ids[1:].tolist(), log_p, strict=True):
        p = row.exp()
        others = [k for k in p.topk(min(ALTERNATIVES + 1, len(p))).indices.tolist() if k != i][:ALTERNATIVES]
        entropy = -(p * row.clamp_min(-1e4)).sum()
        surprise, rank = bits(-float(row[i])), 1 + int((row > row[i]).sum())
        told = listed(vocabulary, others, p)
        found.append(Guess(vocabulary[i], float(p[i]), rank, told, surprise, bits(float(entropy))))
    return found


def _page(first: str, found: list[Guess]) -> Page:
    mean = torch.tensor([guess.surprise for guess in found], dtype=torch.float64).mean()
    title = translated(f"{mean:.2f} bits a token on average, perplexity {mean.exp2():.1f}")
    told = [guess.told(n) for n, guess in enumerate(found, 1)]
    given = visible(first)
    begun = translated(f"It begins with {given!s}, of which nothing is told.")
    line = picture(
        _line(found), f"Surprise and entropy of each token in bits; the largest surprise is {_largest(found)}."
    )
    alt = " ".join((f"{title}.", begun, *(f"{one}." for one in told)))
    name = f"thought-{zlib.crc32(alt.encode()):08x}"
    spans = "".join(_token(name, n, guess, one) for n, (guess, one) in enumerate(zip(found, told, strict=True), 1))
    views = "".join(f'<div class="t{n}">{escape(one)}</div>' for n, one in enumerate(told, 1))
    html = (
        f'<div id="{name}" role="group" aria-label="{escape(title)}"><style>{_style(name, len(found))}</style>'
        f'<p>{escape(title)}</p><span class="given" title="{escape(begun)}"><bdi>{escape(given)}</bdi></span>{spans}'
        f'<div class="views" hidden="hidden">{views}</div>{_legend()}{line.html}</div>'
    )
    return Page(html, alt)


def _largest(found: list[Guess]) -> str:
    n, guess = max(enumerate(found, 1), key=lambda one: one[1].surprise)
    return translated(f"{guess.surprise:.1f} at token {n:d}, {visible(guess.token)!s}")


def _token(name: str, n: int, guess: Guess, told: str) -> str:
    """A button with its label: the token on its shade. A line ends where the token ends one."""
    back, letters = next((back, letters) for least, back, letters in SHADES if guess.p >= least)
    look = f"background:{back};color:{letters}"
    return (
        f'<input type="radio" name="{name}" id="{name}-{n}"{" checked" if n == 1 else ""} aria-label="{escape(told)}">'
        f'<label for="{name}-{n}" style="{look}" title="{escape(told)}"><bdi>{escape(visible(guess.token))}</bdi>'
        f"</label>{'<br>' if guess.token.endswith(chr(10)) else '<wbr>'}"
    )


def _legend() -> str:
    told = [translated(f"{100 * least:g}% or more") for least, *_ in SHADES[:-1]] + [translated("less")]
    shades = "".join(
        f'<span class="shade" style="background:{back};color:{letters}">{escape(one)}</span> '
        for one, (_, back, letters) in zip(told, SHADES, strict=True)
    )
    return f"<p>{escape(translated('probability'))} {shades}</p>"


def _style(name: str, count: int) -> str:
    seen = ",".join(f"#{name}-{n}:checked ~ .views .t{n}" for n in range(1, count + 1))
    return (
        f"#{name}{{max-width:800px;line-height:1.9}}#{name} input{{position:absolute;opacity:0}}"
        f"#{name} label,#{name} .given,#{name} .shade{{display:inline-block;line-height:1.5;padding:0 3px;margin:1px;"
        f"border-radius:3px;border:2px solid transparent}}#{name} label{{cursor:pointer}}"
        f"#{name} .given{{border:2px dotted #888}}#{name} input:checked+label{{border-color:#0072B2}}"
        f"#{name} input:focus-visible+label{{outline:2px solid var(--jp-brand-color1, #0072B2);outline-offset:2px}}"
        f"#{name} .views{{display:block!important;min-height:3.8em;margin-top:4px}}#{name} .views>div{{display:none}}"
        f"{seen}{{display:block}}"
    )


def _line(found: list[Guess]) -> Figure:
    """Surprise and entropy over the tokens, which stand along the axis where there is room for them."""
    n = range(1, len(found) + 1)
    lines = {"surprise": [guess.surprise for guess in found], "entropy": [guess.entropy for guess in found]}
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 2.9), layout="constrained")
        ax = fig.subplots()
        draw_curves(ax, n, lines, x_label="token", y_label="bits", marker="o")
        if len(found) <= MOST_NAMED:
            ax.set_xticks(n, labels=[visible(guess.token, 12) for guess in found], rotation=90, parse_math=False)
        ax.set_ylim(bottom=0)
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return fig
