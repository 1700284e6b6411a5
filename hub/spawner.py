"""A learner's server: a process of the learner's own system user, inside the learner's limits."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Float, Integer, Unicode

from hub import limits
from kernelkit import linux

_RUNTIME_SIZE = "size=16m,nr_inodes=2000"  # sockets and connection files: one learner must not fill /run for all


class LearnerSpawner(LocalProcessSpawner):
    """LocalProcessSpawner with limits for all of a user's processes and a private runtime folder."""

    processes = Integer(300, help="Processes and threads that one user may have.").tag(config=True)
    cpus = Float(2.0, help="Processors that one user may keep busy.").tag(config=True)
    run = Unicode("/run/coursekit", help="Where each user gets a runtime folder of mode 0700.").tag(config=True)

    @property
    def bounds(self) -> limits.Bounds:
        return limits.Bounds(int(self.mem_limit or 4 << 30), self.processes, self.cpus)

    @property
    def runtime(self) -> Path:
        """Short, because the names of Unix sockets are limited to 107 bytes."""
        return Path(self.run) / "u" / str(pwd.getpwnam(self.user.name).pw_uid)

    def make_preexec_fn(self, name: str) -> Callable[[], None]:
        become = super().make_preexec_fn(name)
        bounds = self.bounds
        entrances = limits.prepare(pwd.getpwnam(name).pw_uid, bounds)
        if not entrances:
            self.log.warning("no control groups can be made here: %s has limits for each process only", name)

        def preexec() -> None:
            limits.enter(entrances, bounds)
            become()
            _settle(Path(pwd.getpwnam(name).pw_dir))

        return preexec

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        scratch = _scratch(Path(pwd.getpwnam(self.user.name).pw_dir))
        return super().user_env(env) | {"JUPYTER_RUNTIME_DIR": str(self.runtime), "TMPDIR": str(scratch)}

    async def start(self) -> tuple[str, int]:
        user = pwd.getpwnam(self.user.name)
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.runtime.parent.chmod(0o711)
        if not os.path.ismount(self.runtime):
            owner = f"mode=700,uid={user.pw_uid},gid={user.pw_gid}"
            try:
                flags = linux.MS_NOSUID | linux.MS_NODEV
                linux.mount("coursekit", str(self.runtime), "tmpfs", flags, f"{_RUNTIME_SIZE},{owner}")
            except OSError as error:
                self.log.warning("%s lies on the disk that all share: %s", self.runtime, error)
                os.chown(self.runtime, user.pw_uid, user.pw_gid)
        return await super().start()

    async def stop(self, now: bool = False) -> None:
        await super().stop(now)
        limits.end(pwd.getpwnam(self.user.name).pw_uid)
        if os.path.ismount(self.runtime):
            linux.unmount(str(self.runtime))
        shutil.rmtree(self.runtime, ignore_errors=True)

    async def _signal(self, sig: int) -> bool:
        """After a restart the hub knows a server by its number only, and a number may by now be another's process."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(f"/proc/{self.pid}").st_uid != pwd.getpwnam(self.user.name).pw_uid:
                return False
        return await super()._signal(sig)


def _scratch(home: Path) -> Path:
    """Temporary files of a learner's own: in a shared folder, whoever makes a name first decides what lies there."""
    return home / ".cache" / "tmp"


def _settle(home: Path) -> None:
    """What a server does as its learner before it starts: its own keyring, scratch folder and log."""
    with contextlib.suppress(OSError):  # containers may refuse all keyrings
        linux.new_keyring()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the hub's own: a learner could fill or forge them
        os.dup2(null, stream)
    with contextlib.suppress(OSError):  # a full disk: then without
        _scratch(home).mkdir(mode=0o700, parents=True, exist_ok=True)
        log = os.open(
            home / ".cache" / "jupyter-server.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
        )
        os.dup2(log, 1), os.dup2(log, 2)
