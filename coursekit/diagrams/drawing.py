"""Diagrams of boxes, arrows and shapes, drawn as SVG in the colours of the reader's theme.

    d = Diagram("attention.head", columns=3)
    X = d.tensor("X", "(T, D)", at=(0, 1))
    Q = d.tensor("Q", "(T, d)", at=(1, 0))
    d.arrow(X, Q, "W_Q")

A place is (column, row); columns are as wide as the page allows, rows as high as a box. The description is the text of
that id in `texts/figures/`. Whatever does not fit is an error, so that a diagram that can be made can be read.
"""

from __future__ import annotations

import base64
import functools
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
from PIL import ImageFont

from coursekit.figures import described
from coursekit.language import translated

WIDTH = 760  # CSS pixels: a notebook at 800 px has room for it
ROW, BOX, GAP = 64, 44, 26  # heights of a row and of a box, and what lies at least between two boxes beside each other
FONT, SMALL = 14, 12
MARGIN = 10
_INDEX = re.compile(r"_(\w+)([^\w]?)")
# Which of two is seen where style sheets are let in: see `Diagram._repr_html_`.
_DRAWN, _FLAT = "coursekit-drawn", "coursekit-flat"
_INK = "var(--jp-ui-font-color1, #222)"
_FAINT = "var(--jp-ui-font-color2, #666)"
_PAPER = "var(--jp-layout-color0, #fff)"
# What a box stands for: its fill (which mixes with the page, light or dark), and whether its corners are round.
_KINDS = {
    "tensor": ("rgba(0, 114, 178, 0.16)", 3),
    "weight": ("rgba(230, 159, 0, 0.22)", 3),
    "step": ("rgba(0, 158, 115, 0.16)", 14),
    "plain": ("none", 3),
}


class DoesNotFit(ValueError):
    """A label is cut off or two things overlap; the message says which, and by how much."""


@dataclass(frozen=True)
class Box:
    """A box on the page: centre, width and height in pixels."""

    label: str
    note: str
    kind: str
    x: float
    y: float
    width: float
    height: float = BOX

    def edge(self, towards: tuple[float, float]) -> tuple[float, float]:
        """Where a line from the centre to a point leaves the box."""
        dx, dy = towards[0] - self.x, towards[1] - self.y
        if not dx and not dy:
            return self.x, self.y
        reach = min(self.width / 2 / abs(dx) if dx else float("inf"), self.height / 2 / abs(dy) if dy else float("inf"))
        return self.x + reach * dx, self.y + reach * dy


@dataclass(frozen=True)
class Arrow:
    """From one box to another; `dashed` for what is only read or compared, `bend` moves its middle aside."""

    source: Box
    target: Box
    label: str
    dashed: bool
    bend: float


@dataclass(frozen=True)
class Group:
    """A frame around boxes, with a title above it."""

    title: str
    boxes: tuple[Box, ...]

    @property
    def sides(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        pad = 10
        return (
            min(b.x - b.width / 2 for b in self.boxes) - pad,
            min(b.y - b.height / 2 for b in self.boxes) - pad,
            max(b.x + b.width / 2 for b in self.boxes) + pad,
            max(b.y + b.height / 2 for b in self.boxes) + pad,
        )


@dataclass
class Diagram:
    """A diagram under construction; shown by a notebook as it stands. Raises DoesNotFit when it is shown."""

    id: str
    columns: int
    rows: float = 0
    measured: dict[str, Any] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def tensor(self, label: str, shape: str = "", *, at: tuple[float, float], span: float = 0) -> Box:
        """Data, with its shape below its name."""
        return self.box(label, shape, at=at, span=span, kind="tensor")

    def weight(self, label: str, shape: str = "", *, at: tuple[float, float], span: float = 0) -> Box:
        """What is learned."""
        return self.box(label, shape, at=at, span=span, kind="weight")

    def step(self, label: str, note: str = "", *, at: tuple[float, float], span: float = 0) -> Box:
        """What is done."""
        return self.box(label, note, at=at, span=span, kind="step")

    def box(self, label: str, note: str = "", *, at: tuple[float, float], span: float = 0, kind: str = "plain") -> Box:
        """A box of any kind at (column, row). `span` columns wide; by default as wide as its words."""
        label, note, column = translated(label), translated(note), (WIDTH - 2 * MARGIN) / self.columns
        width = span * column - GAP / 2 if span else 24 + max(_wide(label, FONT), _wide(note, SMALL))
        x, y = MARGIN + (at[0] + 0.5 + (max(span, 1) - 1) / 2) * column, MARGIN + (at[1] + 0.5) * ROW
        self.boxes.append(Box(label, note, kind, x, y, max(width, BOX)))
        self.rows = max(self.rows, at[1] + 1)
        return self.boxes[-1]

    def arrow(self, source: Box, target: Box, label: str = "", *, dashed: bool = False, bend: float = 0) -> None:
        """An arrow between the edges of two boxes, its label beside its middle."""
        self.arrows.append(Arrow(source, target, translated(label), dashed, bend))

    def group(self, title: str, *boxes: Box) -> None:
        """A frame around boxes."""
        self.groups.append(Group(translated(title), boxes))

    @property
    def height(self) -> float:
        return self.rows * ROW + 2 * MARGIN + (16 if self.groups else 0)

    @property
    def alt(self) -> str:
        return described(self.id, self.measured)

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        """The SVG element, which follows the theme; a page that strips it and style sheets shows it as an image."""
        svg = self.svg()
        data = base64.b64encode(svg.encode()).decode("ascii")
        flat = f'<img class="{_FLAT}" src="data:image/svg+xml;base64,{data}" alt="{escape(self.alt)}" width="{WIDTH}"'
        style = f"<style>.{_DRAWN}{{display:block!important}}.{_FLAT}{{display:none!important}}</style>"
        return f'{style}<div class="{_DRAWN}" hidden="hidden">{svg}</div>{flat} style="max-width:100%;background:#fff">'

    def svg(self) -> str:
        """The diagram as an SVG element. Raises DoesNotFit."""
        if wrong := [*misfits(self)]:
            raise DoesNotFit(f"{self.id}: " + "; ".join(wrong))
        name = self.id.replace(".", "-")
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:g}" width="{WIDTH}" '
            f'style="max-width:100%;height:auto" role="img" aria-labelledby="{name}-alt" '
            'font-family="DejaVu Sans, Verdana, sans-serif">'
            f'<title id="{name}-alt">{escape(self.alt)}</title>'
            f'<defs><marker id="{name}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="{_FAINT}"/></marker></defs>'
        )
        parts = [*map(_frame, self.groups), *(_line(arrow, name) for arrow in self.arrows), *map(_drawn, self.boxes)]
        return head + "".join(parts) + "".join(map(_arrow_label, self.arrows)) + "</svg>"


def misfits(diagram: Diagram) -> list[str]:
    """A sentence for each label that its box cuts off, each box off the page, and each two that overlap."""
    told = []
    for box in diagram.boxes:
        words = max(_wide(box.label, FONT), _wide(box.note, SMALL)) + 8
        if words > box.width:
            told.append(f"{box.label!r} needs {words:.0f} px and has {box.width:.0f}")
        if box.x - box.width / 2 < 0 or box.x + box.width / 2 > WIDTH or box.y - BOX / 2 < 0:
            told.append(f"{box.label!r} leaves the page")
    told += _overlaps(diagram) + _covered(diagram)
    return told


def _overlaps(diagram: Diagram) -> list[str]:
    told = []
    for i, one in enumerate(diagram.boxes):
        for other in diagram.boxes[i + 1 :]:
            beside = abs(one.x - other.x) - (one.width + other.width) / 2
            below = abs(one.y - other.y) - (one.height + other.height) / 2
            if max(beside, below) < 4:
                told.append(f"{one.label!r} and {other.label!r} overlap")
    return told


def _covered(diagram: Diagram) -> list[str]:
    """Boxes under an arrow's label."""
    told = []
    for arrow in diagram.arrows:
        left, top, right, bottom = _label_box(arrow)
        if not arrow.label:
            continue
        if left < 0 or right > WIDTH:
            told.append(f"the arrow's label {arrow.label!r} leaves the page")
        for box in diagram.boxes:
            if (
                left < box.x + box.width / 2
                and right > box.x - box.width / 2
                and top < box.y + box.height / 2
                and bottom > box.y - box.height / 2
            ):
                told.append(f"the arrow's label {arrow.label!r} covers {box.label!r}")
    return told


def _drawn(box: Box) -> str:
    fill, radius = _KINDS[box.kind]
    left, top = box.x - box.width / 2, box.y - box.height / 2
    frame = (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height}" rx="{radius}" '
        f'fill="{fill}" stroke="{_FAINT}"/>'
    )
    lines = [(box.label, FONT, _INK)] + ([(box.note, SMALL, _FAINT)] if box.note else [])
    start = box.y + 5 - (len(lines) - 1) * 8.5
    return frame + "".join(
        _text(words, box.x, start + 17 * i, size, colour) for i, (words, size, colour) in enumerate(lines)
    )


def _line(arrow: Arrow, name: str) -> str:
    (x1, y1), (cx, cy), (x2, y2) = _path(arrow)
    dash = ' stroke-dasharray="5 4"' if arrow.dashed else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f} Q{cx:.1f} {cy:.1f} {x2:.1f} {y2:.1f}" fill="none" stroke="{_FAINT}" '
        f'stroke-width="1.4"{dash} marker-end="url(#{name}-tip)"/>'
    )


def _path(arrow: Arrow) -> tuple[tuple[float, float], ...]:
    """Start, control point and end of the curve."""
    source, target = arrow.source, arrow.target
    cx, cy = (source.x + target.x) / 2, (source.y + target.y) / 2
    if arrow.bend:
        dx, dy = target.x - source.x, target.y - source.y
        length = (dx * dx + dy * dy) ** 0.5
        cx, cy = cx - dy / length * arrow.bend, cy + dx / length * arrow.bend
        return source.edge((cx, cy)), (cx, cy), target.edge((cx, cy))
    start, end = source.edge((target.x, target.y)), target.edge((source.x, source.y))
    return start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), end


def _label_box(arrow: Arrow) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of an arrow's label: above a level line, to the right of a steep one."""
    start, control, end = _path(arrow)
    x, y = (start[0] + 2 * control[0] + end[0]) / 4, (start[1] + 2 * control[1] + end[1]) / 4
    wide = _wide(arrow.label, SMALL)
    steep = abs(end[1] - start[1]) > abs(end[0] - start[0])
    left, base = (x + 6, y + 4) if steep else (x - wide / 2, y - 5)
    return left, base - SMALL, left + wide, base + 3


def _arrow_label(arrow: Arrow) -> str:
    if not arrow.label:
        return ""
    left, top, right, _ = _label_box(arrow)
    halo = f'paint-order="stroke" stroke="{_PAPER}" stroke-width="3" stroke-linejoin="round"'
    return _text(arrow.label, (left + right) / 2, top + SMALL, SMALL, _INK, halo)


def _frame(group: Group) -> str:
    left, top, right, bottom = group.sides
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="8" '
        f'fill="none" stroke="{_FAINT}" stroke-dasharray="2 3"/>'
        + _text(group.title, (left + right) / 2, bottom + 14, SMALL, _FAINT)
    )


def _text(words: str, x: float, y: float, size: int, colour: str, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{size}"'
    return f'<text {place} fill="{colour}" {more}>{_with_indices(words, size)}</text>'


def _with_indices(words: str, size: int) -> str:
    """The words with what follows an underscore set low and small: W_Q."""
    small = f'font-size="{0.75 * size:g}"'

    def index(match: re.Match) -> str:
        return f'<tspan dy="4" {small}>{match[1]}</tspan><tspan dy="-4">{match[2] or "&#8203;"}</tspan>'

    return _INDEX.sub(index, escape(words))


def _wide(words: str, size: int) -> float:
    """The width of words in pixels, in the font that is asked for first."""
    return _font(size).getlength(_INDEX.sub(r"\1\2", words)) if words else 0.0


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
