"""Charts of time and of memory: what is drawn where, and that it can be read."""

import pytest

from coursekit.charts import stacked, timeline
from coursekit.figures import picture
from coursekit.world.simulated import Span

SPANS = [
    Span(0, "computes", 0.0, 2.0, "layer 0 forward"),
    Span(0, "computes", 2.0, 6.0, "layer 0 backward"),
    Span(0, "waits", 6.0, 7.0, "for rank 1"),
    Span(0, "reduces", 4.0, 7.0, "all_reduce"),
]


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")


def test_a_timeline_has_two_lanes_a_row_and_leaves_waiting_white():
    (ax,) = timeline({"a step": SPANS}, x_label="seconds").axes
    bars = [path.get_extents() for bar in ax.collections for path in bar.get_paths()]
    assert sorted((bar.x0, bar.x1) for bar in bars) == [(0, 2), (2, 6), (4, 7)]
    assert len({bar.y0 for bar in bars}) == 2


def test_the_unit_is_that_of_the_axis():
    (ax,) = timeline({"a step": SPANS[:1]}, x_label="milliseconds", unit=1e-3).axes
    assert ax.collections[0].get_paths()[0].get_extents().x1 == 2000


def test_parts_stand_on_one_another_and_a_level_lies_across():
    (ax,) = stacked(
        {"a": {"one": 1.0, "two": 2.0}, "b": {"one": 3.0, "two": 0.0}}, y_label="GB", levels={"80": 80}
    ).axes
    assert [(bar.get_y(), bar.get_height()) for bar in ax.patches] == [(0, 1), (0, 3), (1, 2), (3, 0)]
    assert ax.lines[0].get_ydata()[0] == 80


@pytest.mark.parametrize(
    "fig",
    [
        timeline({f"way {k}": SPANS for k in range(4)}, x_label="milliseconds"),
        stacked({f"stage {k}": {"weights": 14, "gradients": 3} for k in range(4)}, y_label="GB", levels={"80 GB": 80}),
    ],
)
def test_both_can_be_read(fig):
    assert picture(fig, "A chart.").png
