"""A learner's server: a process of the learner's own system user, inside the learner's limits."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Float, Integer, Unicode

from hub import limits


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

        return preexec

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        return super().user_env(env) | {"JUPYTER_RUNTIME_DIR": str(self.runtime)}

    async def start(self) -> tuple[str, int]:
        user = pwd.getpwnam(self.user.name)
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(self.runtime, user.pw_uid, user.pw_gid)
        self.runtime.parent.chmod(0o711)
        return await super().start()

    async def stop(self, now: bool = False) -> None:
        await super().stop(now)
        user = pwd.getpwnam(self.user.name)
        shutil.rmtree(self.runtime, ignore_errors=True)
        limits.forget(user.pw_uid)
