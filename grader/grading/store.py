"""Results by content: what was graded once is not graded again, and a damaged entry is noticed and made anew."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from kernelkit.files import replace

STATE = ".grading"  # the folder of a course that holds what grading keeps
KEY = "coursekit_grading"  # the notebook's metadata that says which result it shows


@dataclass(frozen=True)
class Outline:
    """What became of one exercise, bounded in size: the points, the named mistake, what was found first in each part.

    `findings` are pairs of a part's name and what is wrong there, without the case's label. They may hold text from
    the learner's process: whoever shows them escapes them.
    """

    earned: float
    possible: float
    mistake: str = ""
    advice: str = ""
    findings: tuple[tuple[str, str], ...] = ()
    not_started: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Graded:
    """One graded submission: the notebook with its verdicts, and the points by grade id.

    `scores` holds the check cells only, finite and within the release's points. `reason` says why nothing could be
    graded. `cpu_seconds` is what the learner's kernel took, `overhead_seconds` what the grader took around it.
    """

    key: str
    notebook: NotebookNode
    scores: dict[str, float]
    reason: str = ""
    flags: tuple[str, ...] = ()
    cpu_seconds: float = 0.0
    overhead_seconds: float = 0.0
    peak_bytes: int = 0
    sandboxed: bool = True
    mistakes: dict[str, str] = field(default_factory=dict)
    exercises: dict[str, Outline] = field(default_factory=dict)  # empty in results of before it was kept


class Store:
    """A folder of results, each in a file named by its key and sealed with a checksum."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Graded | None:
        """The result under `key`; None where there is none. A damaged one is removed."""
        try:
            fields = self._read(key)
            return _graded(fields | {"notebook": nbformat.from_dict(fields["notebook"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            self._path(key).unlink(missing_ok=True)
            return None

    def brief(self, key: str) -> Graded | None:
        """The result without its notebook, in a fraction of the time; None where there is none, or a damaged one."""
        try:
            return _graded(self._read(key) | {"notebook": NotebookNode()})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _read(self, key: str) -> dict[str, Any]:
        """Raises FileNotFoundError, and others where the entry is damaged."""
        seal, body = self._path(key).read_bytes().split(b"\n", 1)
        if seal.decode() != hashlib.sha256(body).hexdigest():
            raise ValueError("the checksum differs")
        fields = json.loads(body)
        if fields["key"] != key:
            raise ValueError("it is another submission's")
        return fields

    def put(self, graded: Graded) -> None:
        """Keep a result. A run that is killed here leaves the old entry or the new one, never half of it."""
        path = self._path(graded.key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fields = {f.name: getattr(graded, f.name) for f in dataclasses.fields(graded)}
        fields["exercises"] = {id: dataclasses.asdict(outline) for id, outline in graded.exercises.items()}
        body = json.dumps(fields, sort_keys=True, allow_nan=False).encode()
        replace(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def _graded(fields: dict[str, Any]) -> Graded:
    outlines = {id: _outline(found) for id, found in fields.get("exercises", {}).items()}
    return Graded(**fields | {"flags": tuple(fields["flags"]), "exercises": outlines})


def _outline(found: dict[str, Any]) -> Outline:
    return Outline(**found | {"findings": tuple((part, told) for part, told in found["findings"])})


def shown_key(path: Path) -> str | None:
    """The key of the result that an autograded notebook shows; None where it shows none."""
    try:
        return json.loads(path.read_bytes())["metadata"][KEY]["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
