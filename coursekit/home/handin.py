"""What would be handed in: each exercise of a notebook, and whether it is still as it was released."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from coursekit.home.advising import advice

_HEADING = re.compile(r"^#+\s*(?:Exercise|Question)\s+[\w.]+:?\s*(.*)$", re.MULTILINE)
_CHECK = re.compile(r"""check\(\s*["']([\w.]+)["']""")


class Unreadable(Exception):
    """A notebook that cannot be read, and why."""


@dataclass(frozen=True)
class Item:
    """One exercise, or one question that a person marks (then `id` is empty)."""

    grade_id: str
    id: str
    title: str
    points: float
    untouched: bool


@dataclass(frozen=True)
class Notebook:
    title: str
    minutes: int
    saved: datetime
    items: tuple[Item, ...]
    advice: tuple[str, ...] = ()

    @property
    def stubs(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.untouched)


def look(path: Path, release: Path) -> Notebook:
    """The exercises of the notebook at `path` beside those of its release. Raises Unreadable."""
    cells, told = _read(path), _read(release)
    sources = {id: _source(cell) for cell in cells["cells"] if (id := _grading(cell).get("grade_id"))}
    facts = told["metadata"].get("coursekit", {})
    saved = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    items = _items(told, sources)
    title, minutes = str(facts.get("title", path.stem)), int(facts.get("minutes", 0))
    return Notebook(title, minutes, saved, items, advice(path, release) if path != release else ())


def _items(release: dict[str, Any], sources: dict[str, str]) -> tuple[Item, ...]:
    """A graded cell in the release is an item; what the learner writes is the solution cell before it, or itself."""
    items, title, written = [], "", None
    for cell in release["cells"]:
        grading, source = _grading(cell), _source(cell)
        if cell.get("cell_type") == "markdown" and (match := _HEADING.search(source)):
            title = match[1]
        if grading.get("solution"):
            written = (grading["grade_id"], source)
        if not grading.get("grade") or written is None:
            continue
        check = _CHECK.search(source)
        untouched = sources.get(written[0], "").strip() in ("", written[1].strip())
        items.append(
            Item(written[0], check[1] if check else "", title or written[0], float(grading.get("points", 0)), untouched)
        )
        title, written = "", None
    return tuple(items)


def _read(path: Path) -> dict[str, Any]:
    try:
        notebook = json.loads(path.read_bytes())
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read ({error.strerror})") from None
    except ValueError:
        raise Unreadable(f"{path.name} is no notebook: open it, save it, and try again") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise Unreadable(f"{path.name} has no cells")
    notebook["cells"] = [cell for cell in notebook["cells"] if isinstance(cell, dict)]
    notebook["metadata"] = notebook.get("metadata") if isinstance(notebook.get("metadata"), dict) else {}
    return notebook


def _grading(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    found = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(map(str, source))
