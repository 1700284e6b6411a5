"""The names of a chapter's cells: what a check in the notebook knows of them, and what the build refuses.

A learner goes back: runs an earlier cell again, or a check. So no cell may take an exercise's name for something else,
and no name that an earlier cell reads may become something of another type.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from coursekit.checking.names import Statement, called, names_of
from coursekit.checking.session import digest
from grader.authoring.chapter import Refusals, Text
from grader.authoring.notebook import grade_id_of

FOLDER = Path("coursekit", "generated", "cells")


def table(released: NotebookNode) -> str:
    """What each code cell of a released chapter binds, as JSON: where an answer's names come from."""
    cells = [cell for cell in released.cells if cell.cell_type == "code"]
    rows, exercise = [], ""
    for cell in reversed(cells):
        marks = cell.metadata.get("nbgrader", {})
        kind = "check" if marks.get("grade") else "answer" if marks.get("solution") else "demonstration"
        if {"setup", "parameters"} & set(cell.metadata.get("tags", ())):
            kind = "setup"
        exercise = called(cell.source, "check")[0] if kind == "check" else exercise
        found = names_of(cell.source)
        data = {name for s in found.statements if _is_data(s) for name in s.binds}
        rows.append(
            {
                "id": cell.id,
                "kind": kind,
                "exercise": exercise if kind in ("check", "answer") else "",
                "source": digest(cell.source),
                "binds": sorted(found.binds),
                "data": sorted(data),
            }
        )
    rows.reverse()
    return "[\n" + ",\n".join(json.dumps(row, sort_keys=True) for row in rows) + "\n]\n"


def _is_data(statement: Statement) -> bool:
    """Whether a statement binds values, and not functions, classes, modules or what `use` gives."""
    return not statement.is_definition and not called(statement.source, "use")[0]


def refusals(text: Text) -> Refusals:
    """A sentence for every cell that takes an exercise's name for something else."""
    checks = [called(cell.source, "check") for cell in text.cells if "check" in cell.keys]
    owners = {name: id for id, handed in checks for name in handed}
    for cell in text.cells:
        if cell.kind != "code":
            continue
        for name in sorted(names_of(cell.source).binds & owners.keys()):
            if cell.keys.get("exercise") != owners[name]:
                yield (
                    cell.line,
                    f"binds {name!r}, which is what exercise {owners[name]!r} asks for: whoever goes back to its check "
                    "would hand in something else; choose another name",
                )


@dataclass(frozen=True)
class _Binding:
    cell: int
    type: str


def retyped(notebook: NotebookNode, types: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    """(cell id, sentence) for every cell that binds a name anew, with another type, which a cell before it reads.

    `types` are those of the names after each cell, by the cell's source.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    bound: dict[str, _Binding] = {}
    readers: dict[str, int] = {}  # the last cell that reads a name from outside
    for number, cell in enumerate(cells):
        found = names_of(cell.source)
        for name in sorted(found.binds):
            new = types.get(cell.source, {}).get(name, "")
            old = bound.get(name)
            if old and new and old.type and old.type != new and readers.get(name, -1) > old.cell:
                reader = cells[readers[name]]
                yield (
                    cell.id,
                    f"binds {name!r} to a {new}, and cell {grade_id_of(reader) or reader.id} reads it as a {old.type}: "
                    "whoever goes back would run into that; choose another name",
                )
            bound[name] = _Binding(number, new)
        for name in found.now | found.later:
            readers[name] = number
