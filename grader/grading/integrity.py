"""The integrity log: what was tried, in plain words, for the instructor. One line of JSON for each graded attempt."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from grader.grading.store import STATE


def path(course: Path) -> Path:
    return course / STATE / "integrity.jsonl"


def write(course: Path, assignment: str, student: str, key: str, flags: tuple[str, ...]) -> None:
    """Add an entry, unless there are no flags or the same submission's entry is there already."""
    if not flags:
        return
    target = path(course)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "assignment": assignment,
        "student": student,
        "key": key,
        "flags": list(flags),
    }
    with FileLock(f"{target}.lock"):
        if any(known["key"] == key and known["flags"] == entry["flags"] for known in read(course)):
            return
        with target.open("a+b") as file:
            # A run that was killed may have left half a line: the next one starts on its own.
            if file.tell() and file.seek(-1, 2) >= 0 and file.read(1) != b"\n":
                file.write(b"\n")
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()


def read(course: Path) -> list[dict]:
    """All entries, oldest first. A half-written line is passed over."""
    target = path(course)
    if not target.exists():
        return []
    entries = []
    for line in target.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and {"time", "assignment", "student", "key", "flags"} <= entry.keys():
            entries.append(entry)
    return entries
