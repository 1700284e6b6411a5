"""How long messages take: latency + bytes / bandwidth, and what each rank sends in a collective."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """Every two ranks are joined: a message takes `latency` seconds and its bytes / `bandwidth`.

    A rank sends and receives at once, but one message at a time in each direction. The default is a fast network
    between machines: 5 microseconds, 50 GB a second.
    """

    latency: float = 5e-6
    bandwidth: float = 50e9

    def seconds(self, messages: float, size: float) -> float:
        """The time of so many messages one after another that have `size` bytes in all."""
        return messages * self.latency + size / self.bandwidth


@dataclass(frozen=True)
class Share:
    """What one rank does in a collective: messages one after another, and numbers sent in all."""

    messages: float
    numbers: float


def all_reduce(n: int, numbers: int) -> Share:
    """In a ring: n - 1 rounds that add, n - 1 that hand on, each of a part of 1/n."""
    return Share(2 * (n - 1), 2 * (n - 1) / n * numbers)


def reduce_scatter(n: int, numbers: int) -> Share:
    """The first half of it; `numbers` are those of all rows."""
    return Share(n - 1, (n - 1) / n * numbers)


def all_gather(n: int, numbers: int) -> Share:
    """The second half; `numbers` are those of one rank."""
    return Share(n - 1, (n - 1) * numbers)


def broadcast(n: int, numbers: int, last: bool) -> Share:
    """Handed on from rank to rank in small pieces: each but the last one sends all of it once."""
    return Share(n - 1, 0 if last else numbers)
