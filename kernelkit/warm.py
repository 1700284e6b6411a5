"""Start a warm parent, find the one that is running, and ask it for kernels."""

from __future__ import annotations

import array
import hashlib
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

# Read when a package is imported: kernels with other values need another parent.
_READ_AT_IMPORT = ("HF_", "TRANSFORMERS_", "TORCH", "PYTORCH", "PYTHON", "OMP_", "MKL_", "CUDA_", "MPL", "KMP_", "LD_")
START_SECONDS = 120
# The environment variable with the folder in which a parent for all users of this machine listens, see hub/warm.py.
MACHINE = "KERNELKIT_MACHINE"


class NotWarm(RuntimeError):
    """Kernels cannot be forked here; the message says why."""


def possible() -> str:
    """Why this machine cannot fork kernels; empty when it can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return f"forking a kernel needs Linux, found {sys.platform}"
    return ""


def start(path: Path, preload: str, env: dict[str, str], idle: float, leash: bool) -> subprocess.Popen:
    """Start a parent that listens on `path` and has imported the module `preload`, and return at once."""
    if why := possible():
        raise NotWarm(why)
    options = ["--leash"] if leash else []
    # -P: the current folder may hold a learner's `torch.py`.
    command = [sys.executable, "-P", "-m", "kernelkit.server", str(path), f"--preload={preload}", f"--idle={idle}"]
    return subprocess.Popen(
        command + options,
        # NumPy's own pool would start on import; torch's starts on first use, in the kernel.
        env=env | {"OPENBLAS_NUM_THREADS": "1"},
        cwd="/",
        stdin=subprocess.PIPE if leash else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if leash else subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until_ready(path: Path, process: subprocess.Popen) -> None:
    """Return once the parent listens. Raises NotWarm with what it said where it has ended."""
    end = time.monotonic() + START_SECONDS
    while not path.exists():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            if time.monotonic() < end:
                continue
            process.kill()
            raise NotWarm(f"the warm parent was not ready after {START_SECONDS} s") from None
        said = process.stderr.read().decode(errors="replace").strip().splitlines() if process.stderr else []
        raise NotWarm(said[-1] if said else f"the warm parent ended with status {process.returncode}")


def ask(path: Path, request: dict, streams: tuple[int, ...] = ()) -> socket.socket:
    """Ask the parent at `path` for a kernel; the connection on which its monitor answers. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
        body = json.dumps(request).encode()
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))] if streams else []
        connection.sendmsg([struct.pack("!I", len(body))], extra)
        connection.sendall(body)
    except BaseException:
        connection.close()
        raise
    return connection


def shared_path(preload: str, env: dict[str, str]) -> Path:
    """The socket of this user's parent for kernels with that environment."""
    from jupyter_core.paths import jupyter_runtime_dir

    return shared_name(Path(jupyter_runtime_dir()), preload, env)


def machine_path(preload: str, env: dict[str, str]) -> Path | None:
    """The socket of the parent that serves every user of this machine, where there is one for that environment.

    Only root can have made it: whoever answers is given this user's code to run.
    """
    folder = env.get(MACHINE)
    path = shared_name(Path(folder), preload, env) if folder else None
    try:
        return path if path and path.stat().st_uid == path.parent.stat().st_uid == 0 else None
    except OSError:
        return None


def shared_name(folder: Path, preload: str, env: dict[str, str]) -> Path:
    """The socket in `folder` of a parent for kernels with that environment."""
    read = sorted((name, value) for name, value in env.items() if name.startswith(_READ_AT_IMPORT))
    key = hashlib.sha256(json.dumps([sys.executable, sys.version, preload, read, _code(preload)]).encode()).hexdigest()[
        :12
    ]
    return folder / f"warm-{key}.sock"


def _code(preload: str) -> list:
    """What changes when code is edited or a package is installed: a parent that imported the old one is left."""
    sources = [Path(sysconfig.get_path("purelib")), *Path(__file__).parent.rglob("*.py")]
    found = importlib.util.find_spec(preload.partition(".")[0])
    for folder in (found and found.submodule_search_locations) or ():
        sources += Path(folder).rglob("*.py")
    return sorted((str(path), path.stat().st_mtime_ns) for path in sources)
