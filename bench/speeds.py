"""How fast several ways do the same work, from rounds in which they took turns."""

from __future__ import annotations

import statistics


def rows(seconds: dict[str, list[float]], amount: int) -> list[tuple[str, float, float]]:
    """Each way with how much of `amount` it does a second, and how many times the first way is faster."""
    first = next(iter(seconds.values()))
    return [
        (name, amount / statistics.median(took), statistics.median(t / f for t, f in zip(took, first, strict=True)))
        for name, took in seconds.items()
    ]
