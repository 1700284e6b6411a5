"""A chapter's own cells, run with their solutions: what a script or a bench measures is what learners write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from grader.authoring.chapter import Cell, read

CHAPTERS = Path(__file__).parents[1] / "chapters"


def names_of(
    path: Path, wanted: Callable[[Cell], bool], then: Callable[[dict[str, Any]], object] = lambda names: None
) -> dict[str, Any]:
    """What the parameters, the set-up and the wanted code cells of a chapter define; `then` sees it after each cell."""
    names: dict[str, Any] = {}
    for cell in read(path, path.parents[1]).cells:
        if cell.kind == "code" and ({"parameters", "setup"} & set(cell.tags) or wanted(cell)):
            exec(compile(cell.source, f"{path.name}, line {cell.line}", "exec"), names)
            then(names)
    return names
