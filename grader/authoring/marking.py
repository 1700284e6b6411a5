"""Terms and formulas: an author marks them where they are met, and the build lists them where a chapter ends.

    [[term: padding mask | which places of a batch hold tokens, and which hold filler]]

stands in a sentence and is read as **padding mask**. On a line of its own above its `$$`

    [[formula: Scaled dot-product attention | Q (B, H, T, d), K (B, H, S, d), V (B, H, S, e)]]

is not read at all. `[[terms]]` and `[[formulas]]`, each on a line of its own, become the lists, with links to the
sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coursekit.checking.sections import Section, headings
from coursekit.language import translated

if TYPE_CHECKING:  # grading imports this module, and how a chapter is read changes no grade
    from grader.authoring.chapter import Cell, Refusals, Text

_TERM = re.compile(r"\[\[term:\s*([^|\]]+?)\s*\|\s*(.+?)\s*\]\]", re.DOTALL)
_FORMULA = re.compile(r"^\[\[formula:\s*([^|\]]+?)\s*\|\s*(.+?)\s*\]\]\s*\n(\$\$.+?\$\$)", re.MULTILINE | re.DOTALL)
_LIST = re.compile(r"^\[\[(terms|formulas)\]\]$", re.MULTILINE)
_ANY = re.compile(r"\[\[\s*(term|formula)s?\b[^\]]*\]?\]?")


@dataclass(frozen=True)
class Marked:
    """A term with its meaning, or a formula with its shapes, and the section in which it stands."""

    name: str
    told: str
    section: Section | None
    tex: str = ""


def shown(cells: Iterable[Cell]) -> list[Cell]:
    """The cells as a learner reads them, with the lists made."""
    cells = list(cells)
    terms, formulas = (list(marked(cells, pattern)) for pattern in (_TERM, _FORMULA))
    lists = {"terms": _terms(terms), "formulas": _formulas(formulas)}
    return [replace(cell, source=_read(cell.source, lists)) if cell.kind == "markdown" else cell for cell in cells]


def marked(cells: Iterable[Cell], pattern: re.Pattern[str]) -> Iterator[Marked]:
    """All that is marked so, in order. A section is the nearest heading of the second level above."""
    section = None
    for cell in cells:
        if cell.kind != "markdown":
            continue
        found = [Section(title) for level, title in headings(cell.source) if level == 2]
        section = found[-1] if found else section
        for match in pattern.finditer(cell.source):
            name, told, *tex = match.groups()
            yield Marked(_line(name), _line(told), section, *tex)


def refusals(text: Text) -> Refusals:
    """(line, sentence) for marks that are misspelt, repeated or listed nowhere."""
    cells = [cell for cell in text.cells if cell.kind == "markdown"]
    listed = {match[1] for cell in cells for match in _LIST.finditer(cell.source)}
    for what, pattern in (("terms", _TERM), ("formulas", _FORMULA)):
        found = list(marked(cells, pattern))
        names = [one.name.lower() for one in found]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield 1, f"{name!r} is marked twice among the {what}: mark it where it is met first"
        if found and what not in listed:
            yield 1, f"{len(found)} {what} are marked and listed nowhere: add a line [[{what}]] where the chapter ends"
        if what in listed and not found:
            yield 1, f"[[{what}]] has nothing to list: no {what} are marked"
    for cell in cells:
        left = _ANY.search(_read(cell.source, {"terms": "", "formulas": ""}))
        if left:
            yield (
                cell.line,
                f"{left[0]!r} is no mark: write [[term: name | meaning]], or [[formula: name | shapes]] above $$",
            )


def _read(source: str, lists: dict[str, str]) -> str:
    source = _FORMULA.sub(r"\3", source)
    source = _TERM.sub(lambda match: f"**{_line(match[1])}**", source)
    return _LIST.sub(lambda match: lists[match[1]], source)


def _terms(found: Sequence[Marked]) -> str:
    rows = (
        f"| **{one.name}** | {one.told} | {_link(one)} |" for one in sorted(found, key=lambda one: one.name.lower())
    )
    return "\n".join((translated("| term | what it is | where |"), "| --- | --- | --- |", *rows))


def _formulas(found: Sequence[Marked]) -> str:
    return "\n\n".join(f"**{one.name}** ({_link(one)})\n{one.tex}\n{one.told}" for one in found)


def _link(one: Marked) -> str:
    return f"[{one.section.title}]({one.section.anchor})" if one.section else ""


def _line(text: str) -> str:
    return " ".join(text.split())
