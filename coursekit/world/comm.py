"""What a rank can do, in whichever world it lives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# How an all-reduce puts two ranks' numbers together.
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"sum": torch.add, "max": torch.maximum}


class Handle(Protocol):
    """A collective that is on its way."""

    def wait(self) -> Tensor:
        """The result, when it is there."""


@dataclass(frozen=True)
class Message:
    """What one rank has sent: by `send` to the rank `to`, or its share of a collective, where `to` is -1.

    `kind` is the method's name, `numbers` and `bytes` are without headers. In a simulated world `began` and `ended` are
    seconds on its clock.
    """

    kind: str
    sender: int
    to: int
    numbers: int
    bytes: int
    began: float = 0.0
    ended: float = 0.0


class Comm(ABC):
    """One rank of `size`, numbered from 0.

    Messages are copies: no rank sees another one's memory, and no gradient flows through them. A collective has to be
    called by all ranks, in the same order. What it returns is a new tensor; its argument stays as it is.
    """

    rank: int
    size: int

    @abstractmethod
    def send(self, x: Tensor, to: int) -> None:
        """Send a copy of x to another rank, and do not wait until it has arrived."""

    @abstractmethod
    def recv(self, source: int) -> Tensor:
        """The next message from the rank `source`, waiting for it."""

    @abstractmethod
    def start_all_reduce(self, x: Tensor, op: str = "sum") -> Handle:
        """Begin an all-reduce and go on at once; `handle.wait()` gives its result."""

    def all_reduce(self, x: Tensor, op: str = "sum") -> Tensor:
        """The sum of all ranks' x (or their maximum, with op="max"), on every rank."""
        return self.start_all_reduce(x, op).wait()

    @abstractmethod
    def reduce_scatter(self, x: Tensor) -> Tensor:
        """x (size, ...) on every rank -> (...): row `rank` of the sum of all ranks' x."""

    @abstractmethod
    def all_gather(self, x: Tensor) -> Tensor:
        """x (...) -> (size, ...): the x of each rank, of one shape, in the order of ranks."""

    @abstractmethod
    def all_to_all(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """One tensor for each rank -> one tensor from each rank: `parts[j]` goes to rank j. Their shapes may differ."""

    @abstractmethod
    def broadcast(self, x: Tensor, source: int = 0) -> Tensor:
        """The x of the rank `source`, on every rank."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait until every rank is here."""

    @abstractmethod
    def split(self, ranks: Sequence[int]) -> Comm:
        """The Comm of a group: these ranks, renumbered from 0. To be called by each of them."""

    def tick(self, seconds: float, label: str = "") -> None:  # noqa: B027 (nothing is what a real world does)
        """Let simulated time pass, as if something had been computed for so long. In a real world nothing happens."""


def check_rank(comm: Comm, other: int) -> int:
    """`other` where it is another rank of `comm`. Raises ValueError."""
    if not isinstance(other, int) or other not in range(comm.size):
        raise ValueError(f"rank {comm.rank} names rank {other}; there are {comm.size}, 0 to {comm.size - 1}")
    if other == comm.rank:
        raise ValueError(f"rank {other} sends to itself, or waits for a message from itself")
    return other


def check_tensor(x: object, what: str) -> Tensor:
    """`x` where it is a tensor. Raises TypeError."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{what} takes a tensor, found a {type(x).__name__}")
    return x


def check_rows(x: object, size: int, what: str) -> Tensor:
    """`x` where it is a tensor with a row for each rank. Raises ValueError or TypeError."""
    if check_tensor(x, what).dim() == 0 or len(x) != size:  # type: ignore[arg-type]
        raise ValueError(f"{what} takes a tensor with a row for each of {size} ranks, found shape {tuple(x.shape)}")  # type: ignore[attr-defined]
    return x  # type: ignore[return-value]


def check_parts(parts: object, size: int) -> list[Tensor]:
    """`parts` as a list where it holds one tensor for each rank. Raises ValueError or TypeError."""
    if not isinstance(parts, Sequence) or len(parts) != size:
        found = f"{len(parts)} of them" if isinstance(parts, Sequence) else f"a {type(parts).__name__}"
        raise ValueError(f"all_to_all takes a list of one tensor for each of {size} ranks, found {found}")
    return [check_tensor(part, "all_to_all") for part in parts]


def check_operation(op: str) -> str:
    """`op` where it is known. Raises ValueError."""
    if op not in OPERATIONS:
        raise ValueError(f"found op={op!r}, expected one of {', '.join(map(repr, OPERATIONS))}")
    return op


def size_in_bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()


def count(x: Tensor) -> int:
    """How many numbers a tensor holds; a complex one is two."""
    return x.numel() * (2 if x.is_complex() else 1)
