"""A long loop says how far it is and how long it will take, and may be stopped."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, TypeVar

from IPython.core.getipython import get_ipython
from IPython.display import display

T = TypeVar("T")
EVERY = 0.5  # seconds between two looks
STOPPED = "Run the cell again to start anew; what was computed until here stays."


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The items, one by one, with a line that says how many are done and how many seconds are left.

    `total` where the items do not know how many they are. The line ends as "1,000 of 1,000 steps", which is the same
    in each run. Interrupt the kernel and it says how far it came. Raises TypeError where the number is unknown.
    """
    if total is None:
        if not isinstance(items, Collection):
            raise TypeError(f"found a {type(items).__name__}, which does not know its length: pass total=")
        total = len(items)
    shown = _Shown(label, total)
    try:
        for item in items:
            yield item
            shown.another()
    finally:
        shown.end()


class _Shown:
    """The line of one loop in the notebook."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total, self.done, self.ended = label, total, 0, False
        self.handle: Any = display(_Line(label, 0, total), display_id=True)  # None outside of a notebook
        self.began = self.looked = time.monotonic()
        # The traceback of an interrupted cell keeps the loop alive: that the cell has ended tells that it has.
        self.shell: Any = get_ipython()
        if self.shell:
            self.shell.events.register("post_run_cell", self.end)

    def another(self) -> None:
        self.done += 1
        if (now := time.monotonic()) - self.looked > EVERY:
            self.looked = now
            left = (now - self.began) / self.done * (self.total - self.done)
            self._show(_Line(self.label, self.done, self.total, left))

    def end(self, _: Any = None) -> None:
        if self.ended:
            return
        self.ended = True
        if self.shell:
            self.shell.events.unregister("post_run_cell", self.end)
        self._show(_Line(self.label, self.done, self.total, ended=True))

    def _show(self, line: _Line) -> None:
        if self.handle is not None:
            self.handle.update(line)


@dataclass(frozen=True)
class _Line:
    """How far a loop is; `left` seconds, where they are known."""

    label: str
    done: int
    total: int
    left: float | None = None
    ended: bool = False

    def __repr__(self) -> str:
        told = f"{self.label}: {self.done:,} of {self.total:,} steps"
        if self.ended and self.done < self.total:
            return f"{told}, then stopped. {STOPPED}"
        return told if self.left is None else f"{told}, about {_seconds(self.left)} left"

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.done}" max="{self.total}" aria-label="{escape(self.label)}"></progress>'
        return f'<div style="display: flex; gap: 1em; align-items: center">{bar}<span>{escape(repr(self))}</span></div>'


def _seconds(left: float) -> str:
    return f"{left / 60:.0f} minutes" if left >= 90 else f"{max(left, 1):.0f} s"
