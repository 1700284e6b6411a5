"""Take a submission in: one notebook and its timestamp are read, everything else is left alone and named."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from coursekit.notebook import limits
from kernelkit.files import Refused, kind, read_plain

LIMIT = limits.FILE  # bytes of a notebook, outputs and all
MOST_ENTRIES = 1_000  # of a folder that are looked at
_TIMESTAMP_LIMIT = 200
_FLAGS_SHOWN = 20
CLOCKS_DIFFER = timedelta(minutes=10)
_FIRST_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
TIMESTAMP = "timestamp.txt"
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?( UTC| ?[+-]\d\d:?\d\d)?", re.ASCII)
SECRET = "submission_secret.txt"  # nbgrader's own: names the folder in which the learner finds the feedback
# What Jupyter, editors and file managers leave beside a notebook.
_HARMLESS = frozenset(
    {TIMESTAMP, SECRET, ".ipynb_checkpoints", ".DS_Store", "__pycache__", ".virtual_documents", "Thumbs.db"}
)


class _Refused(Exception):
    """Why a file is not read."""


@dataclass(frozen=True)
class Taken:
    """What was taken in: the notebook's bytes, or the reason why there are none."""

    notebook: bytes | None
    reason: str
    flags: tuple[str, ...]
    timestamp: datetime | None
    secret: str = ""


def take(folder: Path, name: str, now: datetime, received: datetime | None = None) -> Taken:
    """Read the notebook `<name>.ipynb` in `folder`; never raises for what a learner put there.

    `received` is when a server got the submission, where that is known: a timestamp that claims to be earlier does
    not count.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        what = "a link" if folder.is_symlink() else f"no folder that can be read ({error.strerror})"
        return Taken(None, f"the submission is {what}, expected a folder with {name}.ipynb", (), received)
    try:
        entries, more = _listed(handle)
        flags = (*_others(handle, entries, f"{name}.ipynb"), *more)
        try:
            notebook, reason = _file(handle, f"{name}.ipynb", LIMIT), ""
        except _Refused as refused:
            notebook, reason = None, _hint(str(refused), handle, entries, name)
            flags = (*flags, reason)
        timestamp, doubt = _timestamp(handle, now, received)
        secret = _secret(handle)
    finally:
        os.close(handle)
    return Taken(notebook, reason, (*flags, *doubt), timestamp, secret)


def read_time(text: str) -> datetime:
    """A time as nbgrader writes it, in UTC; ValueError for anything else.

    nbgrader's own reader guesses, takes a missing date for today's, and opens files that are named as time zones.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text[:40]!a} is no time like 2026-09-01 12:00:00.000000 UTC")
    time = datetime.fromisoformat(text.removesuffix(" UTC").replace(" +", "+").replace(" -", "-"))
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def write_time(time: datetime) -> str:
    """The counterpart of `read_time`, as nbgrader writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f UTC")


def _file(folder: int, name: str, limit: int) -> bytes:
    """The bytes of a plain file of the learner's. Raises _Refused."""
    try:
        return read_plain(folder, name, limit, owners=(os.geteuid(), os.fstat(folder).st_uid))
    except Refused as refused:
        raise _Refused(f"{name} {refused}") from None


def _listed(folder: int) -> tuple[list[str], tuple[str, ...]]:
    """The names in an open folder, not more than a person could have meant, and a sentence where there are."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, MOST_ENTRIES + 1)]
    more = (f"the folder holds more than {MOST_ENTRIES} things: not all were looked at",)
    return sorted(names[:MOST_ENTRIES]), more if len(names) > MOST_ENTRIES else ()


def _hint(reason: str, folder: int, entries: list[str], name: str) -> str:
    others = [entry for entry in entries if entry.endswith(".ipynb")]
    if "is missing" in reason and (place := _deeper(folder, entries, f"{name}.ipynb")):
        return f"{reason}; it lies in the folder {_shown(place)}: move it up and submit again"
    if "is missing" in reason and others:
        found = ", ".join(map(_shown, others[:3]))
        return f"{reason}; found {found}: rename the notebook to {name}.ipynb and submit again"
    if "are read" in reason:
        return f"{reason}: clear its outputs"
    return f"{reason}: submit the notebook {name}.ipynb again" if "is missing" in reason else reason


def _deeper(folder: int, entries: list[str], notebook: str) -> str:
    """The folder within the submission that holds the notebook; empty for none."""
    for entry in entries:
        with contextlib.suppress(OSError):
            inner = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                os.stat(notebook, dir_fd=inner, follow_symlinks=False)
                return entry
            finally:
                os.close(inner)
    return ""


def _others(folder: int, entries: list[str], notebook: str) -> tuple[str, ...]:
    """A sentence on each thing that is ignored."""
    told = []
    for entry in entries:
        try:
            mode = os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode
        except OSError:
            mode = 0
        plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        if entry == notebook or (entry in _HARMLESS and plain):
            continue
        told.append(f"{_shown(entry)} is {kind(mode)} that the assignment does not ask for: ignored")
    more = len(told) - _FLAGS_SHOWN
    return (*told[:_FLAGS_SHOWN], *([f"and {more} more things that were ignored"] if more > 0 else []))


def _shown(name: str) -> str:
    """A file's name as text that does nothing in a terminal or a page."""
    return ascii(name[:80]).replace("<", "\\x3c")


def _timestamp(folder: int, now: datetime, received: datetime | None) -> tuple[datetime | None, tuple[str, ...]]:
    """The time that counts, and what is wrong with the one that was claimed."""
    if not _exists(folder, TIMESTAMP):
        return received, ()
    try:
        text = _file(folder, TIMESTAMP, _TIMESTAMP_LIMIT).decode("ascii").strip()
        claimed = read_time(text)
        if not _FIRST_YEAR <= claimed <= now + CLOCKS_DIFFER:
            raise _Refused(f"{TIMESTAMP} says {claimed:%Y-%m-%d %H:%M}, which cannot be")
    except (_Refused, ValueError, OverflowError) as error:
        why = str(error) if isinstance(error, _Refused) else f"{TIMESTAMP} holds no time"
        counts = received or _changed(folder, now)
        return counts, (f"{why}: {counts:%Y-%m-%d %H:%M} UTC counts, by the server's clock",)
    if received and claimed < received - CLOCKS_DIFFER:
        says = f"{TIMESTAMP} says {claimed:%Y-%m-%d %H:%M}"
        return received, (f"{says}, but it came at {received:%Y-%m-%d %H:%M} UTC, which counts",)
    return claimed, ()


def _exists(folder: int, name: str) -> bool:
    try:
        return bool(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return False


def _secret(folder: int) -> str:
    """What nbgrader wrote when the learner submitted; empty where it is not what nbgrader writes."""
    try:
        text = _file(folder, SECRET, _TIMESTAMP_LIMIT).decode("ascii").strip()
    except (_Refused, ValueError):
        return ""
    return text if text.replace("-", "").isalnum() else ""


def _changed(folder: int, now: datetime) -> datetime:
    try:
        facts = os.stat(TIMESTAMP, dir_fd=folder, follow_symlinks=False)
        return min(now, datetime.fromtimestamp(facts.st_ctime, UTC))
    except (OSError, OverflowError, ValueError):
        return now
