"""The warm parent of a whole machine: it has imported torch once, and forks a kernel for whoever asks.

It is root, so that each kernel can be the asking user's own process. What it does as root is little: accept a
connection on a socket that only the class's group can open, ask the operating system who is there (the peer cannot
lie about that), fork, take the child into that user's limits, and become that user. Only then is the request read.
The parent runs no learner's code and holds no secret: it is started with an empty environment. A kernel shares the
parent's memory copy-on-write: it reads what was imported and writes to pages of its own.

    python -m hub.warm FOLDER GROUP MEMORY PROCESSES CPUS
"""

from __future__ import annotations

import contextlib
import functools
import grp
import os
import pwd
import signal
import socket
import struct
import sys
from pathlib import Path

from hub import limits
from kernelkit import linux, server, warm

PRELOAD = "coursekit.kernel"
MOST_KERNELS = 24  # of one user at a time
_FIRST_USER = 1000


class Peer:
    """Who asks, as the operating system says. Called in the forked child, it becomes that user for good."""

    def __init__(self, uid: int, bounds: limits.Bounds) -> None:
        self.user = pwd.getpwuid(uid)
        self.bounds = bounds

    def __call__(self) -> None:
        limits.enter(limits.prepare(self.user.pw_uid, self.bounds), self.bounds)
        os.setsid()
        os.initgroups(self.user.pw_name, self.user.pw_gid)
        os.setresgid(self.user.pw_gid, self.user.pw_gid, self.user.pw_gid)
        os.setresuid(self.user.pw_uid, self.user.pw_uid, self.user.pw_uid)
        if os.getresuid() != (self.user.pw_uid,) * 3 or 0 in os.getresgid():
            os._exit(1)  # whatever happened: no kernel with root's rights
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else its own /proc/self is closed to it
        with contextlib.suppress(OSError):  # containers may refuse all keyrings
            linux.new_keyring()
        os.chdir("/")


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end, told by the kernel."""
    size = struct.calcsize("3i")
    return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1]


def admit(connection: socket.socket, busy: list, bounds: limits.Bounds) -> Peer | None:
    """The asking user; None for system users, strangers, and whoever has very many kernels."""
    uid = peer_uid(connection)
    if uid < _FIRST_USER or sum(peer.user.pw_uid == uid for peer in busy) >= MOST_KERNELS:
        return None
    try:
        return Peer(uid, bounds)
    except KeyError:  # removed while logged in
        return None


def main() -> int:
    folder, group, memory, processes, cpus = sys.argv[1:]
    bounds = limits.Bounds(int(memory), int(processes), float(cpus))
    os.environ.pop("PYTHONPATH", None)  # it found this module; kernels have none
    place = warm.shared_name(Path(folder), PRELOAD, dict(os.environ))
    for old in Path(folder).glob("warm-*.sock*"):  # of a parent that is gone; one that lives serves on regardless
        old.unlink()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.import_everything(PRELOAD)
    if why := server.unsafe():
        print(f"kernels cannot be forked here: {why}", file=sys.stderr)
        return 3
    os.umask(0o077)
    listener = socket.socket(socket.AF_UNIX)
    partial = place.with_name(f"{place.name}.new")
    listener.bind(str(partial))
    os.chown(partial, 0, grp.getgrnam(group).gr_gid)
    partial.chmod(0o660)
    listener.listen(128)
    partial.replace(place)
    try:
        # The hub stops its services with an interrupt.
        admitted = functools.partial(admit, bounds=bounds)
        server.serve(listener, float("inf"), interrupt=lambda *_: sys.exit(0), admit=admitted)
    finally:
        place.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
