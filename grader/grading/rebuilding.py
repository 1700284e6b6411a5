"""Rebuild a submission from the release: the learner's part is source text, and nothing else of the file is kept.

What runs: set-up cells, exercise cells and check cells, and every code cell that the learner added or changed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat import NotebookNode

from grader.authoring.notebook import grade_id_of

MOST_CELLS = 2_000
MOST_CHARACTERS = 4_000_000
_SETUP_TAGS = frozenset({"setup", "parameters"})
_FLAGS = ("grade", "solution", "locked", "task", "points")


class _Unreadable(ValueError):
    """Why the file is not a notebook."""


@dataclass(frozen=True)
class Rebuilt:
    """A valid notebook without outputs, and the indices of its cells that are executed, in order."""

    notebook: NotebookNode
    runs: tuple[int, ...]
    reason: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class _Theirs:
    """What is read of one submitted cell."""

    kind: str
    source: str
    id: str
    grade_id: str
    marks: dict[str, Any]
    tags: frozenset[str]


def rebuild(release: NotebookNode, submitted: bytes | None) -> Rebuilt:
    """The release with the learner's sources; never raises for what `submitted` is."""
    try:
        theirs = _cells(submitted)
    except _Unreadable as error:
        reason = "" if submitted is None else f"the notebook cannot be read: {error}. Open it in JupyterLab and save it"
        return Rebuilt(_empty(release), (), reason, (reason,) if reason else ())
    placed, added = _place(release, theirs)
    notebook, runs = _empty(release), []
    notebook.cells = []
    ids = _Ids(release)

    def put(cell: NotebookNode, run: bool) -> None:
        if run and cell.source.strip():
            runs.append(len(notebook.cells))
        notebook.cells.append(cell)

    for index in range(-1, len(release.cells)):
        if index >= 0:
            for cell, run in _merged(release.cells[index], placed.get(index), ids):
                put(cell, run)
        for their in added.get(index, ()):
            put(_new(their, ids), their.kind == "code")
    return Rebuilt(notebook, tuple(runs), "", tuple(_suspicions(release, theirs)))


def _empty(release: NotebookNode) -> NotebookNode:
    copy = nbformat.from_dict(json.loads(json.dumps(release)))
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy


class _Ids:
    """Ids for the learner's cells, which meet none of the release's and are the same each time."""

    def __init__(self, release: NotebookNode) -> None:
        self._taken, self._next = {cell.get("id") for cell in release.cells}, 0

    def fresh(self) -> str:
        while True:
            self._next += 1
            if (id := f"learner-{self._next}") not in self._taken:
                return id


def _is_solution(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _is_setup(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(_SETUP_TAGS & set(cell.metadata.get("tags", ())))


def _merged(mine: NotebookNode, their: _Theirs | None, ids: _Ids) -> list[tuple[NotebookNode, bool]]:
    """One released cell with what the learner made of it, each with whether it runs."""
    cell = nbformat.from_dict(json.loads(json.dumps(mine)))
    code = cell.cell_type == "code"
    if code:
        cell.outputs, cell.execution_count = [], None
    changed = their is not None and their.source.rstrip() != cell.source.rstrip()
    if _is_solution(cell):
        cell.source = their.source if their else cell.source
        return [(cell, code)]
    if grade_id_of(cell):
        return [(cell, code)]
    if _is_setup(cell):
        # The release's runs in any case: exercises are promised its names. The learner's follows, it may import more.
        more = [(_new(their, ids), their.kind == "code")] if their and changed else []
        return [(cell, True), *more]
    if their and (changed or their.kind != cell.cell_type):
        return [(_new(their, ids), their.kind == "code")]
    return [(cell, False)]


def _new(their: _Theirs, ids: _Ids) -> NotebookNode:
    make = nbformat.v4.new_code_cell if their.kind == "code" else nbformat.v4.new_markdown_cell
    return make(their.source, id=ids.fresh())


def _place(release: NotebookNode, theirs: list[_Theirs]) -> tuple[dict[int, _Theirs], dict[int, list[_Theirs]]]:
    """Which submitted cell stands for which released one, and the added ones by the released one above them."""
    by_grade = {grade_id_of(cell): i for i, cell in enumerate(release.cells) if grade_id_of(cell)}
    by_id = {cell.id: i for i, cell in enumerate(release.cells) if cell.get("id")}
    by_text: dict[tuple[str, str], list[int]] = {}
    for i, cell in enumerate(release.cells):
        by_text.setdefault((cell.cell_type, cell.source.rstrip()), []).append(i)
    matches: dict[int, int] = {}
    free = set(range(len(release.cells)))

    def match(position: int, index: int | None) -> None:
        if index in free and position not in matches:
            matches[position] = index
            free.discard(index)

    # What carries a grade's id comes first, then ids, then texts: a copied id must not take an exercise's place.
    for position, their in enumerate(theirs):
        match(position, by_grade.get(their.grade_id))
    for position, their in enumerate(theirs):
        match(position, by_id.get(their.id))
    for position, their in enumerate(theirs):
        same = by_text.get((their.kind, their.source.rstrip()), ())
        match(position, next((i for i in same if i in free), None))
    placed = {index: theirs[position] for position, index in matches.items()}
    added: dict[int, list[_Theirs]] = {}
    above = -1
    for position, their in enumerate(theirs):
        if position in matches:
            above = matches[position]
        else:
            added.setdefault(above, []).append(their)
    return placed, added


def _suspicions(release: NotebookNode, theirs: list[_Theirs]) -> list[str]:
    """What is not how a learner's Jupyter would have left it, in plain words."""
    told = []
    count = Counter(their.grade_id for their in theirs if their.grade_id)
    first = {their.grade_id: their for their in reversed(theirs) if their.grade_id}
    for cell in release.cells:
        id = grade_id_of(cell)
        if not id:
            continue
        what = "answer cell" if _is_solution(cell) else "check cell"
        if id not in first:
            told.append(f"the {what} {id} was deleted or has lost its id: the released one is used")
            continue
        their = first[id]
        if count[id] > 1 and not _is_solution(cell):
            told.append(f"the {what} {id} appears {count[id]} times: the released one is used once")
        if their.kind != cell.cell_type:
            told.append(f"the {what} {id} was made a {their.kind} cell: it is used as {cell.cell_type}")
        if not _is_solution(cell) and their.source.rstrip() != cell.source.rstrip():
            told.append(f"the {what} {id} was altered: the released one is used")
        changed = [name for name in _FLAGS if their.marks.get(name, None) != cell.metadata.nbgrader.get(name, None)]
        if changed:
            told.append(f"the {what} {id} has other nbgrader metadata ({', '.join(changed)}): the release's count")
        if "skip-execution" in their.tags:
            told.append(f"the {what} {id} was tagged skip-execution: it ran all the same")
    return told


def _cells(submitted: bytes | None) -> list[_Theirs]:
    """The cells of a submitted file, as plain text. Raises _Unreadable."""
    if submitted is None:
        raise _Unreadable("there is none")
    if not submitted.strip():
        raise _Unreadable("the file is empty, expected a notebook")
    try:
        content = json.loads(submitted.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _Unreadable("it is not UTF-8 text, expected a notebook") from None
    except (ValueError, RecursionError):
        raise _Unreadable("it is not JSON, expected a notebook") from None
    if not isinstance(content, dict):
        raise _Unreadable(f"it holds a {type(content).__name__}, expected an object with cells")
    cells = content.get("cells")
    if cells is None and isinstance(sheets := content.get("worksheets"), list):  # format 3
        lists = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        cells = [cell for part in lists if isinstance(part, list) for cell in part]
    if not isinstance(cells, list):
        raise _Unreadable("it has no list of cells, expected a notebook of format 3 or 4")
    if len(cells) > MOST_CELLS:
        raise _Unreadable(f"it has {len(cells):,} cells, at most {MOST_CELLS:,} are read")
    read = [_cell(cell) for cell in cells if isinstance(cell, dict)]
    if (size := sum(len(cell.source) for cell in read)) > MOST_CHARACTERS:
        raise _Unreadable(f"its cells have {size:,} characters, at most {MOST_CHARACTERS:,} are read")
    return read


def _cell(cell: dict) -> _Theirs:
    kind = cell.get("cell_type")
    text = cell.get("source", cell.get("input", ""))  # format 3 calls a code cell's text its input
    if isinstance(text, list):
        text = "".join(line for line in text if isinstance(line, str))
    metadata = cell.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    marks = metadata.get("nbgrader")
    marks = marks if isinstance(marks, dict) else {}
    tags = metadata.get("tags")
    return _Theirs(
        kind if kind in ("code", "markdown", "raw") else "raw",
        _text(text),
        _text(cell.get("id")),
        _text(marks.get("grade_id")),
        {name: marks[name] for name in _FLAGS if name in marks},
        frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset(),
    )


def _text(value: Any) -> str:
    """Text that can be written as UTF-8 and read back the same."""
    text = value if isinstance(value, str) else ""
    text = text.replace("\x00", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")
