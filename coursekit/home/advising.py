"""What would go wrong with a notebook that is handed in as it is: said before, by the rules that grading has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coursekit.checking.names import called, names_of
from coursekit.checking.needing import Cell, needs
from coursekit.notebook import limits, reading

_MB = 1 << 20


def advice(path: Path, release: Path) -> tuple[str, ...]:
    """A sentence on each thing that a learner would rather know now. Raises OSError where a file cannot be read."""
    size = path.stat().st_size
    if size > limits.FILE:
        return (
            f"{path.name} has {size / _MB:.0f} MB and at most {limits.FILE // _MB} MB can be handed in: clear the "
            "outputs (Edit, Clear Outputs of All Cells) and save it.",
        )
    try:
        cells = reading.cells(reading.parsed(path.read_bytes()))
        released = reading.cells(reading.parsed(release.read_bytes()))
    except reading.Unreadable as error:
        return (f"{path.name} cannot be graded as it is: {error}.",)
    return (*_too_large(cells), *_wrong(cells, released))


def _too_large(cells: list[dict[str, Any]]) -> Iterator[str]:
    total = 0
    for cell in cells:
        attached = cell.get("attachments")
        for name, kinds in attached.items() if isinstance(attached, dict) else ():
            # Base64 takes four characters for three bytes.
            size = (
                3 * max((len(str(data)) for data in kinds.values()), default=0) // 4 if isinstance(kinds, dict) else 0
            )
            total += size
            if size > limits.PICTURE:
                yield f"The picture {name} has {size / _MB:.1f} MB, at most {limits.PICTURE // _MB} MB are shown."
    if total > limits.PICTURES:
        yield f"The pictures have {total / _MB:.1f} MB together, at most {limits.PICTURES // _MB} MB are shown."
    prose = sum(len(reading.source(cell)) for cell in cells if cell.get("cell_type") == "markdown")
    if prose > limits.PROSE:
        yield f"The text has {prose:,} characters, of your own at most {limits.PROSE:,} are shown to whoever marks it."


def _wrong(cells: list[dict[str, Any]], released: list[dict[str, Any]]) -> Iterator[str]:
    """What the checks will find missing: an answer that is no Python, that lacks its name, or whose names come late."""
    plain = {reading.source(cell).rstrip() for cell in released if not _marks(cell) and not _is_setup(cell)}
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    texts = [reading.source(cell) for cell in code]
    checks = [
        called(text, "check")[1] if _marks(cell).get("grade") else () for cell, text in zip(code, texts, strict=True)
    ]
    found = [names_of(text) for text in texts]
    runs = [text.rstrip() not in plain for text in texts]
    late = needs([Cell(*row) for row in zip(found, runs, checks, strict=True)]).late
    answer = -1
    for number, cell in enumerate(code):
        if _marks(cell).get("solution"):
            answer = number
        if not checks[number] or answer < 0:
            continue
        said, elsewhere = " and ".join(checks[number]), {n for i, f in enumerate(found) if i != answer for n in f.binds}
        if found[answer].problem:
            yield f"The cell of {said} is no Python: {found[answer].problem}."
        elif missing := set(checks[number]) - found[answer].binds - elsewhere:
            yield f"No cell defines {' and '.join(sorted(missing))}, which the check looks at."
        if number in late:
            yield f"The answer {said} reads {', '.join(sorted(late[number]))}, which is defined below its check only."
        answer = -1


def _marks(cell: dict[str, Any]) -> dict[str, Any]:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return marks if isinstance(marks, dict) else {}


def _is_setup(cell: dict[str, Any]) -> bool:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and bool({"setup", "parameters"} & {tag for tag in tags if isinstance(tag, str)})
