"""Cost of a message: the seconds are those of the world's own clock, and curves cross where it is said."""

import itertools
import math

import pytest
import torch

from coursekit.figures import STRICT
from coursekit.widgets import costs as costs_module
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.costs import FASTEST, LEAST, MOST, SLOWEST, WIDEST, crossing, draw_costs, prices
from coursekit.widgets.costs import price_of_a_message as widget
from coursekit.world import Network, World

LATENCY, BANDWIDTH = 1e-3, 1e6
SETTINGS = {"bytes": 1e8, "n": 8, "latency": 5e-6, "bandwidth": 50e9}
BAD = {
    "bytes": [None, "", "1e6", 0, -1, 1, True, math.nan, math.inf, [1], 2 * MOST],
    "n": [None, "", "8", 0, 1, -1, 2.5, True, math.nan, math.inf, [8], 1025],
    "latency": [None, "", "1", 0, -1, True, math.nan, math.inf, [1], 2 * SLOWEST],
    "bandwidth": [None, "", "1", 0, -1, True, math.nan, math.inf, [1], 2 * WIDEST],
}


def draw(**settings):
    return draw_costs(**SETTINGS | settings)


def clock(n, program, numbers):
    """When the last of n ranks ends the program, on numbers of 8 bytes."""
    world = World(n, Network(LATENCY, BANDWIDTH))
    world.run(program, [torch.zeros(numbers, dtype=torch.float64)] * n)
    return max(world.clocks)


def shown(monkeypatch):
    found = {}
    monkeypatch.setattr(costs_module, "live", lambda draw, controls: found.update(draw=draw, controls=controls))
    widget()
    return found


def round_the_ring(comm, x):
    """2(n - 1) messages of a part, to the right."""
    for _ in range(2 * (comm.size - 1)):
        comm.send(x[: len(x) // comm.size], (comm.rank + 1) % comm.size)
        comm.recv((comm.rank - 1) % comm.size)


def down_the_tree(comm, x):
    """Half of the ranks that are left send theirs to the others, until rank 0 has all, and the same way back."""
    steps = [2**k for k in range(comm.size.bit_length() - 1)]
    for step in steps:
        if comm.rank % (2 * step) == step:
            comm.send(x, comm.rank - step)
        elif comm.rank % (2 * step) == 0:
            comm.recv(comm.rank + step)
    for step in reversed(steps):
        if comm.rank % (2 * step) == 0:
            comm.send(x, comm.rank + step)
        elif comm.rank % (2 * step) == step:
            comm.recv(comm.rank - step)


def by_halves(comm, x):
    """Partners exchange a half, a quarter, ... and the same sizes back."""
    steps = [2**k for k in range(comm.size.bit_length() - 1)]
    for step in [*steps, *reversed(steps)]:
        comm.send(x[: len(x) // (2 * step)], comm.rank ^ step)
        comm.recv(comm.rank ^ step)


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize(
    ("way", "program"), [("ring", round_the_ring), ("tree", down_the_tree), ("halving and doubling", by_halves)]
)
def test_the_seconds_are_those_of_the_worlds_clock(way, program, n):
    assert clock(n, program, 800) == pytest.approx(prices(6400, n, LATENCY, BANDWIDTH)[way])


def test_the_worlds_own_all_reduce_costs_what_the_ring_does():
    seconds = clock(5, lambda comm, x: comm.all_reduce(x), 800)
    assert seconds == pytest.approx(prices(6400, 5, LATENCY, BANDWIDTH)["ring"])


def test_through_one_rank_messages_go_one_after_another():
    assert prices(6000, 4, LATENCY, BANDWIDTH)["through rank 0"] == pytest.approx(6 * (LATENCY + 6000 / BANDWIDTH))


def test_a_tree_of_five_has_three_levels():
    assert prices(6000, 5, LATENCY, BANDWIDTH)["tree"] == pytest.approx(6 * (LATENCY + 6000 / BANDWIDTH))


@pytest.mark.parametrize("n", [4, 7, 8, 1024])
def test_ring_and_tree_take_equally_long_where_they_cross(n):
    found = prices(crossing(n, LATENCY, BANDWIDTH), n, LATENCY, BANDWIDTH)
    assert found["ring"] == pytest.approx(found["tree"])


@pytest.mark.parametrize(("factor", "faster"), [(0.5, "tree"), (2, "ring")])
def test_the_tree_is_faster_below_and_the_ring_above(factor, faster):
    found = prices(factor * crossing(8, LATENCY, BANDWIDTH), 8, LATENCY, BANDWIDTH)
    assert found[faster] == min(found["ring"], found["tree"])


@pytest.mark.parametrize("n", [2, 3])
def test_small_rings_are_never_slower_than_a_tree(n):
    assert "the ring is never slower than the tree" in draw(n=n).alt
    found = prices(LEAST, n, SLOWEST, BANDWIDTH)
    assert found["ring"] <= found["tree"]


@pytest.mark.parametrize("n", [2, 8, 1024])
def test_nothing_beats_halving_and_doubling_in_this_model(n):
    rows = (prices(size, n, LATENCY, BANDWIDTH) for size in (1e3, 1e6, 1e9))
    assert all(min(row.values()) == row["halving and doubling"] for row in rows)


def test_the_ring_tends_to_twice_the_tensor():
    assert prices(1e9, 1024, 0.0, 1e9)["ring"] == pytest.approx(2, rel=1e-2)


def test_all_seconds_and_the_crossing_are_told():
    told = draw().alt
    assert "over 8 ranks takes this long: ring 3.57 ms, tree 12 ms, halving and doubling 3.53 ms" in told
    assert "Ring and tree cross at 471 kB" in told


@pytest.mark.parametrize(("bytes", "share"), [(1e5, "95.2%"), (1e8, "2.0%"), (5e10, "<0.1%")])
def test_the_share_of_the_latency_is_told(bytes, share):
    assert f"Of the ring's time {share} is latency" in draw(bytes=bytes).alt


def test_what_the_model_leaves_out_is_told_below():
    assert "knows latency and bandwidth alone" in draw().html


@pytest.mark.parametrize("bytes", [LEAST, 5e10])
@pytest.mark.parametrize("n", [2, 1024])
@pytest.mark.parametrize("latency", [FASTEST, 5e-3])
@pytest.mark.parametrize("bandwidth", [1e8, 5e12])
def test_each_figure_can_be_read(bytes, n, latency, bandwidth, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    assert isinstance(draw_costs(bytes, n, latency, bandwidth), Page)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    assert isinstance(draw(**{name: value}), Notice)


def test_the_first_values_are_drawn(monkeypatch):
    found = shown(monkeypatch)
    assert found["draw"](**{name: control.value for name, control in found["controls"].items()}) == draw()


def test_both_ends_of_every_slider_are_drawn(monkeypatch):
    controls = shown(monkeypatch)["controls"]
    ends = [[(name, control.options[k]) for k in (0, -1)] for name, control in controls.items()]
    for one in itertools.product(*ends):
        values = {name: option[1] if isinstance(option, tuple) else option for name, option in one}
        assert isinstance(draw_costs(**values), Page)
