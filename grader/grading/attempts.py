"""Who handed in what and when: one small file for each hand-in, which names the stored result.

A hand-in is a learner, the bytes of the notebook and the time at which it was handed in. Graded again, it gets another
result and stays the same hand-in. Each file is replaced in one step: killed at any moment, a run loses none.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from grader.grading.store import STATE
from kernelkit.files import replace

if TYPE_CHECKING:
    from grader.grading.pipeline import Job


@dataclass(frozen=True)
class HandIn:
    """One hand-in and its present result. Times are ISO 8601 in UTC; `handed` is empty where nobody knows it."""

    student: str
    content: str  # a hash of the notebook, empty where there was none
    handed: str
    graded: str
    key: str

    @property
    def when(self) -> str:
        """When it was handed in, else when it was graded: by this the hand-ins of a learner are in order."""
        return self.handed or self.graded


def write(course: Path, job: Job) -> None:
    """Note that a job's submission was graded, with the key under which its result is stored."""
    content = "" if job.taken.notebook is None else hashlib.sha256(job.taken.notebook).hexdigest()
    handed = _iso(job.taken.timestamp) if job.taken.timestamp else ""
    note = HandIn(job.student, content, handed, _iso(datetime.now(UTC)), job.key)
    folder = _folder(course, job.assignment)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(json.dumps([note.student, content, handed]).encode()).hexdigest()
    replace(folder / f"{name}.json", json.dumps(asdict(note)).encode())


def read(course: Path, assignment: str) -> dict[str, list[HandIn]]:
    """All hand-ins by student, oldest first. A file that is damaged is passed over."""
    found: dict[str, list[HandIn]] = {}
    for path in _folder(course, assignment).glob("[0-9a-f]*.json"):
        try:
            note = HandIn(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            continue
        found.setdefault(note.student, []).append(note)
    return {student: sorted(notes, key=lambda note: (note.when, note.graded)) for student, notes in found.items()}


def _folder(course: Path, assignment: str) -> Path:
    return course / STATE / "attempts" / assignment


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
