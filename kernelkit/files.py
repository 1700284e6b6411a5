"""Files that others may see at any moment, and files that others may have made."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path


class Refused(Exception):
    """Why a file is not read, in words that follow its name: "is a link, expected a plain file"."""


def replace(path: Path, data: bytes) -> None:
    """Make `path` hold `data` in one step: a reader, and a machine that fails, sees the old content or the new.

    Raises OSError; what was there is then as it was.
    """
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def read_plain(folder: int, name: str, limit: int, owners: tuple[int, ...] = ()) -> bytes:
    """The bytes of the plain file `name` in an open folder whose owner is not trusted. Raises Refused.

    Neither a link nor a second name of another file is followed, no pipe is waited for, and no more than `limit` bytes
    are read. Where `owners` are given, it must belong to one of these users.
    """
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise Refused("is missing") from None
    except OSError as error:
        raise Refused(_unopened(folder, name, error)) from None
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode):
        os.close(file)
        raise Refused(f"is {kind(facts.st_mode)}, expected a plain file")
    with os.fdopen(file, "rb", buffering=0) as opened:
        if facts.st_nlink != 1:
            raise Refused(f"has {facts.st_nlink} names (hard links), expected a file of its own")
        if owners and facts.st_uid not in owners:
            raise Refused(f"belongs to user {facts.st_uid}, expected the owner of the submission")
        if facts.st_size > limit:
            raise Refused(f"has {facts.st_size:,} bytes, at most {limit:,} are read")
        return _whole(opened, limit)


def _whole(opened, limit: int) -> bytes:
    pieces, left = [], limit
    while piece := opened.read(left + 1):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise Refused("grows while it is read")
    return b"".join(pieces)


def _unopened(folder: int, name: str, error: OSError) -> str:
    with contextlib.suppress(OSError):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            return f"is {kind(mode)}, expected a plain file"
    return f"cannot be read ({error.strerror})"


def kind(mode: int) -> str:
    """What a file's mode says it is: "a link"."""
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "a thing")
