"""Results by content: what was graded once is not graded again, and a damaged entry is noticed and made anew."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from kernelkit.files import replace


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


class Store:
    """A folder of results, each in a file named by its key and sealed with a checksum."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Graded | None:
        """The result under `key`; None where there is none. A damaged one is removed."""
        path = self._path(key)
        try:
            seal, body = path.read_bytes().split(b"\n", 1)
            if seal.decode() != hashlib.sha256(body).hexdigest():
                raise ValueError("the checksum differs")
            fields = json.loads(body)
            if fields["key"] != key:
                raise ValueError("it is another submission's")
            fields["notebook"] = nbformat.from_dict(fields["notebook"])
            return Graded(**fields | {"flags": tuple(fields["flags"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            path.unlink(missing_ok=True)
            return None

    def put(self, graded: Graded) -> None:
        """Keep a result. A run that is killed here leaves the old entry or the new one, never half of it."""
        path = self._path(graded.key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fields = {f.name: getattr(graded, f.name) for f in dataclasses.fields(graded)}
        body = json.dumps(fields, sort_keys=True, allow_nan=False).encode()
        replace(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
