"""Ring all-reduce, step by step: who is in each sum, which part travels, and how much each rank has sent.

The steps are those of the course's own ring: it runs on numbers that say whose they are, and its messages are read.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from coursekit.figures import COLOURS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, whole
from coursekit.world import Comm, World

FEWEST, MOST = 2, 8  # ranks
IN_A_LINE = 3  # ranks of a sum, of more than 5 ranks
SHADES = LinearSegmentedColormap.from_list("sums", ["#FFFFFF", "#9CCBE8", COLOURS[1]])
MOVES = COLOURS[2]
Ring = Callable[[Any, Tensor], Tensor]


def step_the_ring() -> None:
    """Display a ring all-reduce after one of its steps, with controls for the ranks and the step."""
    ranks = ipywidgets.IntSlider(4, FEWEST, MOST, **labelled("ranks n"))
    step = ipywidgets.IntSlider(1, 0, 2 * (ranks.value - 1), **labelled("step"))

    def reach(_: Any) -> None:
        step.max = 2 * (ranks.value - 1)

    ranks.observe(reach, names="value")  # before the picture is drawn again
    live(draw_ring, {"ranks": ranks, "step": step})


@dataclass(frozen=True)
class Sent:
    """One part on its way: the ranks in its sum as bits, and its share of the tensor."""

    sender: int
    to: int
    part: int
    who: int
    share: float


def draw_ring(ranks: Any, step: Any) -> Page | Notice:
    """What each rank's parts hold after `step`, and what has just come; a Notice for bad values.

    Step 0 is before anything is sent.
    """
    if whole(ranks) is None or not FEWEST <= ranks <= MOST:
        return Notice(f"A ring of {ranks!r} ranks does not work here: choose a whole number from {FEWEST} to {MOST}.")
    n, last = int(ranks), 2 * (int(ranks) - 1)
    if whole(step) is None or not 0 <= step <= last:
        return Notice(f"With {n:d} ranks there is no step {step!r}: choose a whole number from 0 to {last:d}.")
    try:
        steps = rounds(n)
    except ImportError:
        return Notice("The steps come from the course's own ring, which is not here while an answer is graded.")
    return _page(n, steps, int(step))


@functools.cache
def rounds(n: int) -> list[list[Sent]]:
    """What n ranks send in each step of the course's ring. Raises ImportError where it is hidden."""
    (ring,) = importlib.import_module("coursekit.library.distributed.ring").LIBRARY
    return listen(ring, n)


def listen(ring: Ring, n: int) -> list[list[Sent]]:
    """The k-th messages of all ranks, for each k.

    Rank r has the numbers 2^r and j 2^r in part j. So a sum says who is in it, as bits, and of which part it is.
    """
    heard: list[list[Sent]] = [[] for _ in range(n)]
    rows = [torch.tensor([2.0**r * k for j in range(n) for k in (1, j)], dtype=torch.float64) for r in range(n)]
    World(n, only=("send", "recv")).run(lambda comm, x: ring(_Heard(comm, heard[comm.rank]), x), rows)
    return [list(step) for step in zip(*heard, strict=True)]


class _Heard:
    """A Comm of which each message is noted."""

    def __init__(self, comm: Comm, noted: list[Sent]) -> None:
        self.comm, self.noted, self.rank, self.size, self.recv = comm, noted, comm.rank, comm.size, comm.recv

    def send(self, x: Float[Tensor, " 2"], to: int) -> None:
        who, times = x.tolist()
        self.noted.append(Sent(self.rank, to, round(times / who), int(who), x.numel() / (2 * self.size)))
        self.comm.send(x, to)


def held(n: int, steps: list[list[Sent]]) -> list[list[int]]:
    """By rank and part, as bits, who is in the sum after these steps."""
    who = [[1 << rank] * n for rank in range(n)]
    for step in steps:
        for sent in step:
            who[sent.to][sent.part] |= sent.who
    return who


def _page(n: int, steps: list[list[Sent]], step: int) -> Page:
    who, now = held(n, steps[:step]), steps[step - 1] if step else []
    told = [_told_step(n, step, len(steps), now), _told_share(n, steps, step)]
    drawn = picture(_grid(n, who, now), " ".join((*told, *_described(n, who, now))))
    below = "".join(f'<p style="margin:6px 0">{escape(sentence)}</p>' for sentence in told)
    return Page(f'<div style="max-width:800px">{drawn.html}{below}</div>', drawn.alt)


def _described(n: int, who: list[list[int]], now: list[Sent]) -> list[str]:
    """What the picture shows, row by row."""
    rows = "; ".join(
        translated(f"rank {rank:d}: {', '.join(_words(one, n) for one in row)!s}") for rank, row in enumerate(who)
    )
    moved = "; ".join(translated(f"part {one.part:d} from rank {one.sender:d} to rank {one.to:d}") for one in now)
    shown = translated(f"Whose numbers are in the sums of parts 0 to {n - 1:d}, by rank: {rows!s}.")
    return [shown, translated(f"Just sent: {moved!s}.")] if now else [shown]


def _told_step(n: int, step: int, last: int, now: list[Sent]) -> str:
    """What happens in this step, in a sentence."""
    if not step:
        return translated(f"Step 0 of {last:d}: each rank has cut its tensor into {n:d} parts, nothing is sent yet.")
    if all(sent.who == (1 << n) - 1 for sent in now):
        return translated(
            f"Step {step:d} of {last:d}, handing on: each rank sends a part whose sum is whole, and the next rank "
            f"keeps it."
        )
    return translated(
        f"Step {step:d} of {last:d}, adding: each rank sends one part to the next rank, which adds its own numbers."
    )


def _told_share(n: int, steps: list[list[Sent]], step: int) -> str:
    """How much each rank has sent so far; at the end, why it is 2(n - 1)/n."""
    share = max(sum(sent.share for sent in mine) for mine in zip(*steps[:step], strict=True)) if step else 0.0
    if step < len(steps):
        return translated(f"Parts sent so far by each rank: {step:d}, each 1/{n:d}, so {share:.2f} of its tensor.")
    return translated(
        f"Every rank has the whole sum. Each has sent {n - 1:d} parts to add them up and {n - 1:d} to hand them on, "
        f"2(n − 1)/n = {step:d}/{n:d} = {share:.2f} of its tensor. With more ranks that comes closer to 2. Had whole "
        f"tensors gone round, it would be n − 1 = {n - 1:d}."
    )


def _sum(who: int) -> str:
    """The ranks in a sum: `0+2+3`."""
    return "+".join(str(rank) for rank in range(who.bit_length()) if who >> rank & 1)


def _words(who: int, n: int) -> str:
    return translated(f"all {n:d}") if who.bit_count() == n else _sum(who)


def _grid(n: int, who: list[list[int]], now: list[Sent]) -> Figure:
    """Ranks from above, parts from left, darker the more ranks are in a sum; what has just come has a frame."""
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 0.64 * n + 1.35), layout="constrained")
        ax = fig.subplots()
        for rank, row in enumerate(who):
            for part, one in enumerate(row):
                _draw_cell(ax, rank, part, one, n)
        for sent in now:
            _draw_move(ax, sent, n)
        for rank in range(n):
            ax.text(-0.08, rank + 0.5, translated(f"rank {rank:d}"), ha="right", va="center")
        beside = max(0.02, 2.5 - n / 2)  # cells of two ranks would be very wide
        ax.set(xlim=(-beside - 0.09 * max(n, 5), n + beside), ylim=(n + 0.3, -0.3), xlabel="part of the tensor")
        ax.set_xticks([part + 0.5 for part in range(n)], labels=[str(part) for part in range(n)])
        ax.set_yticks([])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.grid(False)
        fig.legend(handles=_handles(n), loc="outside lower center", ncols=4)
    return fig


def _cell(rank: int, part: int, **look: Any) -> Rectangle:
    return Rectangle((part + 0.03, rank + 0.06), 0.94, 0.88, **look)


def _draw_cell(ax: Any, rank: int, part: int, who: int, n: int) -> None:
    """A cell with its sum, in several lines where cells are small; the whole sum is told in a word."""
    count = who.bit_count()
    ax.add_patch(_cell(rank, part, facecolor=SHADES((count - 1) / (n - 1)), edgecolor="#767676"))
    names, most = _words(who, n).split("+"), IN_A_LINE if n > 5 else n
    text = "\n+".join("+".join(names[i : i + most]) for i in range(0, len(names), most))
    look: Any = {"fontweight": "bold", "color": "white"} if count == n else {"color": "black"}
    x, size = (part + 0.43, 9) if n > 5 else (part + 0.48, 10)
    ax.text(x, rank + 0.5, text, ha="center", va="center", fontsize=size, **look)


def _draw_move(ax: Any, sent: Sent, n: int) -> None:
    """The frame of what has come, and an arrow to it; from the last rank to the first it leaves and comes in again."""
    seen = [withStroke(linewidth=5, foreground="white")]  # on a dark cell too
    look: Any = {"color": MOVES, "linewidth": 3, "path_effects": seen}
    ax.add_patch(_cell(sent.to, sent.part, fill=False, zorder=3, **look))
    down = 1 if sent.to == (sent.sender + 1) % n else -1
    x, begin, end = sent.part + 0.88, sent.sender + 0.5 + 0.2 * down, sent.to + 0.5 - 0.2 * down
    beside = sent.to == sent.sender + down
    arrow = look | {"arrowstyle": "-|>", "linewidth": 2.5, "shrinkA": 0, "shrinkB": 0}
    for start, stop in [(begin, end)] if beside else [(begin, begin + 0.6 * down), (end - 0.6 * down, end)]:
        ax.annotate("", (x, stop), (x, start), arrowprops=arrow, zorder=4, annotation_clip=False)


def _handles(n: int) -> list[Any]:
    names = ((1, translated("its own numbers")), (n, translated("the whole sum")))
    patches = [Patch(facecolor=SHADES((k - 1) / (n - 1)), edgecolor="#767676", label=name) for k, name in names]
    middle = Patch(facecolor=SHADES(0.5), edgecolor="#767676", label=translated("a sum of some ranks"))
    moves = Line2D([], [], color=MOVES, linewidth=3, marker=">", label=translated("just sent"))
    return [patches[0], middle, patches[1], moves]
