"""What the processes of a contained kernel hold of the machine's memory, as their monitor sees it in /proc.

Imports nothing but the standard library, so that a probe can load it without the course.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Bytes: what a Unix socket's buffer may hold (`linux` lets nobody enlarge it), and Linux's description of a mapping.
_BUFFER, _MAPPING, _MOST_MAPPINGS = 1 << 18, 512, 65_530


def memory(scratch: str) -> int:
    """Bytes that all processes of a kernel's namespace hold together, with the files in `scratch`.

    What Linux keeps for them counts too: page tables, descriptions of mappings, and what lies in sockets.
    """
    disk = os.statvfs(scratch)
    total = (disk.f_blocks - disk.f_bfree) * disk.f_frsize + _in_sockets()
    for name in os.listdir("/proc"):
        if name.isdigit():
            # Gone meanwhile: holds nothing.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += _held(name) + _kept_for(name)
    return total


def _held(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            names = ("Pss_Anon:", "Pss_Shmem:")
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(names))
    except PermissionError:  # it hides; then what it shares counts too
        with open(f"/proc/{pid}/status") as file:
            names = ("RssAnon:", "RssShmem:")
            return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(names))


def _kept_for(pid: str) -> int:
    """Bytes of Linux's own for a process: its page tables, and a description of each mapping."""
    with open(f"/proc/{pid}/status") as file:
        tables = next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmPTE:")), 0)
    try:
        with open(f"/proc/{pid}/maps", "rb", buffering=1 << 16) as file:
            return tables + _MAPPING * sum(1 for _ in file)
    except PermissionError:  # it hides: as many as it may have
        return tables + _MAPPING * _MOST_MAPPINGS


def _in_sockets() -> int:
    """Bytes that sockets of the namespace may hold, also those that no process has open: sent along, not yet accepted.

    How much lies in a Unix socket is told nowhere: each counts as what it may hold. Queues over the loopback are told.
    """
    network = Path("/proc/1/net")  # gone with the kernel
    local = sum(len(_rows(network / name)) for name in ("unix", "netlink"))
    inet = (row.split()[4].split(":") for name in ("tcp", "tcp6", "udp", "udp6") for row in _rows(network / name))
    return _BUFFER * local + 2 * sum(int(size, 16) for queues in inet for size in queues)


def _rows(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return []
