"""Simulated ranks: threads that hand on a baton, so that exactly one of them runs, until it has to wait.

So every run of a program is the same run, and a deadlock is known at once: nobody can go on.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from coursekit.world import network
from coursekit.world.baton import Baton
from coursekit.world.comm import (
    OPERATIONS,
    Comm,
    Message,
    check_operation,
    check_parts,
    check_rank,
    check_rows,
    check_tensor,
    count,
    size_in_bytes,
)
from coursekit.world.network import Network, Share


class OutOfStep(RuntimeError):
    """Ranks have called different collectives, or one with different shapes."""


@dataclass(frozen=True)
class Span:
    """What a rank did on the simulated clock: "computes", "waits" or "reduces", with a label."""

    rank: int
    kind: str
    began: float
    ended: float
    label: str = ""

    def shifted(self, seconds: float) -> Span:
        """The same, so much later."""
        return replace(self, began=self.began + seconds, ended=self.ended + seconds)


@dataclass
class _Collective:
    """One collective of a group: who has come to it, with what, and what comes out."""

    kind: str
    given: dict[int, Any] = field(default_factory=dict)
    results: list[Any] | None = None
    began: float = 0.0
    ended: float = 0.0


class World:
    """`World(4).run(program, xs)` calls `program(comm, xs[rank])` on each of four ranks and returns their results.

    Afterwards `messages` holds what was sent, `spans` and `clocks` what the simulated clock says, `unread` how many
    messages nobody has received. `only` names the methods of a Comm that the program may call, where it may not call
    all. A rank's error ends the run and is raised; where all wait for each other it is a Deadlock that says who waits
    for what.
    """

    def __init__(self, size: int, wires: Network | None = None, only: Sequence[str] = ()) -> None:
        if size < 1:
            raise ValueError(f"a world has at least one rank, found size={size}")
        self.size, self.network, self.only = size, wires or Network(), tuple(only)
        self._begin()

    def _begin(self) -> None:
        self.messages: list[Message] = []
        self.spans: list[Span] = []
        self.clocks = [0.0] * self.size
        self.out, self.into = [0.0] * self.size, [0.0] * self.size  # when a rank's two directions are free again
        self.boxes: dict[Any, deque[tuple[Tensor, float]]] = defaultdict(deque)
        self.collectives: dict[Any, list[_Collective]] = defaultdict(list)
        self.baton = Baton(self.size)

    @property
    def unread(self) -> int:
        return sum(map(len, self.boxes.values()))

    def sent(self, rank: int, *kinds: str) -> int:
        """The bytes that a rank has sent, in all or in messages of these kinds."""
        return sum(m.bytes for m in self.messages if m.sender == rank and (not kinds or m.kind in kinds))

    def run(self, program: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
        """What `program(comm, ...)` returns on each rank; rank i gets the i-th of each of `arguments`."""
        for given in arguments:
            if len(given) != self.size:
                raise ValueError(f"there are {self.size} ranks, found {len(given)} arguments for them")
        self._begin()
        everybody = tuple(range(self.size))
        comms = [_Simulated(self, everybody, rank) for rank in everybody]
        bodies = [
            lambda comm=comm, given=given: program(comm, *given)
            for comm, given in zip(comms, zip(*arguments, strict=True) if arguments else [()] * self.size, strict=True)
        ]
        return self.baton.run(bodies)

    def wait(self, rank: int, ready: Callable[[], bool], why: Callable[[], str]) -> None:
        self.baton.wait(rank, ready, why)

    def span(self, rank: int, kind: str, until: float, label: str = "") -> None:
        """Set a rank's clock forward, and note what it did meanwhile."""
        if until > self.clocks[rank]:
            self.spans.append(Span(rank, kind, self.clocks[rank], until, label))
            self.clocks[rank] = until


class _Simulated(Comm):
    """A rank of a simulated world, or of a group of its ranks."""

    def __init__(self, world: World, members: tuple[int, ...], rank: int) -> None:
        self.world, self.members = world, members
        self.rank, self.size = rank, len(members)
        self._me = members[rank]
        self._calls = 0  # of collectives

    def send(self, x: Tensor, to: int) -> None:
        self._may("send")
        world, me = self.world, self._me
        numbers, copy = check_tensor(x, "send"), _copy(x)
        began = max(world.clocks[me], world.out[me])
        world.out[me] = began + world.network.seconds(0, size_in_bytes(copy))
        other = self.members[check_rank(self, to)]
        world.boxes[self.members, me, other].append((copy, began))
        ended = began + world.network.seconds(1, size_in_bytes(copy))
        world.messages.append(Message("send", me, other, count(numbers), size_in_bytes(copy), began, ended))

    def recv(self, source: int) -> Tensor:
        self._may("recv")
        world, me, other = self.world, self._me, self.members[check_rank(self, source)]
        box = world.boxes[self.members, other, me]
        world.wait(me, lambda: bool(box), lambda: f"waits for a message from rank {other}")
        x, began = box.popleft()
        # One after another comes in, the first no earlier than its latency after it was sent.
        arrives = max(began + world.network.latency, world.into[me]) + world.network.seconds(0, size_in_bytes(x))
        world.into[me] = arrives
        world.span(me, "waits", arrives, f"for rank {other}")
        return x.clone()  # the receiver's own memory

    def start_all_reduce(self, x: Tensor, op: str = "sum") -> _Started:
        self._may("start_all_reduce")
        return self._start_all_reduce(x, op)

    def all_reduce(self, x: Tensor, op: str = "sum") -> Tensor:
        self._may("all_reduce")
        return self._start_all_reduce(x, op).wait()

    def _start_all_reduce(self, x: Tensor, op: str) -> _Started:
        check_tensor(x, "all_reduce")
        kind = f"all_reduce of shape {tuple(x.shape)}" + (f", op={op!r}" if check_operation(op) != "sum" else "")

        def combine(given: list[Tensor]) -> list[Tensor]:
            return [_total(given, op)] * len(given)

        return self._start("all_reduce", kind, _copy(x), combine, network.all_reduce(self.size, count(x)))

    def reduce_scatter(self, x: Tensor) -> Tensor:
        self._may("reduce_scatter")
        check_rows(x, self.size, "reduce_scatter")
        kind = f"reduce_scatter of shape {tuple(x.shape)}"
        share = network.reduce_scatter(self.size, count(x))

        def combine(given: list[Tensor]) -> list[Tensor]:
            return list(_total(given, "sum"))

        return self._start("reduce_scatter", kind, _copy(x), combine, share).wait()

    def all_gather(self, x: Tensor) -> Tensor:
        self._may("all_gather")
        kind = f"all_gather of shape {tuple(check_tensor(x, 'all_gather').shape)}"
        share = network.all_gather(self.size, count(x))

        def combine(given: list[Tensor]) -> list[Tensor]:
            rows = torch.stack(given)
            return [rows for _ in given]

        return self._start("all_gather", kind, _copy(x), combine, share).wait()

    def all_to_all(self, parts: Sequence[Tensor]) -> list[Tensor]:
        self._may("all_to_all")
        mine = [_copy(part) for part in check_parts(parts, self.size)]
        elsewhere = sum(count(part) for other, part in enumerate(mine) if other != self.rank)

        def combine(given: list[list[Tensor]]) -> list[list[Tensor]]:
            return [[parts[rank] for parts in given] for rank in range(self.size)]

        return self._start("all_to_all", "all_to_all", mine, combine, Share(self.size - 1, elsewhere)).wait()

    def broadcast(self, x: Tensor, source: int = 0) -> Tensor:
        self._may("broadcast")
        check_tensor(x, "broadcast")
        if source not in range(self.size):
            raise ValueError(f"broadcast from rank {source}; there are {self.size}, 0 to {self.size - 1}")
        last = (source - 1) % self.size == self.rank
        share = network.broadcast(self.size, count(x), last)

        def combine(given: list[Tensor]) -> list[Tensor]:
            return [given[source] for _ in given]

        return self._start("broadcast", f"broadcast from rank {source}", _copy(x), combine, share).wait()

    def barrier(self) -> None:
        self._may("barrier")
        self._start("barrier", "barrier", None, list, Share(self.size - 1, 0)).wait()

    def split(self, ranks: Sequence[int]) -> Comm:
        self._may("split")
        members = tuple(self.members[rank] for rank in ranks)
        if self._me not in members or len({*members}) != len(members):
            raise ValueError(f"rank {self.rank} asks for a group of {list(ranks)}: each once, and itself among them")
        return _Simulated(self.world, members, members.index(self._me))

    def tick(self, seconds: float, label: str = "") -> None:
        self._may("tick")
        self.world.span(self._me, "computes", self.world.clocks[self._me] + seconds, label)

    def _may(self, method: str) -> None:
        self.world.baton.check(self._me)
        if self.world.only and method not in self.world.only:
            raise ValueError(f"comm.{method} is called, and this is to be made of {' and '.join(self.world.only)}")

    def _start(
        self, name: str, kind: str, given: Any, combine: Callable[[list[Any]], list[Any]], share: Share
    ) -> _Started:
        """Come to the group's next collective; the last rank that comes works it out."""
        world, me = self.world, self._me
        mine, number = world.collectives[self.members], self._calls
        self._calls += 1
        if number == len(mine):
            mine.append(_Collective(kind))
        collective = mine[number]
        if collective.kind != kind:
            others = ", ".join(str(self.members[rank]) for rank in sorted(collective.given))
            raise OutOfStep(
                f"in the collective number {number + 1} rank {me} calls {kind}, and {collective.kind} was called by "
                f"rank {others}: all ranks have to call the same ones in the same order"
            )
        collective.given[self.rank] = given
        collective.began = max(collective.began, world.clocks[me], world.out[me], world.into[me])
        # Every rank takes as long as the one that sends most.
        bytes_each = share.numbers * (_element_size(given if isinstance(given, list) else [given]))
        collective.ended = max(collective.ended, world.network.seconds(share.messages, bytes_each))
        if len(collective.given) == self.size:
            self._work_out(collective, combine)
        world.messages.append(Message(name, me, -1, round(share.numbers), round(bytes_each)))
        return _Started(self, collective, f"waits in collective number {number + 1}, {kind}")

    def _work_out(self, collective: _Collective, combine: Callable[[list[Any]], list[Any]]) -> None:
        world = self.world
        collective.ended += collective.began
        with _disable_current_modes():
            collective.results = combine([collective.given[rank] for rank in range(self.size)])
        for member in self.members:
            world.out[member] = world.into[member] = collective.ended
            if self.size > 1:
                world.spans.append(Span(member, "reduces", collective.began, collective.ended, collective.kind))


@dataclass
class _Started:
    """A collective that this rank has come to."""

    comm: _Simulated
    collective: _Collective
    why: str

    def wait(self) -> Any:
        comm, collective = self.comm, self.collective
        comm.world.wait(comm._me, lambda: collective.results is not None, lambda: self.why)
        comm.world.span(comm._me, "waits", collective.ended, self.why.removeprefix("waits in "))
        assert collective.results is not None
        result = collective.results[comm.rank]
        # The rank's own memory.
        return [x.clone() for x in result] if isinstance(result, list) else None if result is None else result.clone()


def _total(given: list[Tensor], op: str) -> Tensor:
    """Of all ranks, in their order."""
    total = given[0]
    for other in given[1:]:
        total = OPERATIONS[op](total, other)
    return total


def _copy(x: Tensor) -> Tensor:
    """What is on its way: memory of the network's, which no rank's own watch sees."""
    with _disable_current_modes():
        return x.detach().clone()


def _element_size(given: list[Tensor | None]) -> int:
    return max((size_in_bytes(x) // max(count(x), 1) for x in given if x is not None), default=0)
