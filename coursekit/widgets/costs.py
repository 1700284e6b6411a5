"""Cost of a message: how long an all-reduce takes in a ring, in a tree, by halves and through one rank."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

import ipywidgets
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from coursekit.figures import COLOURS, DASHES, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole
from coursekit.widgets.tokens import percent
from coursekit.world import Network

LEAST, MOST = 1e3, 1e11  # bytes
FASTEST, SLOWEST = 1e-7, 1e-2  # seconds of a message without content
NARROWEST, WIDEST = 1e7, 1e13  # bytes a second
FEWEST_RANKS, MOST_RANKS = 2, 1024
# A marker, its size and how it is filled, so that each is seen behind the others.
MARKS = (("o", 13, "none"), ("x", 9, "full"), ("^", 6, "full"), ("s", 9, "none"))


def price_of_a_message() -> None:
    """Display how long an all-reduce takes in four ways, with controls for bytes, ranks, latency and bandwidth."""
    first = Network()
    ranks = [2**k for k in range(1, 11)]
    live(
        draw_costs,
        {
            "bytes": _slider("size of the tensor", "B", 3, 10, 100e6),
            "n": ipywidgets.SelectionSlider(options=ranks, value=8, **labelled("ranks n")),
            "latency": _slider("latency of a message", "s", -7, -3, first.latency),
            "bandwidth": _slider("bandwidth of a wire", "B/s", 8, 12, first.bandwidth),
        },
    )


def _slider(name: str, unit: str, low: int, high: int, value: float) -> ipywidgets.SelectionSlider:
    """A slider over 1, 2, 5, 10, ... of a unit."""
    steps = [float(f"{m}e{e}") for e in range(low, high + 1) for m in (1, 2, 5)]
    return ipywidgets.SelectionSlider(options=[(_told(x, unit), x) for x in steps], value=value, **labelled(name))


def prices(bytes: float, n: int, latency: float, bandwidth: float) -> dict[str, float]:
    """Seconds of an all-reduce of so many bytes over n ranks, by the way in which it is done.

    A message takes latency + size / bandwidth, and a rank sends one at a time. In a tree partners of each round add,
    then hand on, whole tensors. By halves they exchange half of what they have, then a quarter, and so on, and back
    (where n is no power of two, this counts as many rounds as for the next one). Sources: Thakur et al. 2005, section
    4; Patarasuk and Yuan 2009.
    """
    wires, rounds = Network(latency, bandwidth), math.ceil(math.log2(n))
    even = 2 * (n - 1) / n * bytes  # what each rank has to send at least
    return {
        "ring": wires.seconds(2 * (n - 1), even),
        "tree": wires.seconds(2 * rounds, 2 * rounds * bytes),
        "halving and doubling": wires.seconds(2 * rounds, even),
        "through rank 0": wires.seconds(2 * (n - 1), 2 * (n - 1) * bytes),
    }


def crossing(n: int, latency: float, bandwidth: float) -> float:
    """The bytes for which ring and tree take equally long; 0 where the ring is never slower.

    2(n-1) l + 2(n-1)/n N/b = 2k l + 2k N/b with k = ceil(log2 n), solved for N.
    """
    rounds = math.ceil(math.log2(n))
    return latency * bandwidth * (n - 1 - rounds) / (rounds - (n - 1) / n)


def draw_costs(bytes: Any, n: Any, latency: Any, bandwidth: Any) -> Page | Notice:
    """Seconds over bytes in four ways, a size marked, and where ring and tree cross; a Notice for bad values."""
    if wrong := _wrong(bytes, n, latency, bandwidth):
        return Notice(wrong)
    n = int(n)
    found, cross = prices(bytes, n, latency, bandwidth), crossing(n, latency, bandwidth)
    told = [_told_costs(bytes, n, found), _told_crossing(n, cross), _told_share(found["ring"], n, latency)]
    left_out = translated(
        "The model knows latency and bandwidth alone. Real trees send a tensor in pieces and lose less than here. "
        "Partners in halving and doubling share the wires of a real network and win less than here."
    )
    drawn = picture(_curves(bytes, n, latency, bandwidth, cross), " ".join(told))
    below = "".join(
        f'<p style="margin:6px 0">{escape(sentence)}</p>' for sentence in (*told[1:], left_out)
    )  # the legend tells the first
    return Page(f'<div style="max-width:800px">{drawn.html}{below}</div>', f"{drawn.alt} {left_out}")


def _told(x: float, unit: str) -> str:
    """A number with three digits and a prefix: `12.3 µs`."""
    return EngFormatter(unit).format_data(float(f"{x:.3g}"))


def _labels(found: dict[str, float]) -> list[str]:
    """Each way with its time: `ring 3.57 ms`."""
    names = (
        translated("ring"),
        translated("tree"),
        translated("halving and doubling"),
        translated("all through one rank"),
    )
    return [f"{name} {_told(seconds, 's')}" for name, seconds in zip(names, found.values(), strict=True)]


def _told_costs(bytes: float, n: int, found: dict[str, float]) -> str:
    ways = ", ".join(_labels(found))
    return translated(f"An all-reduce of {_told(bytes, 'B')!s} over {n:d} ranks takes this long: {ways!s}.")


def _told_crossing(n: int, cross: float) -> str:
    if cross <= 0:
        return translated(f"With {n:d} ranks the ring is never slower than the tree.")
    return translated(
        f"Ring and tree cross at {_told(cross, 'B')!s}: below it the tree is faster, which sends fewer messages, and "
        f"above it the ring, which sends fewer bytes."
    )


def _told_share(ring: float, n: int, latency: float) -> str:
    share = percent(2 * (n - 1) * latency / ring)
    return translated(f"Of the ring's time {share!s} is latency, and the rest is bytes on their way.")


def _curves(bytes: float, n: int, latency: float, bandwidth: float, cross: float) -> Figure:
    """Seconds over bytes on logarithmic scales, a mark on each curve at the chosen size, and the crossing point."""
    sizes = [10 ** (e / 8) for e in range(24, 86)]
    rows, here = [prices(size, n, latency, bandwidth) for size in sizes], prices(bytes, n, latency, bandwidth)
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 4.2), layout="constrained")
        ax = fig.subplots()
        for (way, seconds), label, colour, dash, mark in zip(
            here.items(), _labels(here), COLOURS, DASHES, MARKS, strict=False
        ):
            marker, size, fill = mark
            ax.plot(sizes, [row[way] for row in rows], color=colour, linestyle=dash, linewidth=1.8)
            look: Any = {"color": colour, "markersize": size, "fillstyle": fill, "markeredgewidth": 1.8}
            ax.plot(bytes, seconds, marker, linestyle=dash, label=label, **look)
        if sizes[0] <= cross <= sizes[-1]:
            at = prices(cross, n, latency, bandwidth)["ring"]
            look = {"color": COLOURS[0], "markersize": 12, "fillstyle": "none", "linestyle": ""}
            ax.plot(cross, at, "D", label=translated(f"ring = tree at {_told(cross, 'B')!s}"), **look)
        ax.axvline(bytes, color="#767676", linewidth=1)
        ax.set(xscale="log", yscale="log", xlim=(sizes[0], sizes[-1]), xlabel="size of the tensor", ylabel="time")
        ax.xaxis.set_major_formatter(EngFormatter("B"))
        ax.yaxis.set_major_formatter(EngFormatter("s"))
        ax.set_yticks(_decades(seconds for row in (rows[0], rows[-1]) for seconds in row.values()))
        ax.yaxis.set_minor_locator(NullLocator())
        fig.legend(loc="outside lower center", ncols=3)
    return fig


def _decades(values: Iterable[float]) -> list[float]:
    """The powers of ten among positive values, every second where there are many."""
    logs = [math.log10(one) for one in values]
    found = [10.0**e for e in range(math.ceil(min(logs)), math.floor(max(logs)) + 1)]
    return found[:: 1 + len(found) // 7]


def _wrong(bytes: Any, n: Any, latency: Any, bandwidth: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if whole(n) is None or not FEWEST_RANKS <= n <= MOST_RANKS:
        return f"{n!r} ranks do not work here: choose a whole number from {FEWEST_RANKS} to {MOST_RANKS}."
    limits = (
        ("size in bytes", bytes, LEAST, MOST),
        ("latency in seconds", latency, FASTEST, SLOWEST),
        ("bandwidth in bytes a second", bandwidth, NARROWEST, WIDEST),
    )
    for name, value, low, high in limits:
        if not number(value, low, high):
            return f"The {name} cannot be {value!r} here: choose a number from {low:g} to {high:g}."
    return ""
