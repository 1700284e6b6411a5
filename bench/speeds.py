"""How fast several ways do the same work, from rounds in which they take turns."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping

ROUNDS = int(os.environ.get("COURSEKIT_BENCH_ROUNDS", "5"))


def taking_turns(ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each way, round by round, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def rows(seconds: dict[str, list[float]], amount: int) -> list[tuple[str, float, float]]:
    """Each way with how much of `amount` it does a second, and how many times the first way is faster."""
    first = next(iter(seconds.values()))
    return [
        (name, amount / statistics.median(took), statistics.median(t / f for t, f in zip(took, first, strict=True)))
        for name, took in seconds.items()
    ]
