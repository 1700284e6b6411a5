"""Threads that hand on a baton: exactly one of them runs, until it has to wait."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch


class Deadlock(RuntimeError):
    """Every rank that has not ended waits for something that nobody will do."""


class NotItsOwn(RuntimeError):
    """A rank uses the comm of another one."""


class Abandoned(BaseException):
    """Another rank has failed: this one has nobody left to talk to."""


class Baton:
    """Threads of which one runs; it hands on when it has to wait, or ends."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.turns = [threading.Semaphore(0) for _ in range(size)]
        self.ready: list[Callable[[], bool]] = [lambda: True] * size
        self.why: list[Callable[[], str]] = [str] * size
        self.done = [False] * size
        self.error: BaseException | None = None  # the first one: it ends the run
        self.running = 0

    def run(self, bodies: Sequence[Callable[[], Any]]) -> list[Any]:
        results: list[Any] = [None] * self.size
        grad = torch.is_grad_enabled()

        def live(rank: int) -> None:
            self._take(rank)
            try:
                if self.error is None:
                    # In this thread, on a GPU too: a hook of one rank that waits must not keep the others' waiting.
                    with torch.autograd.set_multithreading_enabled(False), torch.set_grad_enabled(grad):
                        results[rank] = bodies[rank]()
                        if torch.is_grad_enabled() != grad:  # which ends with the thread, and not with a process
                            raise RuntimeError(
                                "gradients are switched on or off for everything that comes after: use `with "
                                "torch.no_grad():`, which ends with its lines"
                            )
            except Abandoned:
                pass
            except BaseException as error:
                error.add_note(f"on rank {rank} of {self.size}")
                self.error = self.error or error
            finally:
                self.done[rank] = True
                self._hand_on(rank)

        threads = [threading.Thread(target=live, args=(rank,), daemon=True) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        self.turns[0].release()
        try:
            for thread in threads:
                thread.join()
        except BaseException as interrupted:  # whoever waits gives up: nobody goes on computing behind their back
            self.error = self.error or interrupted
            _interrupt(threads[self.running])
            raise
        if self.error is not None:
            raise self.error
        return results

    def wait(self, rank: int, ready: Callable[[], bool], why: Callable[[], str]) -> None:
        """Go on when `ready()`. Raises Deadlock where that will never be, and ends with another rank's error."""
        self.check(rank)
        if ready():
            return
        self.ready[rank], self.why[rank] = ready, why
        if self._hand_on(rank):
            self._take(rank)
        self.check(rank)
        if not ready():
            raise Deadlock(self._everybody())
        self.ready[rank] = lambda: True

    def check(self, rank: int) -> None:
        """Raises Abandoned where the run has failed, and NotItsOwn where it is another rank's turn."""
        if self.error is not None:
            raise Abandoned
        if rank != self.running:  # it would wait in that one's place, and nobody could hand on
            raise NotItsOwn(
                f"rank {self.running} uses the comm of rank {rank}: what is kept on a class or in a global name "
                "belongs to all ranks, and each finds there what another one has put"
            )

    def _take(self, rank: int) -> None:
        self.turns[rank].acquire()
        self.running = rank

    def _hand_on(self, rank: int) -> bool:
        """Wake the next rank that can go on, or any where the run has failed; False where nobody can."""
        others = [(rank + i) % self.size for i in range(1, self.size)]
        for other in others:
            if not self.done[other] and (self.error is not None or self.ready[other]()):
                self.turns[other].release()
                return True
        if self.done[rank]:  # and the others wait for ever: one of them finds it out
            left = [other for other in others if not self.done[other]]
            if left:
                self.turns[min(left)].release()
        return False

    def _everybody(self) -> str:
        told = ("has ended" if done else why() for done, why in zip(self.done, self.why, strict=True))
        return "; ".join(f"rank {rank} {what}" for rank, what in enumerate(told))


def _interrupt(thread: threading.Thread) -> None:
    if thread.ident and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Abandoned))
