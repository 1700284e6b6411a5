"""The warm parent: it has imported what kernels need, runs nothing itself, and forks a kernel for each request.

A request is one connection to its Unix socket. For each it forks a monitor, and the monitor forks the kernel:
in a sandbox (`{"walls": ...}`) or as an ordinary process of this user (`{"env": ..., "cwd": ...}`). From then on the
connection belongs to the monitor, see `kernelkit.sandbox.contain` for what it says. When the connection
closes the kernel dies, so a client that is killed leaves nothing behind.

    python -m kernelkit.server SOCKET --preload MODULE [--idle SECONDS] [--leash]
"""

from __future__ import annotations

import argparse
import array
import contextlib
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelkit import linux, sandbox

READY = b"+"
REQUEST_LIMIT = 1 << 20
REFUSED_SECONDS = 0.05  # of rest after a request that could not be served
_IMPORTED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.logger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",  # with debugpy, by every kernel when it starts
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib_inline.backend_inline",
    "tornado.platform.asyncio",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m kernelkit.server")
    parser.add_argument("socket", type=Path)
    parser.add_argument(
        "--preload", required=True, help="the module whose function `preload` imports what kernels need"
    )
    parser.add_argument("--idle", type=float, default=600, help="seconds without a kernel after which it ends")
    parser.add_argument("--leash", action="store_true", help="end, and remove the socket's folder, when stdin closes")
    args = parser.parse_args()
    listener = socket.socket(socket.AF_UNIX)
    partial = args.socket.with_name(f"{args.socket.name}.{os.getpid()}")
    listener.bind(str(partial))
    partial.chmod(0o600)
    try:
        import_everything(args.preload)
        if why := unsafe():
            print(f"kernels cannot be forked here: {why}", file=sys.stderr)
            return 3
        listener.listen(64)
        partial.replace(args.socket)  # whoever sees the socket finds somebody there
        serve(listener, args.idle, sys.stdin.fileno() if args.leash else None)
    finally:
        partial.unlink(missing_ok=True)
        args.socket.unlink(missing_ok=True)
        if args.leash:
            shutil.rmtree(args.socket.parent, ignore_errors=True)
    return 0


def import_everything(preload: str) -> None:
    """What takes seconds in a fresh kernel: Jupyter's part of it, and what `preload()` of that module imports.

    It must run nothing that starts threads, which a fork loses.
    """
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # debugpy warns of Python's own frozen modules
    for name in _IMPORTED:
        importlib.import_module(name)
    importlib.import_module(preload).preload()


def unsafe() -> str:
    """Why this process must not be forked; empty when it may."""
    import torch

    if torch.cuda.is_initialized():
        return "CUDA is initialised"
    threads = len(os.listdir("/proc/self/task"))
    return f"{threads} threads are running, expected 1" if threads > 1 else ""


def serve(
    listener: socket.socket,
    idle: float,
    leash: int | None = None,
    interrupt: signal.Handlers | Callable = signal.SIG_IGN,  # Ctrl-C is for the client, which then closes
    admit: Callable[[socket.socket, list], Callable[[], None] | None] = lambda connection, busy: _as_it_is,
) -> None:
    """Fork a monitor for each connection, until nobody has asked for `idle` seconds.

    `admit(connection, busy)` says what the monitor does first, before it reads a byte of the request, or None to
    refuse; `busy` holds what `admit` gave for each monitor that is alive.
    """
    gc.collect()
    gc.freeze()  # collections in a kernel then leave the shared pages alone
    linux.huge_pages()
    poll = select.poll()
    listener.setblocking(False)  # who asked may have gone before it is accepted
    poll.register(listener, select.POLLIN)
    if leash is not None:
        poll.register(leash, select.POLLIN | select.POLLHUP)
    wake, signalled = _woken_by_signals(interrupt)
    poll.register(wake, select.POLLIN)
    monitors: dict[int, Callable[[], None]] = {}
    last = time.monotonic()
    while monitors or time.monotonic() - last < idle:
        ready = {file for file, _ in poll.poll(1000 * min(idle, 60))}
        if leash in ready:
            return
        if wake in ready:
            os.read(wake, 4096)
        for pid in [pid for pid in monitors if os.waitpid(pid, os.WNOHANG)[0] == pid]:
            del monitors[pid]
        last = time.monotonic() if monitors else last
        if listener.fileno() in ready:
            last = time.monotonic()
            try:
                monitors |= _admitted(listener, admit, list(monitors.values()), [wake, signalled])
            except (OSError, MemoryError):
                # Who asked has gone, or there is no process, memory or file to be had: one request is refused, and this
                # process is the parent of everybody's kernels. What is scarce must not be asked for in a busy loop.
                time.sleep(REFUSED_SECONDS)


def _woken_by_signals(interrupt: signal.Handlers | Callable) -> tuple[int, int]:
    """A pipe in which each signal leaves a byte, so that the end of a monitor is seen at once."""
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, interrupt)
    return wake, signalled


def _admitted(listener: socket.socket, admit: Callable, busy: list, ours: list[int]) -> dict[int, Callable[[], None]]:
    """The monitor that is forked for one connection, with what `admit` gave; none where it refuses. Raises OSError."""
    connection, _ = listener.accept()
    with connection:
        enter = admit(connection, busy)
        return {_forked(connection, [listener.fileno(), *ours], enter): enter} if enter else {}


def _as_it_is() -> None:
    """The monitor is a process of this user."""


def _forked(connection: socket.socket, ours: list[int], enter: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        for file in ours:
            os.close(file)
        enter()
        _answer(connection)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _answer(connection: socket.socket) -> None:
    request, streams = _request(connection)
    if "walls" in request:
        walls = sandbox.Walls(**request["walls"])
        sandbox.contain(walls, lambda sealed: _contained(request, sealed), connection)
    else:
        _plain(request, streams, connection)


def _request(connection: socket.socket) -> tuple[dict, list[int]]:
    """A length, that many bytes of JSON, and the client's stdout and stderr where it passes them on."""
    connection.settimeout(10)
    files = array.array("i")
    head, extra, _, _ = connection.recvmsg(4, socket.CMSG_LEN(2 * files.itemsize))
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(data[: len(data) - len(data) % files.itemsize])
    size = struct.unpack("!I", head)[0]
    if size > REQUEST_LIMIT:
        raise ValueError(f"a request of {size} bytes")
    body = b""
    while len(body) < size:
        piece = connection.recv(size - len(body))
        if not piece:
            raise EOFError("the client went away")
        body += piece
    connection.settimeout(None)
    return json.loads(body), list(files)


def _contained(request: dict, sealed) -> None:
    """The kernel in a sandbox; its connection file is the request's."""
    from traitlets.config import Config

    file = f"{sandbox.SCRATCH}/tmp/kernel.json"
    with open(file, "w") as target:
        json.dump(request["connection"], target)
    os.setsid()
    _become(request["env"])
    config = Config()
    config.HistoryManager.enabled = False
    config.IPKernelApp.log_level = 50
    config.IPKernelApp.capture_fd_output = False
    config.IPythonKernel._execute_sleep = 0.0  # for outputs that are late; our client waits for the last
    _run_kernel(["-f", file], config, sealed)


def _plain(request: dict, streams: list[int], report: socket.socket) -> None:
    """An ordinary kernel of this user; this process waits for it and tells how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            report.close()
            os.setsid()
            for target, stream in zip((1, 2), streams, strict=False):
                os.dup2(stream, target)
            os.closerange(3, 256)
            os.chdir(request["cwd"])
            # The kernel ends when its parent does, and does not explain Ctrl-C on a terminal that it has not.
            _become(request["env"] | {"JPY_PARENT_PID": str(os.getppid())})
            _run_kernel(request["argv"], None, lambda: None)
            os._exit(0)
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    for stream in streams:
        os.close(stream)
    report.sendall(READY + struct.pack("!I", pid))
    pidfd = os.pidfd_open(pid)
    ends: list[Any] = [pidfd, report]
    select.select(ends, [], [])
    with contextlib.suppress(ProcessLookupError):
        if not select.select([pidfd], [], [], 0)[0]:  # the client has gone
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        report.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))


def _become(env: dict[str, str]) -> None:
    """Take over another environment, also where a package read it when it was imported."""
    os.environ.clear()
    os.environ.update(env)
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    tempfile.tempdir = None  # TMPDIR is another one now
    time.tzset()
    matplotlib, torch, numpy = (sys.modules.get(name) for name in ("matplotlib", "torch", "numpy"))
    if matplotlib and matplotlib.rcParams._get_backend_or_none() is None:  # else what was preloaded has chosen one
        matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]
    if torch and env.get("OMP_NUM_THREADS", "").isdigit():
        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    if numpy:
        numpy.random.seed()


def _run_kernel(argv: list[str], config, sealed) -> None:
    import matplotlib_inline.backend_inline
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel_launcher", *argv]
    sys.path[:] = [path for path in sys.path if path]  # the shell puts the current folder in front itself
    app = IPKernelApp.instance(config=config) if config else IPKernelApp.instance()
    app.initialize(argv)
    # The backend's import does this in a fresh kernel: figures become pictures.
    matplotlib_inline.backend_inline._enable_matplotlib_integration()
    sealed()
    app.start()


if __name__ == "__main__":
    sys.exit(main())
