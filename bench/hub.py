"""`make load`: a class on a real hub. Learners log in, open a chapter, run checks and hand in, until one fails.

Each is a system user with a server and a kernel of its own. The first few have ordinary kernels, the others kernels
forked from the warm parent: in one run, on one machine, under growing load. In the end some come all at once. Prints
tables; nothing here passes or fails. Memory is PSS: pages that several processes share are divided among them.
"""

from __future__ import annotations

import os
import pwd
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hub.classroom import Classroom, missing
from tests.hub.learner import Learner, released

READY = "import torch, transformers, matplotlib.pyplot\nfrom coursekit import check, use"
WORK = (
    "def softmax(x, dim):\n    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)",
    'check("attention.softmax", softmax)',
    "def sdpa(Q, K, V):\n    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V",
    'check("attention.sdpa", sdpa)',
)
FRESH, WARM, TOGETHER = "python3-fresh", "python3", "at once"
RESERVE = 2 << 30  # bytes that stay free: this measures the hub, not the machine's death


@dataclass
class Visit:
    """What one learner waited for, in seconds, and holds, in MiB."""

    kind: str
    server: float = 0.0
    kernel: float = 0.0
    checks: float = 0.0
    submit: float = 0.0
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    server_memory: float = 0.0
    kernel_memory: float = 0.0


def visit(room: Classroom, name: str, kind: str) -> Visit:
    """One learner's first minutes; the server and the kernel stay."""
    done = Visit(kind)
    try:
        began = time.perf_counter()
        learner = Learner(room, name).login().start_server()
        done.server = time.perf_counter() - began
        learner.home()
        learner.act("fetch")
        began = time.perf_counter()
        kernel = learner.kernel(FRESH if kind == FRESH else WARM)
        kernel.execute(READY)
        done.kernel = time.perf_counter() - began
        began = time.perf_counter()
        for number, cell in enumerate(WORK):
            said = kernel.execute(cell)
            if number % 2 and not said.strip().startswith("2"):
                done.failed.append(f"check: {said[:200]}")
        done.checks = time.perf_counter() - began
        began = time.perf_counter()
        if "Handed in" not in learner.act("submit"):
            done.failed.append("submit")
        done.submit = time.perf_counter() - began
    except Exception as error:
        done.failed.append(f"{type(error).__name__}: {str(error)[:200]}")
    done.requests = 6 + len(WORK)
    return done


def memory(names: dict[int, Visit]) -> tuple[float, float]:
    """Fill in each visit's memory by user id; PSS in MiB of the warm parent and of the hub with its services."""
    parent = rest = 0.0
    for visit in names.values():
        visit.server_memory = visit.kernel_memory = 0.0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            uid = folder.stat().st_uid
            command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            held = _pss(folder)
        except OSError:
            continue
        if uid in names:
            kernel = "hub.warm" in command or "ipykernel_launcher" in command
            part = "kernel_memory" if kernel else "server_memory"
            setattr(names[uid], part, getattr(names[uid], part) + held)
        elif "hub.warm" in command:
            parent += held
        elif "jupyterhub" in command or "configurable-http-proxy" in command:
            rest += held
    return parent, rest


def _pss(folder: Path) -> float:
    for line in (folder / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def available() -> int:
    """Bytes that can still be used."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def run(learners: int, fresh: int, together: int) -> None:
    room = Classroom([f"l{number:03d}" for number in range(learners + together)])
    visits: dict[int, Visit] = {}
    ended = f"all {learners} learners were served: nothing broke"
    try:
        room.start()
        released(room)
        print(f"{learners} learners, {fresh} of them with ordinary kernels; {os.cpu_count()} cores, ", end="")
        print(f"{available() >> 20} MiB free at the start", flush=True)
        for number, name in enumerate(room.learners[:learners]):
            if available() < RESERVE:
                ended = f"memory: {available() >> 20} MiB were left before learner {number + 1}"
                break
            done = visit(room, name, FRESH if number < fresh else WARM)
            visits[pwd.getpwnam(name).pw_uid] = done
            print(f"{name} {done.kind:<14} server {done.server:5.1f} s  kernel {done.kernel:6.2f} s  ", end="")
            print(f"checks {done.checks:5.2f} s  submit {done.submit:5.2f} s  {available() >> 20} MiB free", flush=True)
            if done.failed:
                ended = f"learner {number + 1}: {'; '.join(done.failed)}"
                break
        else:
            crowd = room.learners[learners:]
            with ThreadPoolExecutor(together) as pool:
                found = pool.map(lambda name: visit(room, name, TOGETHER), crowd)
            visits |= {pwd.getpwnam(name).pw_uid: done for name, done in zip(crowd, found, strict=True)}
            if failed := [told for done in visits.values() for told in done.failed]:
                ended = f"{together} learners at once: {'; '.join(failed)}"
        parent, rest = memory(visits)
        report(list(visits.values()), parent, rest)
        print(f"\nwhat broke first: {ended}")
    finally:
        room.remove()


def report(visits: list[Visit], parent: float, rest: float) -> None:
    """Medians and 95th percentiles by kind of kernel."""
    kinds = {kind: [v for v in visits if v.kind == kind and not v.failed] for kind in (FRESH, WARM, TOGETHER)}
    rows = ("server", "kernel", "checks", "submit", "server_memory", "kernel_memory")
    print(f"\n{'':<30} {'ordinary kernels':>24} {'warm kernels':>24} {'warm, all at once':>24}")
    print(f"{'learners':<30} {''.join(f'{len(some):>25}' for some in kinds.values())[1:]}")
    for row in rows:
        unit = "MiB" if "memory" in row else "s"
        cells = "".join(f"{_two([getattr(v, row) for v in some]):>25}" for some in kinds.values())
        print(f"{row.replace('_', ' ') + f', {unit}: median, p95':<30} {cells[1:]}")
    requests, failed = sum(v.requests for v in visits), sum(len(v.failed) for v in visits)
    print(f"requests {requests}, failed {failed}")
    print(f"shared by all: the warm parent {parent:.0f} MiB, hub, proxy and services {rest:.0f} MiB")


def _two(values: list[float]) -> str:
    if not values:
        return "-"
    ranked = sorted(values)
    return f"{statistics.median(values):.2f}, {ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]:.2f}"


def main() -> None:
    """Measure a class of LEARNERS, FRESH and TOGETHER. Ends with a sentence where no hub can run."""
    if why := missing():
        sys.exit(why)
    run(*(int(os.environ.get(name, most)) for name, most in (("LEARNERS", "40"), ("FRESH", "8"), ("TOGETHER", "8"))))
