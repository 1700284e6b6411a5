"""Limits for everything that one user runs: control groups where they can be made, and limits of each process.

Imports only the standard library: the hub and the warm parent, which are root, load it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAME = "coursekit"
_PERIOD = 100_000  # microseconds, for CPU time


@dataclass(frozen=True)
class Bounds:
    """For one user: bytes, processes and threads, processors."""

    memory: int
    processes: int
    cpus: float


def _files(bounds: Bounds) -> dict[str, dict[str, str]]:
    """What is written where, by version of control groups and controller."""
    quota, memory, tasks = str(int(bounds.cpus * _PERIOD)), str(bounds.memory), str(bounds.processes)
    v2 = {"memory.max": memory, "memory.swap.max": "0", "pids.max": tasks, "cpu.max": f"{quota} {_PERIOD}"}
    return {
        "": v2,
        "memory": {"memory.limit_in_bytes": memory},
        "pids": {"pids.max": tasks},
        "cpu": {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": quota},
    }


def _controllers() -> list[str]:
    """The hierarchies of this machine: one (v2), or one for each controller (v1)."""
    if (ROOT / "cgroup.controllers").exists():
        return [""]
    return [name for name in ("memory", "pids", "cpu") if (ROOT / name / "cgroup.procs").exists()]


def prepare(uid: int, bounds: Bounds) -> list[Path]:
    """Make the control groups of one user; the files into which a process writes itself. Needs root.

    Empty where this machine has none that can be written: then the limits of each process are all there is.
    """
    entrances = []
    for controller in _controllers():
        top = ROOT / controller / NAME
        group = top / str(uid)
        try:
            if not controller:
                _hand_down(top)
            group.mkdir(parents=True, exist_ok=True)
            for name, value in _files(bounds)[controller].items():
                with contextlib.suppress(FileNotFoundError):  # a kernel without swap accounting, for example
                    (group / name).write_text(value)
        except OSError:
            continue
        entrances.append(group / "cgroup.procs")
    return entrances


def _hand_down(top: Path) -> None:
    """In version 2 a group controls what its parent lets it control."""
    top.mkdir(exist_ok=True)
    for folder in (top.parent, top):
        for controller in ("memory", "pids", "cpu"):
            with contextlib.suppress(OSError):
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def enter(entrances: list[Path], bounds: Bounds) -> None:
    """Take this process, and all that it starts, into the user's limits. Called as root, before becoming the user."""
    for entrance in entrances:
        entrance.write_text(str(os.getpid()))
    most = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: bounds.processes,
        resource.RLIMIT_DATA: bounds.memory,
        resource.RLIMIT_NOFILE: 4096,
    }
    for name, value in most.items():
        resource.setrlimit(name, (value, value))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("300")  # where memory runs out, a learner goes before the hub
    os.umask(0o077)


def end(uid: int) -> None:
    """Kill what one user still runs within the limits, and remove the control groups that are empty then."""
    for controller in _controllers():
        group = ROOT / controller / NAME / str(uid)
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            group.rmdir()
