"""Whether a figure can be read is measured from what is drawn."""

import pytest
from matplotlib.figure import Figure

from coursekit.figures import STRICT, curves, heatmap, picture
from coursekit.legible import faults


def figure(width=6.0, size=10, **places):
    fig = Figure((width, 3))
    for text, place in places.items():
        fig.text(*place, text, fontsize=size)
    return fig


def test_a_figure_of_ours_has_no_faults():
    import torch

    tokens = ["[CLS]", "my", "brother", "lost", "his", "keys", "[SEP]"]
    assert faults(heatmap(torch.eye(7), row_labels=tokens, column_labels=tokens)) == []
    lines = {"one": torch.rand(9), "other": torch.rand(9)}
    assert faults(curves(torch.arange(9), lines, x_label="step", y_label="loss")) == []


def test_a_text_that_leaves_the_figure_is_told():
    [told] = faults(figure(attention=(0.95, 0.5)))
    assert told.startswith("'attention' is cut off by ")


def test_a_text_on_another_is_told():
    assert faults(figure(attention=(0.4, 0.5), weight=(0.42, 0.51))) == ["'attention' lies on 'weight'"]


def test_letters_that_shrink_with_a_wide_figure_are_told():
    assert faults(figure(size=8, attention=(0.4, 0.5))) == []
    [told] = faults(figure(width=12, size=8, attention=(0.4, 0.5)))
    assert told == "'attention' is 7.4 pixels high on a page of 800, at least 9 can be read"


def test_labels_of_ticks_beyond_the_axis_are_not_looked_at():
    fig = Figure((6, 3))
    ax = fig.add_subplot()
    ax.plot([0, 1], [0, 1])
    ax.set_xticks(range(9), labels=[f"a long label {i}" for i in range(9)])
    ax.set_xlim(0, 0.5)
    assert faults(fig) == []


def test_an_axis_that_is_switched_off_is_not_looked_at():
    fig = Figure((6, 3))
    ax = fig.add_subplot()
    ax.set_xticks(range(40), labels=["a long label"] * 40)
    assert faults(fig)
    ax.axis("off")
    assert faults(fig) == []


def test_a_chapter_that_is_built_is_refused_such_a_figure(monkeypatch):
    fig = figure(attention=(0.95, 0.5))
    picture(fig, "One word.")
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(ValueError, match="cut off"):
        picture(fig, "One word.")
