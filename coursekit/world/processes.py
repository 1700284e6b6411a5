"""Programs on real processes, started as `torchrun` starts them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

PROGRAM, RESULT, ERROR = "program.pickle", "result{rank}.pickle", "error{rank}.txt"
_LINES = 8  # of a failed process's last words


class NoProcesses(RuntimeError):
    """This machine starts no processes that talk to each other, or one of them failed: the message says which."""


def launch(program: Callable[..., Any], *arguments: Sequence[Any], size: int = 2, seconds: float = 120) -> list[Any]:
    """What `program(comm, ...)` returns on each of `size` processes; rank i gets the i-th of each of `arguments`.

    `program` may be a function of the notebook, with all that it calls. The processes are those of
    `torchrun --nproc-per-node=2`, talk through gloo on CPUs and through NCCL where there is a GPU for each. Raises
    NoProcesses with the last lines of what was said where one fails, or after `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="ranks") as name:
        folder = Path(name)
        (folder / PROGRAM).write_bytes(cloudpickle.dumps((program, [list(given) for given in arguments])))
        _run(command(size, folder), folder, seconds)
        return [cloudpickle.loads((folder / RESULT.format(rank=rank)).read_bytes()) for rank in range(size)]


def command(size: int, folder: Path) -> list[str]:
    """What starts the processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={size}"]
    place = ["--master-addr=127.0.0.1", f"--master-port={_free_port()}"]
    return [*torchrun, *place, "-m", "coursekit.world.worker", str(folder)]


def _run(words: list[str], folder: Path, seconds: float) -> None:
    one_thread = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    process = subprocess.Popen(
        words, env=os.environ | one_thread, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        raise NoProcesses(f"the processes have not ended after {seconds:g} seconds") from late
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill() if process.poll() is None else None
        process.wait()
    if process.returncode:
        errors = sorted(folder.glob(ERROR.format(rank="*")), key=lambda file: file.stat().st_mtime)
        told = errors[0].read_text() if errors else said  # of the one that failed first; the others miss it
        raise NoProcesses("a process failed:\n" + "\n".join(told.strip().splitlines()[-_LINES:]))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
