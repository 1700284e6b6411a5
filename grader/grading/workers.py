"""Several submissions at once on this machine: processes that are reached over pipes, and by nobody else.

A scheduler with a port, on the loopback too, lets every user of the machine run code as the grader. Each worker here
has one end of a pipe, which no other process can open. One that dies is replaced, and what it graded is graded again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
TRIES = 3  # of one task whose worker dies; its neighbours have tries of their own
_SPAWN = multiprocessing.get_context("spawn")  # a fork would take along threads and the gradebook's connection


class Failed(RuntimeError):
    """What went wrong in a worker, with the error's type in front."""


class _Worker(Generic[T, R]):
    """One process that does a task at a time."""

    def __init__(self, work: Callable[[T], R]) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, work))
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def end(self, at_once: bool = False) -> None:
        """Let it end by itself, or kill it. Nothing of a kernel survives either way."""
        self.connection.close()
        if at_once:
            self._process.kill()
        self._process.join()
        self._process.close()


def spread(tasks: Iterable[T], work: Callable[[T], R], workers: int) -> Iterator[tuple[T, R | Failed]]:
    """What `work` gives for each task, in the order in which it comes. `work` is pickled, and so is what it gives."""
    rest = deque((task, 1) for task in tasks)
    idle: list[_Worker[T, R]] = [_Worker(work) for _ in range(min(workers, len(rest)))]
    busy: dict[Any, tuple[_Worker[T, R], T, int]] = {}
    done = False
    try:
        while rest or busy:
            while rest and idle:
                worker, (task, tries) = idle.pop(), rest.popleft()
                busy[worker.connection] = worker, task, tries
                with contextlib.suppress(OSError):  # it is dead, which is seen below
                    worker.connection.send(task)
            for connection in wait([*busy]):
                worker, task, tries = busy.pop(connection)
                try:
                    result = worker.connection.recv()
                except (EOFError, OSError):
                    worker.end(at_once=True)
                    idle.append(_Worker(work))
                    if tries < TRIES:
                        rest.appendleft((task, tries + 1))
                    else:
                        yield task, Failed(f"the process that graded it ended {tries} times before it was done")
                    continue
                idle.append(worker)
                yield task, result
        done = True
    finally:
        for worker in (*idle, *(worker for worker, _, _ in busy.values())):
            worker.end(at_once=not done)


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    """Runs in the worker, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the coordinator, which then ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send_bytes(_attempted(work, task))


def _attempted(work: Callable[[Any], Any], task: Any) -> bytes:
    """What comes of a task, as bytes: an error's type and text, for not every error can be sent."""
    try:
        return pickle.dumps(work(task))
    except Exception as error:
        return pickle.dumps(Failed(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """In the middle of a submission, too: a coordinator that was killed leaves nothing running."""
    parent = multiprocessing.parent_process()
    assert parent  # this is a child
    wait([parent.sentinel])
    os._exit(1)
