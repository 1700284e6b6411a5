"""A kernel provisioner: Jupyter's own programs get kernels forked from a warm parent.

Registered as `kernelkit-warm` (entry point group `jupyter_client.kernel_provisioners`). Where a fork is not
possible or not safe, the kernel is started afresh, as `local-provisioner` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Float, Unicode

from kernelkit import server, warm


class WarmProcess:
    """A forked kernel with the methods of `subprocess.Popen` that a provisioner uses."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(30)
        head = connection.recv(5, socket.MSG_WAITALL)
        if len(head) != 5 or head[:1] != server.READY:
            raise warm.NotWarm("the warm parent gave no kernel")
        self.pid: int = struct.unpack("!I", head[1:])[0]
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self._connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self._read()
            except TimeoutError:
                raise subprocess.TimeoutExpired("kernel", timeout or 0) from None
        return self.returncode or 0

    def _read(self) -> None:
        data = self._connection.recv(4)
        # A monitor that is gone has taken its kernel along.
        self.returncode = struct.unpack("!i", data)[0] if len(data) == 4 else -signal.SIGKILL
        self._connection.close()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class WarmProvisioner(LocalProvisioner):
    """Forks from this user's warm parent, and starts that parent when it is first needed."""

    preload = Unicode(help="The module whose function `preload` imports what kernels need.").tag(config=True)
    idle = Float(600.0, help="Seconds without a kernel after which the parent ends.").tag(config=True)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        scrubbed = LocalProvisioner._scrub_kwargs(kwargs)
        try:
            # Waiting for the parent's imports must not stop a server's event loop.
            process = await asyncio.get_running_loop().run_in_executor(None, self._fork, cmd, scrubbed)
        except (warm.NotWarm, OSError) as error:
            self.log.info("a fresh kernel is started: %s", error)
            return await super().launch_kernel(cmd, **kwargs)
        self.process = cast(subprocess.Popen, process)  # it behaves as one
        self.pid = self.pgid = process.pid
        return self.connection_info

    def _fork(self, cmd: list[str], kwargs: dict[str, Any]) -> WarmProcess:
        if why := warm.possible():
            raise warm.NotWarm(why)
        if any(kwargs.get(name) == subprocess.PIPE for name in ("stdout", "stderr")):
            raise warm.NotWarm("the kernel's output is wanted through a pipe")
        env = dict(kwargs.get("env") or os.environ)
        path = warm.shared_path(self.preload, env)
        cwd = str(kwargs.get("cwd") or Path.cwd())
        argv = cmd[cmd.index("-f") :] if "-f" in cmd else cmd[1:]
        request = {"env": env, "cwd": cwd, "argv": argv}
        with _streams(kwargs) as streams:
            if machine := warm.machine_path(self.preload, env):
                with contextlib.suppress(OSError, warm.NotWarm):  # then this user's own parent
                    return WarmProcess(warm.ask(machine, request, streams))
            try:
                return WarmProcess(warm.ask(path, request, streams))
            except (FileNotFoundError, ConnectionRefusedError):
                self._start(path, env)
            return WarmProcess(warm.ask(path, request, streams))

    def _start(self, path: Path, env: dict[str, str]) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            # Two kernels asked for at once share one parent.
            with FileLock(f"{path}.lock", timeout=warm.START_SECONDS):
                with contextlib.suppress(OSError):
                    probe = socket.socket(socket.AF_UNIX)
                    probe.connect(str(path))
                    probe.close()
                    return
                path.unlink(missing_ok=True)  # its parent is dead
                warm.wait_until_ready(path, warm.start(path, self.preload, env, self.idle, leash=False))
        except Timeout:
            raise warm.NotWarm("another process has been starting the warm parent for too long") from None


@contextlib.contextmanager
def _streams(kwargs: dict[str, Any]):
    """The kernel's stdout and stderr as descriptors."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        yield tuple(_descriptor(kwargs.get(name), own, null) for name, own in (("stdout", 1), ("stderr", 2)))
    finally:
        os.close(null)


def _descriptor(wanted: Any, own: int, null: int) -> int:
    if wanted is None:
        try:
            os.fstat(own)
        except OSError:
            return null
        return own
    if wanted == subprocess.DEVNULL:
        return null
    return wanted if isinstance(wanted, int) else wanted.fileno()
