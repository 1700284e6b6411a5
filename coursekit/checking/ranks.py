"""Several ranks that send each other messages, as threads of one process; a deadlock is told, not waited for."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from torch import Tensor

from coursekit.checking.probing import Wrong


class World:
    """What the ranks of one run share: who waits for whom, and messages on their way."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.changed = threading.Condition()
        self.messages: dict[tuple[int, int], deque[Tensor]] = defaultdict(deque)
        self.waits: dict[int, int] = {}
        self.running = size
        self.deadlock = ""

    def stuck(self) -> bool:
        """Whether every rank that has not ended waits for a message that nobody has sent."""
        waiting = [rank for rank, source in self.waits.items() if not self.messages[source, rank]]
        return len(waiting) == self.running > 0


class Rank:
    """One rank of `size`: `send(x, to)` returns at once, `receive(source)` waits for the next message from there."""

    def __init__(self, world: World, rank: int) -> None:
        self._world, self.rank, self.size = world, rank, world.size

    def send(self, x: Tensor, to: int) -> None:
        """Leave a copy of x for the rank `to`. Raises Wrong where there is no such rank."""
        with self._world.changed:
            self._world.messages[self.rank, self._known(to)].append(x.detach().clone())
            self._world.changed.notify_all()

    def receive(self, source: int) -> Tensor:
        """The next message from the rank `source`. Raises Wrong where every rank waits and nobody sends."""
        world, way = self._world, (self._known(source), self.rank)
        with world.changed:
            world.waits[self.rank] = source
            while not world.messages[way] and not world.deadlock:
                if world.stuck():
                    told = ", ".join(f"rank {rank} for rank {other}" for rank, other in sorted(world.waits.items()))
                    world.deadlock = f"nobody sends and everybody waits: {told}"
                    world.changed.notify_all()
                else:
                    world.changed.wait()
            del world.waits[self.rank]
            if not world.messages[way]:
                raise Wrong(world.deadlock)
            return world.messages[way].popleft()

    def _known(self, rank: int) -> int:
        if rank not in range(self.size):
            raise Wrong(f"rank {self.rank} names rank {rank}; there are {self.size}, 0 to {self.size - 1}")
        return rank


def run(program: Callable[..., Any], *arguments: list[Any]) -> list[Any]:
    """What `program(rank, ...)` returns on each rank, where rank i gets the i-th of each list of `arguments`.

    Raises the first rank's error.
    """
    world = World(len(arguments[0]))
    results: list[Any] = [None] * world.size
    errors: dict[int, BaseException] = {}

    def body(i: int) -> None:
        try:
            results[i] = program(Rank(world, i), *(argument[i] for argument in arguments))
        except BaseException as error:
            errors[i] = error
        with world.changed:
            world.running -= 1
            world.changed.notify_all()

    threads = [threading.Thread(target=body, args=(i,), daemon=True) for i in range(world.size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        # A rank that fails leaves others waiting: its own error says more than theirs.
        raise min(errors.items(), key=lambda item: (isinstance(item[1], Wrong), item[0]))[1]
    return results
