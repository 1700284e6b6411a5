"""Which section of a chapter teaches an exercise: the nearest heading above the cell that the learner writes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

SESSION = "JPY_SESSION_NAME"  # Jupyter's server tells a kernel here which notebook it belongs to
LARGEST = 20 << 20  # bytes of a notebook that are read for one link
_HEADING = re.compile(r"^(#{2,6})\s+(.+?)\s*#*$", re.MULTILINE)
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
STATEMENT = re.compile(r"[^\W\d_]+\s+(\d+\.\w+):?\s+(.*)")  # "Exercise 2.1: ..." in any language: number, title
CHECK = re.compile(r"""check\(\s*["']([\w.]+)["']""")
_MARKS = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|(\*\*|__|[*`])")


@dataclass(frozen=True)
class Section:
    """A heading as it is read, the one that it stands under, and the id of the cell that holds it."""

    title: str
    cell: str = ""
    under: str = ""

    @property
    def name(self) -> str:
        """What a reader looks for: "7. Where am I? › Second way: turn"."""
        return f"{self.under} › {self.title}" if self.under else self.title

    @property
    def anchor(self) -> str:
        """The heading's fragment in the HTML that nbconvert makes, hence in feedback and formgrader."""
        return "#" + quote(self.title.replace(" ", "-"), safe="?/:@!$&'()*+,;=")


def teaching(cells: Iterable[Mapping[str, Any]]) -> dict[str, Section]:
    """The section of every exercise by its id, from a notebook's cells in order; an exercise above all has none.

    A heading of the exercise itself ("Exercise 2.1: ...") teaches nothing, and neither does the chapter's title.
    """
    found: dict[str, Section] = {}
    above = written = None
    under = ""
    for cell in cells:
        marks, text = grading(cell), source(cell)
        for level, title in headings(text) if cell.get("cell_type") == "markdown" else ():
            if not STATEMENT.fullmatch(title):
                under = title if level == 2 else under
                above = Section(title, str(cell.get("id") or ""), under if level > 2 else "")
        if marks.get("solution"):
            written = above
        if marks.get("grade") and written and (checked := CHECK.search(text)):
            found[checked[1]] = written
    return found


def here(exercise_id: str, slug: str) -> tuple[str, str]:
    """The section's title and a link to it that works in the notebook of this kernel; empty where none is found.

    The notebook is looked for where Jupyter starts a notebook's kernel, under the name of its session, else `slug`.
    """
    path = Path(os.environ.get(SESSION) or f"{slug}.ipynb")
    try:
        if path.stat().st_size > LARGEST:
            return "", ""
        cells = json.loads(path.read_bytes())["cells"]
        section = teaching(cell for cell in cells if isinstance(cell, dict)).get(exercise_id)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", ""  # a link less: whoever renames or moves a notebook must not lose the report
    # A cell's id, since JupyterLab may hold no element for a cell that is out of sight.
    return (section.name, f"{quote(path.name)}#cell-id={quote(section.cell)}") if section else ("", "")


def grading(cell: Mapping[str, Any]) -> dict[str, Any]:
    """nbgrader's metadata of a cell from any file; empty where it has none."""
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell from any file."""
    text = cell.get("source", "")
    return text if isinstance(text, str) else "".join(map(str, text)) if isinstance(text, list) else ""


def headings(text: str) -> list[tuple[int, str]]:
    """Level and text of a Markdown cell's headings below a chapter's title, without what makes them bold or code."""
    return [(len(marks), _MARKS.sub(r"\1", title)) for marks, title in _HEADING.findall(_FENCED.sub("", text))]
