"""What is kept of a learner between kernels: entries by id, in JSON files in the user's data folder.

`COURSEKIT_HOME` names another folder. A file is written under a lock, merged with what is there and replaced in one
step, so that two kernels lose nothing. A learner's work must never stop for it: a damaged file is set aside, and where
nothing can be written, entries stay in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import platformdirs
from filelock import FileLock

from kernelkit.files import replace

FORMAT = 1
LOCK_SECONDS = 5  # a write takes milliseconds: who waits longer meets a lock that nobody will give back

E = TypeVar("E")
_said: set[str] = set()


@dataclass
class Kept(Generic[E]):
    """The entries of one file, `<name>.json`, under the key `key`; made once a process.

    `read` gives an entry from what JSON holds, None where it is none; `write` is its counterpart. `then` puts a later
    entry of an id on top of an earlier one.
    """

    name: str
    key: str
    told: str  # how a sentence on it begins: "Progress is"
    read: Callable[[Any], E | None]
    write: Callable[[E], Any]
    then: Callable[[E, E], E]
    unsaved: dict[str, E] = field(default_factory=dict)  # of this kernel, not in the file yet
    unrecorded: dict[str, E] = field(default_factory=dict)  # of this kernel while recording is off: never in the file
    _threads: threading.Lock = field(default_factory=threading.Lock)

    def add(self, id: str, entry: E) -> None:
        """Keep an entry; while recording is off (`why_off`) it is known to this kernel only."""
        with self._threads:
            if why_off():
                self._merge(self.unrecorded, {id: entry})
                return
            self._merge(self.unsaved, {id: entry})
            with self._or_in_memory():
                self._save()

    def all(self) -> dict[str, E]:
        """Every kept entry by id; while recording is off, those of this kernel only."""
        with self._threads:
            if why_off():
                return dict(self.unrecorded)
            saved: dict[str, E] = {}
            with self._or_in_memory():
                saved, damaged = self._read_file()
                if damaged:
                    saved = self._save()
            return self._merge(saved, self.unsaved)

    @property
    def _path(self) -> Path:
        return folder() / f"{self.name}.json"

    def _merge(self, entries: dict[str, E], later: dict[str, E]) -> dict[str, E]:
        for id, entry in later.items():
            entries[id] = self.then(entries[id], entry) if id in entries else entry
        return entries

    def _save(self) -> dict[str, E]:
        """Write what is unsaved on top of what the file holds now; the merged entries. Raises OSError."""
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS, poll_interval=0.01):
            entries, damaged = self._read_file()
            if damaged:
                _set_aside(path)
            self._merge(entries, self.unsaved)
            content = {"format": FORMAT, self.key: {id: self.write(entry) for id, entry in sorted(entries.items())}}
            replace(path, json.dumps(content, indent=1).encode())
        self.unsaved.clear()
        return entries

    def _read_file(self) -> tuple[dict[str, E], bool]:
        """The entries that can be read, and whether the file holds anything else. Raises OSError."""
        if not self._path.exists():
            return {}, False
        if not self._path.is_file():
            return {}, True
        try:
            content = json.loads(self._path.read_bytes())
        except (ValueError, RecursionError):
            return {}, True
        found = content.get(self.key) if isinstance(content, dict) and content.get("format") == FORMAT else None
        if not isinstance(found, dict):
            return {}, True
        entries = {id: entry for id, value in found.items() if (entry := self.read(value)) is not None}
        return entries, len(entries) < len(found)

    @contextlib.contextmanager
    def _or_in_memory(self) -> Iterator[None]:
        """Let the learner work on where the folder cannot be used: say it once, and keep entries in memory."""
        try:
            yield
        except OSError as error:  # a full disk, a read-only folder, a lock that is held: filelock's Timeout is one too
            if self.name not in _said:
                _said.add(self.name)
                reason = error.strerror or str(error)
                print(f"{self.told} kept in memory only, since {folder()} cannot be used ({reason}).")


def why_off() -> str:
    """The sentence that says why nothing is recorded; empty while it is."""
    if os.environ.get("COURSEKIT_PROGRESS", "").strip().lower() in {"off", "0", "no", "false"}:
        return "Nothing is recorded: COURSEKIT_PROGRESS is off."
    if os.environ.get("NBGRADER_EXECUTION"):  # nbgrader sets it to "autograde" or "validate" for the kernel
        return "Nothing is recorded while nbgrader runs the notebook."
    return ""


def folder() -> Path:
    """The folder of the record: `COURSEKIT_HOME`, or the user's data folder."""
    home = os.environ.get("COURSEKIT_HOME")
    return Path(home).expanduser() if home else platformdirs.user_data_path("coursekit", appauthor=False)


def now() -> str:
    """The time (UTC) as it is kept."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _set_aside(path: Path) -> None:
    """Rename what stands in the file's place, so that nothing is lost, and say so."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{path.stem}.damaged-{stamp}{again}.json" for again in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    os.rename(path, aside)
    print(f"The {path.stem} file could not be read in full. It is kept as {aside.name} in {aside.parent}.")
