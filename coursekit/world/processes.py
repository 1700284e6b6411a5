"""Programs on real processes, started as `torchrun` starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

from coursekit.world.simulated import World

PROGRAM, RESULT, ERROR, JOINED = "program.pickle", "result{rank}.pickle", "error{rank}.txt", "joined{rank}"
_LINES = 8  # of a failed process's last words


class NoProcesses(RuntimeError):
    """This machine starts no processes that talk to each other."""


class ProcessFailed(RuntimeError):
    """The program failed on one of the processes: the message has its last lines."""


def launch(program: Callable[..., Any], *arguments: Sequence[Any], size: int = 2, seconds: float = 120) -> list[Any]:
    """What `program(comm, ...)` returns on each of `size` processes; rank i gets the i-th of each of `arguments`.

    `program` may be a function of the notebook, with all that it calls. The processes are those of
    `torchrun --nproc-per-node=2`, talk through gloo on CPUs and through NCCL where there is a GPU for each. A machine
    that starts none is told in a sentence, and the ranks are simulated. Raises ProcessFailed where one fails, or
    where they have not ended after `seconds`.
    """
    try:
        return on_processes(program, *arguments, size=size, seconds=seconds)
    except NoProcesses as why:
        print(f"This machine starts no processes that talk to each other ({why}). The ranks are simulated instead.")
        return World(size).run(program, *arguments)


def on_processes(program: Callable[..., Any], *arguments: Sequence[Any], size: int, seconds: float = 120) -> list[Any]:
    """As `launch`, and raises NoProcesses where the machine starts none."""
    with tempfile.TemporaryDirectory(prefix="ranks") as name:
        folder = Path(name)
        (folder / PROGRAM).write_bytes(cloudpickle.dumps((program, [list(given) for given in arguments])))
        status, said = _run(command(size, folder), seconds)
        if status is None:
            raise ProcessFailed(f"the processes have not ended after {seconds:g} seconds")
        if status:
            raise _failure(folder, size, said)
        return [cloudpickle.loads((folder / RESULT.format(rank=rank)).read_bytes()) for rank in range(size)]


def command(size: int, folder: Path) -> list[str]:
    """What starts the processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={size}"]
    place = ["--master-addr=127.0.0.1", f"--master-port={_free_port()}"]
    return [*torchrun, *place, "-m", "coursekit.world.worker", str(folder)]


def _run(words: list[str], seconds: float) -> tuple[int | None, str]:
    """The exit status and all that was said; no status where they have not ended in time."""
    settings = {"OMP_NUM_THREADS": "1"} | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, env=os.environ | settings, **pipes) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
            return process.returncode, said
        except BaseException as error:  # whoever waits gives up, or it takes too long: torchrun ends its processes
            process.terminate()
            if isinstance(error, subprocess.TimeoutExpired):
                return None, ""
            raise


def _failure(folder: Path, size: int, said: str) -> RuntimeError:
    errors = sorted(folder.glob(ERROR.format(rank="*")), key=lambda file: file.stat().st_mtime)
    told = errors[0].read_text() if errors else said  # of the one that failed first; the others miss it
    lines = [line for line in told.strip().splitlines() if line.strip()]
    if all((folder / JOINED.format(rank=rank)).exists() for rank in range(size)):
        return ProcessFailed("a process failed:\n" + "\n".join(lines[-_LINES:]))
    return NoProcesses(lines[-1] if lines else "nothing was said")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
