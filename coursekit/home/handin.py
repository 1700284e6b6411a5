"""What would be handed in: each exercise of a notebook, and whether it is still as it was released."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from coursekit.checking.sections import CHECK, STATEMENT, grading, headings, source
from coursekit.home.advising import advice


class Unreadable(Exception):
    """A notebook that cannot be read, and why."""


@dataclass(frozen=True)
class Item:
    """One exercise, or one question that a person marks (then `id` is empty); `number` is the chapter's, "2.1"."""

    grade_id: str
    id: str
    title: str
    points: float
    untouched: bool
    number: str = ""


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
    marked = ((grading(cell).get("grade_id"), source(cell)) for cell in cells["cells"])
    sources = {id: text for id, text in marked if id and isinstance(id, str)}
    facts = told["metadata"].get("coursekit", {})
    saved = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    items = _items(told, sources)
    title, minutes = str(facts.get("title", path.stem)), int(facts.get("minutes", 0))
    return Notebook(title, minutes, saved, items, advice(path, release) if path != release else ())


def _items(release: dict[str, Any], sources: dict[str, str]) -> tuple[Item, ...]:
    """A graded cell in the release is an item; what the learner writes is the solution cell before it, or itself."""
    items, number, title, written = [], "", "", None
    for cell in release["cells"]:
        marks, text = grading(cell), source(cell)
        if cell.get("cell_type") == "markdown":
            number, title = next(filter(None, (_statement(title) for _, title in headings(text))), (number, title))
        if marks.get("solution"):
            written = (marks["grade_id"], text)
        if not marks.get("grade") or written is None:
            continue
        id, stub = written
        check = CHECK.search(text)
        untouched = sources.get(id, "").strip() in ("", stub.strip())
        worth = float(marks.get("points", 0))
        items.append(Item(id, check[1] if check else "", title or id, worth, untouched, number))
        number, title, written = "", "", None
    return tuple(items)


def _statement(heading: str) -> tuple[str, str] | None:
    match = STATEMENT.fullmatch(heading)
    return (match[1], match[2]) if match else None


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
