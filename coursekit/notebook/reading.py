"""A notebook's JSON without what its runs have left: outputs are dropped from the text, before anything is made of it.

The file may be anybody's. Time and memory are bounded by its size and by how many pieces it has.
"""

from __future__ import annotations

import json
import re
from typing import Any

from coursekit.notebook import limits

MOST_PIECES = 1_000_000  # strings and brackets
_DROPPED = frozenset({'"outputs"', '"widgets"'})
# A string that nobody closes is a piece too: else its end would be looked for from each quote in it.
_PIECE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_COLON = re.compile(r"\s*+:\s*+")


class Unreadable(ValueError):
    """Why a file is not a notebook that can be read."""


def parsed(data: bytes) -> dict[str, Any]:
    """The notebook in `data` without outputs and the state of widgets. Raises Unreadable."""
    if not data.strip():
        raise Unreadable("the file is empty, expected a notebook")
    try:
        text = without_outputs(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text, expected a notebook") from None
    if len(text) > limits.SOURCES:
        raise Unreadable(
            f"without its outputs it has {len(text):,} characters, at most {limits.SOURCES:,} are read: "
            "take out large pictures and data"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON, expected a notebook") from None
    if not isinstance(content, dict):
        raise Unreadable(f"it holds a {type(content).__name__}, expected an object with cells")
    return content


def cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook of format 3 or 4. Raises Unreadable."""
    found = notebook.get("cells")
    if found is None and isinstance(sheets := notebook.get("worksheets"), list):  # format 3
        lists = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        found = [cell for part in lists if isinstance(part, list) for cell in part]
    if not isinstance(found, list):
        raise Unreadable("it has no list of cells, expected a notebook of format 3 or 4")
    if len(found) > limits.CELLS:
        raise Unreadable(f"it has {len(found):,} cells, at most {limits.CELLS:,} are read")
    known = [cell for cell in found if isinstance(cell, dict)]
    if (size := sum(len(source(cell)) for cell in known)) > limits.CHARACTERS:
        raise Unreadable(f"its cells have {size:,} characters, at most {limits.CHARACTERS:,} are read")
    return known


def source(cell: dict[str, Any]) -> str:
    """A cell's text; format 3 calls that of a code cell its input."""
    text = cell.get("source", cell.get("input", ""))
    if isinstance(text, list):
        text = "".join(line for line in text if isinstance(line, str))
    return text if isinstance(text, str) else ""


def without_outputs(text: str) -> str:
    """The JSON with `[]` for each list of outputs. What is no JSON comes back as something that is none."""
    kept, start, skip, depth = [], 0, False, 0
    for pieces, piece in enumerate(_PIECE.finditer(text), 1):
        if pieces > MOST_PIECES:
            raise Unreadable(f"it has more than {MOST_PIECES:,} pieces, expected a notebook")
        mark = piece[0]
        if skip:
            depth += (mark in "[{") - (mark in "]}")
            if depth == 0:
                skip, start = False, piece.end()
        elif mark in _DROPPED and (colon := _COLON.match(text, piece.end())):
            opening = text[colon.end() : colon.end() + 1]
            if opening in ("[", "{"):
                kept.append(text[start : colon.end()] + {"[": "[]", "{": "{}"}[opening])
                skip = True
    return "".join(kept) + ("" if skip else text[start:])
