"""Grade many submissions: at once on this machine or on a cluster, and written by one process.

A coordinator takes submissions in, sends them to workers as self-contained jobs, keeps each result the moment it
comes back, and has nbgrader write it to the gradebook. Killed at any moment, the same command goes on where it
stopped: what is stored is not graded again, what is written is not written again.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from grader.authoring.notebook import grade_id_of
from grader.grading import cluster
from grader.grading.cluster import Scheduler
from grader.grading.names import refusal
from grader.grading.pipeline import Job, Plan, ahead, grade, grades_made_by, plan, settled
from grader.grading.pipeline import run as run_kernel
from grader.grading.running import Limits, Ran, Runner, shared_runner
from grader.grading.store import STATE, Graded, Store
from grader.grading.workers import Failed, spread

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
    """What to grade and how.

    `record` writes one stored result to the gradebook, `written` says whether it is there as it stands, and `reset`
    takes back what an earlier attempt of a learner earned.
    """

    course: Path
    assignment: str
    prepare: Callable[[str, Path], Job]
    record: Callable[[Job], None]
    written: Callable[[Job], bool]
    reset: Callable[[str], None]
    limits: Limits
    unprotected: bool = False
    force: bool = False


def run(
    batch: Batch,
    folders: dict[str, Path],
    runner: Runner,
    jobs: int,
    scheduler: Scheduler | None,
    progress: Progress,
) -> list[Line]:
    """Grade and record every submission; one that fails is told in its line. Raises Busy.

    `runner` grades here, or lends its parent to the workers of this machine.
    """
    state = batch.course / STATE
    state.mkdir(mode=0o700, exist_ok=True)
    lock = FileLock(state / f"{batch.assignment}.lock", timeout=0)
    try:
        # Closed whatever happens: whoever reads what we print may be gone, and workers would wait for jobs for ever.
        with lock, contextlib.closing(_lines(batch, folders, runner, jobs, scheduler)) as lines:
            return [_told(line, progress) for line in lines]
    except Timeout:
        raise Busy(f"another run is grading {batch.assignment}: wait for it, or end it") from None


def _told(line: Line, progress: Progress) -> Line:
    progress(line)
    return line


def _lines(
    batch: Batch, folders: dict[str, Path], runner: Runner, jobs: int, scheduler: Scheduler | None
) -> Generator[Line]:
    store = Store(batch.course / STATE / "results")
    waiting: list[Job] = []
    for student, folder in folders.items():
        if why := refusal(student):
            yield Line(student, "failed", told=f"{why}: it was not graded")
            continue
        job = _attempted(partial(batch.prepare, student, folder))
        if isinstance(job, Exception):
            yield _reset(batch, student, job)
            continue
        stored = None if batch.force else store.get(job.key)
        if stored is None:
            waiting.append(job)
        else:
            yield _recorded(batch, job, stored, not batch.written(job))
    # One thread writes to the gradebook while the next submission is graded.
    with (
        ThreadPoolExecutor(1) as writer,
        contextlib.closing(_grading(batch, waiting, runner, jobs, scheduler)) as grading,
    ):
        written: deque[Future[Line]] = deque()
        for job, result in grading:
            if isinstance(result, Graded):
                store.put(result)  # first: from here on a kill costs nothing
                written.append(writer.submit(_recorded, batch, job, result, True))
            else:
                written.append(writer.submit(_reset, batch, job.student, result))
            while written and written[0].done():
                yield written.popleft().result()
        yield from (line.result() for line in written)


def _grading(
    batch: Batch, jobs: Sequence[Job], runner: Runner, workers: int, scheduler: Scheduler | None
) -> Generator[tuple[Job, Result]]:
    """Results in the order in which they come: from a cluster, from processes of this machine, or from this process."""
    if not jobs:
        return
    if scheduler:
        environment = grades_made_by(batch.assignment)
        work = partial(_on_cluster, unprotected=batch.unprotected, limits=batch.limits, environment=environment)
        yield from cluster.spread(jobs, work, scheduler)
    elif workers > 1:
        lent = runner.ready()
        work = partial(_in_worker, unprotected=batch.unprotected, limits=batch.limits, parent=lent)
        yield from spread(jobs, work, workers)
    else:
        yield from _inline(batch, jobs, runner)


def _reset(batch: Batch, student: str, error: BaseException) -> Line:
    """Take back what an earlier attempt earned: this one could not be graded."""
    told = _sentence(error)
    try:
        batch.reset(student)
    except Exception as another:
        told += f"; the earlier attempt's points stay in the gradebook: {_sentence(another)}"
    return Line(student, "failed", told=told)


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"


def _recorded(batch: Batch, job: Job, result: Graded, write: bool) -> Line:
    possible = sum(
        cell.metadata.nbgrader.points for cell in result.notebook.cells if grade_id_of(cell) in result.scores
    )
    points = sum(result.scores.values())
    try:
        if write:
            batch.record(job)
    except Exception as error:
        return Line(job.student, "failed", points, possible, f"not written to the gradebook: {error}")
    told = result.reason or (result.flags[0] if result.flags else "")
    return Line(job.student, "flagged" if result.flags else "graded", points, possible, told)


Result = Graded | BaseException


def _inline(batch: Batch, jobs: Sequence[Job], runner: Runner) -> Generator[tuple[Job, Result]]:
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


def _in_worker(job: Job, unprotected: bool, limits: Limits, parent: Path | None) -> Graded:
    """Runs in a worker, which never runs the learner's code itself: its runner forks a contained kernel."""
    return grade(job, shared_runner(unprotected, parent), limits)


def _on_cluster(job: Job, unprotected: bool, limits: Limits, environment: str) -> Graded:
    """The same on another machine, whose copy of the grader must be the coordinator's."""
    if (mine := grades_made_by(job.assignment)) != environment:
        raise RuntimeError(
            f"this worker's grader, coursekit or libraries are not the coordinator's ({mine[:8]}, expected "
            f"{environment[:8]}): install the same on both"
        )
    return grade(job, shared_runner(unprotected), limits)
