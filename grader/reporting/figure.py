"""Figures as inline SVG: each says in words what it shows, and is drawn in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from grader.reporting.plain import one_line
from grader.reporting.states import STATES
from grader.reporting.words import counted

BAR_WIDTH, BAR_HEIGHT = 176, 20
_WIDTH, _HEIGHT, _FOOT, _HEAD = 640, 190, 40, 24
_MOST_BINS = 12


def class_of(state: str) -> str:
    """The name of a state in the page's style."""
    return "s-" + state.replace(" ", "-")


def bar(counts: dict[str, int], label: str) -> str:
    """One bar, divided by state, with the number in each piece that has room for it."""
    whole, x, pieces = sum(counts.values()) or 1, 0.0, []
    for state in STATES:
        width = BAR_WIDTH * counts[state] / whole
        if not width:
            continue
        pieces.append(f'<rect class="{class_of(state)}" x="{x:.1f}" width="{width:.1f}" height="{BAR_HEIGHT}"/>')
        if width >= 8 * len(str(counts[state])) + 4:
            middle = f'x="{x + width / 2:.1f}" y="{BAR_HEIGHT - 5.5}"'
            pieces.append(f'<text class="{class_of(state)}" {middle} text-anchor="middle">{counts[state]}</text>')
        x += width
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return _svg(BAR_WIDTH, BAR_HEIGHT, f"{label}: {told}", "".join(pieces), "bar")


def histogram(totals: Sequence[float], possible: float, median: float) -> str:
    """How many learners earned how much, in bins of whole points, with the median."""
    step = max(1, math.ceil((possible + 1) / _MOST_BINS))
    bins = [0] * (int(possible // step) + 1)
    for total in totals:
        bins[min(int(total // step), len(bins) - 1)] += 1
    most, wide = max(bins), _WIDTH / len(bins)
    room = _HEIGHT - _FOOT - _HEAD
    pieces = [f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT - _FOOT}" y2="{_HEIGHT - _FOOT}"/>']
    for place, count in enumerate(bins):
        first, last = place * step, min((place + 1) * step - 1, int(possible))
        middle, tall = (place + 0.5) * wide, room * count / most
        name = f"{first}" if first == last else f"{first}–{last}"
        pieces.append(_text(middle, _HEIGHT - _FOOT + 17, name))
        if count:
            top = _HEIGHT - _FOOT - tall
            size = f'x="{place * wide + 3:.1f}" y="{top:.1f}" width="{wide - 6:.1f}" height="{tall:.1f}"'
            pieces += [f'<rect class="count" {size}/>', _text(middle, top - 6, str(count))]
    pieces.append(_text(_WIDTH / 2, _HEIGHT - 4, "points"))
    told = ", ".join(
        f"{counted(count, 'learner')} with {place * step} to {min((place + 1) * step - 1, int(possible))}"
        for place, count in enumerate(bins)
        if count
    )
    alt = f"Points of {counted(len(totals), 'learner')}, of {possible:g} possible, median {median:g}: {told}"
    return _svg(_WIDTH, _HEIGHT, alt, "".join(pieces), "histogram")


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _svg(width: int, height: int, alt: str, body: str, kind: str) -> str:
    alt = one_line(alt, 2000)
    title = f"<title>{escape(alt, quote=False)}</title>"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg class="{kind}" role="img" aria-label="{escape(alt)}" {size}>{title}{body}</svg>'
