"""Grade many submissions: at once on this machine or on a cluster, and written by one process.

A coordinator takes submissions in, sends them to workers as self-contained jobs, keeps each result the moment it
comes back, and has nbgrader write it to the gradebook. Killed at any moment, the same command goes on where it
stopped: what is stored is not graded again, what is written is not written again.
"""

from __future__ import annotations

import contextlib
import glob
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from grader.authoring.notebook import grade_id_of
from grader.grading.pipeline import Job, Plan, ahead, grade, plan, settled
from grader.grading.pipeline import run as run_kernel
from grader.grading.running import Limits, Ran, Runner, shared_runner
from grader.grading.secret import STATE
from grader.grading.store import Graded, Store

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 3
T = TypeVar("T")
Progress = Callable[["Line"], None]


class Busy(RuntimeError):
    """Another run grades this assignment."""


@dataclass(frozen=True)
class Line:
    """What became of one submission: `status` is graded, flagged or failed."""

    student: str
    status: str
    points: float = 0.0
    possible: float = 0.0
    told: str = ""


@dataclass(frozen=True)
class Batch:
    """What to grade and how. `record` writes one stored result to the gradebook, `written` says whether it is there."""

    course: Path
    assignment: str
    prepare: Callable[[str, Path], Job]
    record: Callable[[Job], None]
    written: Callable[[Job], bool]
    limits: Limits
    unprotected: bool = False
    force: bool = False


def submissions(course: Path, pattern: str, form: str, students: Sequence[str]) -> dict[str, Path]:
    """Folders by student. Raises LookupError naming the students that have none."""
    found = {m["student"]: Path(p) for p in sorted(glob.glob(pattern)) if (m := re.fullmatch(form, p))}
    if missing := [name for name in students if name not in found]:
        raise LookupError(f"no submission of {', '.join(missing)} in {course}")
    return {name: path for name, path in found.items() if not students or name in students}


def run(
    batch: Batch, folders: dict[str, Path], runner: Runner, jobs: int, scheduler: str, progress: Progress
) -> list[Line]:
    """Grade and record every submission; one that fails is told in its line. Raises Busy.

    `runner` grades here, or lends its parent to the workers of this machine.
    """
    state = batch.course / STATE
    state.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(state / f"{batch.assignment}.lock", timeout=0)
    try:
        with lock:
            return [_told(line, progress) for line in _lines(batch, folders, runner, jobs, scheduler)]
    except Timeout:
        raise Busy(f"another run is grading {batch.assignment}: wait for it, or end it") from None


def _told(line: Line, progress: Progress) -> Line:
    progress(line)
    return line


def _lines(batch: Batch, folders: dict[str, Path], runner: Runner, jobs: int, scheduler: str) -> Iterator[Line]:
    store = Store(batch.course / STATE / "results")
    waiting: list[Job] = []
    for student, folder in folders.items():
        job = _attempted(partial(batch.prepare, student, folder))
        if isinstance(job, Exception):
            yield Line(student, "failed", told=f"{type(job).__name__}: {job}")
            continue
        stored = None if batch.force else store.get(job.key)
        if stored is None:
            waiting.append(job)
        else:
            yield _recorded(batch, job, stored)
    if jobs == 1 and not scheduler:
        grading = _inline(batch, waiting, runner)
    else:
        grading = _on_dask(batch, waiting, runner, jobs, scheduler)
    # One thread writes to the gradebook while the next submission is graded.
    with ThreadPoolExecutor(1) as writer:
        written: deque[Future[Line]] = deque()
        for job, result in grading:
            if isinstance(result, Graded):
                store.put(result)  # first: from here on a kill costs nothing
                written.append(writer.submit(_recorded, batch, job, result))
            else:
                yield Line(job.student, "failed", told=f"{type(result).__name__}: {result}")
            while written and written[0].done():
                yield written.popleft().result()
        yield from (line.result() for line in written)


def _recorded(batch: Batch, job: Job, result: Graded) -> Line:
    possible = sum(
        cell.metadata.nbgrader.points for cell in result.notebook.cells if grade_id_of(cell) in result.scores
    )
    points = sum(result.scores.values())
    try:
        if batch.force or not batch.written(job):
            batch.record(job)
    except Exception as error:
        return Line(job.student, "failed", points, possible, f"not written to the gradebook: {error}")
    told = result.reason or (result.flags[0] if result.flags else "")
    return Line(job.student, "flagged" if result.flags else "graded", points, possible, told)


Result = Graded | BaseException


def _inline(batch: Batch, jobs: Sequence[Job], runner: Runner) -> Iterator[tuple[Job, Result]]:
    """One kernel at a time; while it runs, the next inputs are drawn and the answers of the last one judged."""
    kernel = ThreadPoolExecutor(1)
    begun: deque[tuple[Job, Callable[[], Graded] | Exception]] = deque()
    try:
        for job in jobs:
            begun.append((job, _attempted(partial(_begin, batch, job, runner, kernel))))
            if len(begun) > 1:
                yield _finished(*begun.popleft())
        while begun:
            yield _finished(*begun.popleft())
    finally:
        # Nobody waits for a kernel after Ctrl-C: it ends with the runner's parent.
        kernel.shutdown(wait=False, cancel_futures=True)


def _begin(batch: Batch, job: Job, runner: Runner, kernel: ThreadPoolExecutor) -> Callable[[], Graded]:
    ahead(job, runner, batch.limits)
    planned = plan(job)

    def submit(plan: Plan) -> Future[Ran]:
        return kernel.submit(run_kernel, plan, runner, batch.limits)

    first = submit(planned)
    return lambda: settled(planned, lambda plan: (first if plan is planned else submit(plan)).result())


def _finished(job: Job, begun: Callable[[], Graded] | Exception) -> tuple[Job, Result]:
    return job, begun if isinstance(begun, Exception) else _attempted(begun)


def _attempted(step: Callable[[], T]) -> T | Exception:
    """What `step` gives, or the error that it raises: one submission's failure is not the others' concern."""
    try:
        return step()
    except Exception as error:
        return error


def _on_dask(
    batch: Batch, jobs: Sequence[Job], runner: Runner, workers: int, scheduler: str
) -> Iterator[tuple[Job, Result]]:
    """Results in the order in which they come. A few jobs for each worker are under way at once."""
    if not jobs:
        return
    from distributed import as_completed

    with _client(workers, scheduler) as client:
        parent = None if scheduler else runner.ready()
        rest, running = iter(jobs), {}
        ahead = 2 * max(1, len(client.scheduler_info()["workers"]), workers if not scheduler else 1)
        order = as_completed()

        def send() -> None:
            for job in rest:
                arguments = (job, batch.unprotected, batch.limits, parent)
                future = client.submit(_in_worker, *arguments, retries=RETRIES, pure=False)
                running[future] = job
                order.add(future)
                return

        for _ in range(ahead):
            send()
        for future in order:
            error = future.exception()
            yield running.pop(future), error if error is not None else future.result()
            send()


@contextlib.contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Client]:
    import dask
    from distributed import Client, LocalCluster

    # A submission that takes three workers along has used up its chances; its neighbours have not.
    dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
    if scheduler:
        with Client(scheduler) as client:
            yield client
        return
    # Daemons may not have children, and a worker may need a warm parent of its own. Nobody looks at the profiles, for
    # which each worker would look at its threads a hundred times a second.
    dask.config.set({"distributed.worker.daemon": False, "distributed.worker.profile.enabled": False})
    options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with LocalCluster(processes=True, **options) as cluster, Client(cluster) as client:
        yield client


def _in_worker(job: Job, unprotected: bool, limits: Limits, parent: Path | None) -> Graded:
    """Runs in a worker, which never runs the learner's code itself: its runner forks a contained kernel."""
    return grade(job, shared_runner(unprotected, parent), limits)
