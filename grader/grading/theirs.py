"""What is read of a submitted notebook: for each cell its kind, its text, and what places it in the release."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from coursekit.checking.names import LIMIT, Names, names_of
from coursekit.notebook import limits
from coursekit.notebook.reading import Unreadable, cells, parsed, source
from grader.grading import pictures

FLAGS = ("grade", "solution", "locked", "task", "points")
_READ = 200_000  # characters of code in which names are looked for
_MOST_PICTURES = 20  # in one cell
_NAME = 200  # characters of a picture's name

Pictures = dict[str, dict[str, str]]  # base64 by name and MIME type, as a notebook keeps them


@dataclass(frozen=True)
class Theirs:
    """What is read of one submitted cell."""

    kind: str
    source: str
    id: str = ""
    grade_id: str = ""
    marks: dict[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    pictures: Pictures = field(default_factory=dict)
    names: Names = field(default_factory=Names)


def read(submitted: bytes | None) -> list[Theirs]:
    """The cells of a submitted file, as plain text and pasted pictures. Raises Unreadable."""
    if submitted is None:
        raise Unreadable("there is none")
    code, left = 0, limits.PICTURES
    found = []
    for cell in cells(parsed(submitted)):
        kind = cell.get("cell_type")
        kind = kind if kind in ("code", "markdown", "raw") else "raw"
        text = _text(source(cell))
        shown = _pictures(cell.get("attachments"), left) if kind != "code" else {}
        left -= sum(len(data) for kinds in shown.values() for data in kinds.values())
        looked_at = Names()
        if kind == "code" and len(text) <= LIMIT and code + len(text) <= _READ:
            code += len(text)
            looked_at = names_of(text)
        found.append(Theirs(kind, text, _text(cell.get("id")), *_marks(cell), shown, looked_at))
    return found


def _marks(cell: dict) -> tuple[str, dict[str, Any], frozenset[str]]:
    metadata = cell.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    marks = metadata.get("nbgrader")
    marks = marks if isinstance(marks, dict) else {}
    tags = metadata.get("tags")
    return (
        _text(marks.get("grade_id")),
        {name: marks[name] for name in FLAGS if name in marks},
        frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset(),
    )


def _pictures(attachments: Any, room: int) -> Pictures:
    """The pasted pictures that may be shown, in at most `room` characters."""
    kept: Pictures = {}
    for name, kinds in list(attachments.items())[:_MOST_PICTURES] if isinstance(attachments, dict) else ():
        for kind, data in list(kinds.items())[:_MOST_PICTURES] if isinstance(kinds, dict) else ():
            data = "".join(filter(lambda line: isinstance(line, str), data)) if isinstance(data, list) else data
            fits = isinstance(data, str) and len(data) <= room and len(name) <= _NAME
            if fits and pictures.harmless(kind, data):
                room -= len(data)
                kept[unquote(_text(name))] = {kind: "".join(data.split())}
                break
    return kept


def _text(value: Any) -> str:
    """Text that can be written as UTF-8 and read back the same."""
    text = value if isinstance(value, str) else ""
    text = text.replace("\x00", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode("utf-8")
