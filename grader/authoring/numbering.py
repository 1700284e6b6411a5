"""Exercises are numbered by the build: an author writes `[[attention.heads]]`, a reader sees 2.5."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ID = r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*"
_REFERENCE = re.compile(rf"\[\[({ID})\]\]")
_BY_HAND = re.compile(r"\b[Ee]xercises?\s+(\d+\.\d+)")


def numbers(chapters: Path) -> dict[str, str]:
    """The number of every exercise by its id: its chapter's, and its place among the chapter's exercise cells."""
    found: dict[str, str] = {}
    for path in sorted(chapters.glob("[0-9][0-9]_*.py")):
        ids = re.findall(rf"""^# %%.* exercise=["']({ID})["']""", path.read_text(encoding="utf-8"), re.M)
        found |= {id: f"{int(path.name[:2])}.{place}" for place, id in enumerate(ids, 1)}
    return found


def numbered(text: str, numbers: Mapping[str, str]) -> str:
    """The text with a number in place of every id that has one."""
    return _REFERENCE.sub(lambda found: numbers.get(found[1], found[0]), text)


def refusals(text: str, numbers: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """(line, counted from 0; sentence) for every id without an exercise, and every number written by hand."""
    for found in _REFERENCE.finditer(text):
        if found[1] not in numbers:
            yield _line(text, found), f"{found[0]} names no exercise cell; write the id of one"
    for found in _BY_HAND.finditer(text):
        ids = [id for id, number in numbers.items() if number == found[1]]
        yield _line(text, found), f"{found[1]} is written by hand; write [[{ids[0] if ids else 'slug.name'}]]"


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start())
