"""Whose a folder in nbgrader's exchange is, and when it came: by its owner and the server's clock, not by its name.

In the exchange everybody can make a folder with anybody's name, and any time, on it.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from grader.grading.intake import read_time


def received(
    exchange: str, course_id: str, student: str, assignment: str, folder: Path, owners: Mapping[str, str] | None = None
) -> datetime | None:
    """When the exchange got what was collected into `folder`; None where it has it not.

    The newest of the learner's folders that were there when it was collected counts: neither an older one, which may
    have been made before the deadline to be pointed at, nor what was handed in since. `owners` names learners by their
    user id where they are no users of this machine.
    """
    if not exchange:
        return None
    inbound = Path(exchange) / course_id / "inbound"
    try:
        collected = folder.lstat().st_ctime
        times = sorted(_times(inbound, f"{student}+{assignment}+", student, owners or {}))
    except OSError:
        return None
    known = [time for time in times if time <= collected] or times[:1]
    return datetime.fromtimestamp(known[-1], UTC) if known else None


def _times(inbound: Path, prefix: str, student: str, owners: Mapping[str, str]) -> Iterator[float]:
    with os.scandir(inbound) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix) or not _named_as_handed_in(entry.name.removeprefix(prefix)):
                continue
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode) and _may_be(student, facts.st_uid, owners):
                yield facts.st_ctime


def _named_as_handed_in(rest: str) -> bool:
    """Whether it is a time, with or without the random letters that nbgrader adds."""
    for text in (rest, rest.rpartition("+")[0]):
        try:
            return bool(read_time(text))
        except (ValueError, OverflowError):
            continue
    return False


def _may_be(student: str, uid: int, owners: Mapping[str, str]) -> bool:
    """Whether the user is the student: as far as this machine knows its learners at all."""
    if not owners and not _is_user(student):
        return True
    return owner(uid, owners) == student


def owner(uid: int, owners: Mapping[str, str]) -> str:
    """The learner's name for a user id."""
    if name := owners.get(str(uid)):
        return name
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the unknown user {uid}"


def _is_user(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except (KeyError, ValueError):
        return False
