"""Collect only what a learner handed in as themselves, and follow no link.

In nbgrader's exchange everybody can make a folder with anybody's name on it. nbgrader's own collect takes it in place
of the real submission; it follows links with the instructor's rights, so that a link to the solution is graded as the
learner's work; and it stops for all at the first folder that it cannot read. Here the owner of a folder decides whose
it is, only plain files are read, and one odd folder is one learner's concern. Named as `c.ExchangeFactory.collect` on
a hub whose learners are system users of their own.
"""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect
from traitlets import Unicode

from grader.grading.arrival import owner
from grader.grading.intake import CLOCKS_DIFFER, TIMESTAMP, read_time, write_time
from kernelkit import sandbox

LIMIT = 50 << 20  # bytes of one submission
_COMPLETE = 0o777  # nbgrader's submit gives a folder this mode when all is in it


class OwnedCollect(ExchangeCollect):
    """nbgrader's collect for folders that belong to the user in their name."""

    owners = Unicode(
        "", help="A JSON file with a learner's name for each user id, where learners are no users of this machine."
    ).tag(config=True)

    def _path_to_record(self, path: str) -> dict:
        try:
            record = super()._path_to_record(path)
            why = refusal(path, record["username"], self.names())
        except Exception as error:  # a name that nbgrader never gives
            record, why = {"filename": os.path.basename(path), "timestamp": datetime.min}, str(error)
        if why:
            self.log.warning("not collected: %s %s", ascii(os.path.basename(path)), why)
            record["username"] = None
        return record

    def names(self) -> dict[str, str]:
        """Learners by user id, where the machine does not know them."""
        return json.loads(Path(self.owners).read_bytes()) if self.owners else {}

    def init_src(self) -> None:
        super().init_src()
        self.src_records: list[dict] = [record for record in self.src_records if record["username"] is not None]

    def do_copy(self, src: str, dest: str, log: object = None) -> None:
        os.makedirs(dest)
        try:
            files, notes = _read(src)
        except OSError as error:
            files, notes = {}, [f"cannot be read: {error.strerror}"]
        for note in notes:
            self.log.warning("%s: %s", ascii(os.path.basename(src)), note)
        for name, data in files.items():
            Path(dest, name).write_bytes(data)


def _read(src: str) -> tuple[dict[str, bytes], list[str]]:
    """The plain files of a submission, with a time that can be believed, and why others were not taken."""
    folder = os.open(src, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        files, notes = sandbox.collect(folder, LIMIT)
        times = [_changed(name, folder) for name in files]
    finally:
        os.close(folder)
    if times:
        files[TIMESTAMP] = honest_time(files.get(TIMESTAMP, b""), max(times))
    return files, notes


def _changed(name: str, folder: int) -> datetime:
    try:
        return datetime.fromtimestamp(os.stat(name, dir_fd=folder, follow_symlinks=False).st_ctime, UTC)
    except FileNotFoundError:  # taken away while it was read
        return datetime.now(UTC)


def refusal(path: str, username: str, names: dict[str, str]) -> str:
    """Why a folder in the exchange is not `username`'s submission; empty where it is."""
    facts = os.lstat(path)
    if not stat.S_ISDIR(facts.st_mode):
        return "is no folder"
    if (maker := owner(facts.st_uid, names)) != username:
        return f"claims to be {username}'s and was made by {maker}"
    if stat.S_IMODE(facts.st_mode) & 0o777 != _COMPLETE:
        return "is being handed in at this moment, or was not handed in by nbgrader: collect again later"
    return ""


def honest_time(claimed: bytes, written: datetime) -> bytes:
    """The claimed time, or that at which the files were written where the claim is much earlier, or is no time."""
    try:
        time = read_time(claimed.decode("ascii").strip())
    except (ValueError, OverflowError):
        time = written
    counts = time if time > written - CLOCKS_DIFFER else written
    return write_time(counts).encode()
