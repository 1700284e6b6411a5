"""Figures reach the notebook as pictures with a description, small, on white, and refuse to go without one."""

import io
import re

import nbconvert
import nbformat
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from coursekit import beside
from coursekit.beside import TextError, UnknownText
from coursekit.figures import (
    COLOURS,
    DASHES,
    Picture,
    all_descriptions,
    clouds,
    curve_panels,
    curves,
    described,
    heatmap,
    picture,
    reliability,
    show,
)


@pytest.fixture
def fig():
    return curves([1, 2, 3], {"a": [1, 2, 3], "b": [3, 2, 1]}, x_label="step", y_label="loss (nats)")


def test_a_picture_is_html_with_alt_text_and_text_without(fig):
    bundle = picture(fig, 'a "falls"\n  & b rises')._repr_mimebundle_()
    assert 'alt="a &quot;falls&quot; &amp; b rises"' in bundle["text/html"]
    assert bundle["text/plain"] == 'a "falls" & b rises'


def test_nbconvert_keeps_the_alt_text(fig):
    output = nbformat.v4.new_output("display_data", picture(fig, "two lines cross")._repr_mimebundle_())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show()", outputs=[output])])
    html, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    assert re.search(r'<img [^>]*alt="two lines cross"', html)


@pytest.mark.parametrize("alt", ["", "  \n", None, 3])
def test_a_figure_without_a_description_is_refused(fig, alt):
    with pytest.raises(ValueError, match="needs alt text"):
        picture(fig, alt)


def test_axes_in_place_of_a_figure_are_refused_by_name(fig):
    with pytest.raises(TypeError, match=r"found a Axes.*pass fig"):
        picture(fig.axes[0], "two lines cross")


def test_a_picture_has_a_white_background_in_every_theme(fig):
    image = Image.open(io.BytesIO(picture(fig, "two lines cross").png)).convert("RGBA")
    assert image.getpixel((0, 0)) == (255, 255, 255, 255)


def test_the_same_figure_gives_the_same_bytes():
    drawn = [picture(heatmap(torch.eye(12)), "a diagonal").png for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_a_large_heat_map_stays_under_60_kB():
    labels = [f"word{k}" for k in range(30)]
    fig = heatmap({"a": torch.rand(30, 30), "b": torch.rand(30, 30)}, row_labels=labels, column_labels=labels)
    assert len(picture(fig, "noise").png) < 60_000


def test_show_displays_one_picture(fig, monkeypatch):
    shown = []
    monkeypatch.setattr("coursekit.figures.display", shown.append)
    show(fig, "two lines cross")
    assert [type(x) for x in shown] == [Picture]


def test_a_heat_map_names_both_axes_and_its_unit():
    fig = heatmap(torch.rand(3, 4), rows="query", columns="key", unit="attention weight")
    assert [fig.axes[0].get_ylabel(), fig.axes[0].get_xlabel()] == ["query", "key"]
    assert fig.axes[-1].get_ylabel() == "attention weight"


def test_several_heat_maps_share_one_colour_scale():
    fig = heatmap({"small": torch.tensor([[0.0, 1.0]]), "large": torch.tensor([[0.0, 5.0]])})
    assert {ax.images[0].get_clim() for ax in fig.axes if ax.images} == {(0.0, 5.0)}


def test_a_mask_says_what_its_two_colours_mean():
    fig = heatmap(torch.ones(3, 3, dtype=torch.bool).tril())
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["hidden", "seen"]


def test_attention_weights_have_a_scale_from_0_to_1_and_others_their_own():
    A = torch.tensor([[0.1, 0.3]])
    assert heatmap(A).axes[0].images[0].get_clim() == (0.0, 1.0)
    assert heatmap(A, unit="cosine").axes[0].images[0].get_clim() == pytest.approx((0.1, 0.3))


def test_a_baseline_is_a_line_without_marks_and_stands_in_the_legend():
    (ax,) = curves([0, 1], {"run": [0.0, 1.0]}, x_label="x", y_label="y", marker="o", levels={"coin": 0.5}).axes
    run, coin = ax.lines
    assert (run.get_marker(), coin.get_marker()) == ("o", "None")
    assert list(coin.get_ydata()) == [0.5, 0.5]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["run", "coin"]


def test_a_place_is_an_upright_line():
    (ax,) = curves([0, 1], {"run": [0.0, 1.0]}, x_label="x", y_label="y", places={"here": 0.25}).axes
    assert list(ax.lines[1].get_xdata()) == [0.25, 0.25]


def test_one_matrix_with_its_numbers_has_a_title_and_no_bar():
    (ax,) = heatmap(torch.eye(2), unit="sentences", numbers=".0f").axes
    assert ax.get_title() == "sentences"


def test_numbers_are_written_into_the_cells_and_can_be_read():
    texts = heatmap(torch.tensor([[0.0, 1.0]]), numbers=".2f").axes[0].texts
    assert [(t.get_text(), t.get_color()) for t in texts] == [("0.00", "white"), ("1.00", "black")]


def test_categories_have_a_legend_and_no_bar():
    fig = heatmap(torch.tensor([[0, 1, 2]]), names=("nothing", "filler", "token"), unit="what is there")
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["nothing", "filler", "token"]
    assert len(fig.axes) == 1


@pytest.mark.parametrize("A", [torch.full((2, 2), -torch.inf), torch.full((2, 2), torch.nan), torch.zeros(2, 2)])
def test_a_heat_map_of_infinite_or_equal_entries_is_drawn(A):
    assert isinstance(heatmap(A), Figure)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64])
def test_a_heat_map_takes_any_dtype_and_a_graph(dtype):
    A = torch.ones(2, 3, dtype=dtype)
    assert isinstance(heatmap(A.requires_grad_() if A.is_floating_point() else A), Figure)


def test_a_stack_of_heads_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"found shape \(1, 2, 3, 3\).*pick one head"):
        heatmap(torch.rand(1, 2, 3, 3))


def test_curves_are_told_apart_by_dashes_as_well_as_by_colour():
    fig = curves([0, 1], {str(k): [k, k] for k in range(4)}, x_label="x", y_label="y")
    assert len({line.get_linestyle() for line in fig.axes[0].lines}) == 4
    assert len(COLOURS) == len(DASHES)


def test_curves_draw_tensors_that_carry_gradients():
    y = torch.ones(3, requires_grad=True)
    assert isinstance(curves(torch.arange(3), {"y": y}, x_label="x", y_label="y", log="x"), Figure)


@pytest.mark.parametrize(("x", "base"), [([2, 8, 64], 2), ([100, 1000, 4000], 10)])
def test_a_logarithmic_axis_counts_in_powers_of_what_was_measured(x, base):
    fig = curves(x, {"y": x}, x_label="x", y_label="y", log="x")
    assert fig.axes[0].xaxis.get_transform().base == base


def test_a_figure_of_pyplot_is_closed_and_not_shown_twice():
    import matplotlib.pyplot as plt

    with plt.style.context("dark_background"):
        fig, _ = plt.subplots()
    shown = picture(fig, "empty axes")
    assert not plt.fignum_exists(fig.number)
    assert Image.open(io.BytesIO(shown.png)).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_clouds_have_a_panel_for_each_title_and_every_class_in_the_legend():
    XY = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    fig = clouds({"one": XY, "two": -XY}, torch.tensor([0, 1, 0, 1, 1, 0, 0]), ("no", "yes"), x_label="a", y_label="b")
    assert [ax.get_title() for ax in fig.axes if ax.get_title()] == ["one", "two"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["no", "yes"]
    assert (fig.get_supxlabel(), fig.get_supylabel()) == ("a", "b")
    assert picture(fig, "points").png


@pytest.fixture
def descriptions(tmp_path, monkeypatch):
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "02_attention.toml").write_text("entropy = 'The largest weight\\n is {largest:.2f}.'\nplain = 'A line.'")
    monkeypatch.setattr(beside, "FOLDER", tmp_path)
    return folder


def test_a_description_is_found_by_its_id_and_filled_in(descriptions):
    assert described("attention.plain", {}) == "A line."
    assert described("attention.entropy", {"largest": 0.123}).endswith("is 0.12.")


def test_show_takes_an_id_in_place_of_a_text(fig, descriptions, monkeypatch):
    shown = []
    monkeypatch.setattr("coursekit.figures.display", shown.append)
    show(fig, "attention.plain")
    assert [p.alt for p in shown] == ["A line."]


@pytest.mark.parametrize(("given", "told"), [({}, "found none"), ({"largest": 1, "n": 2}, "found largest, n")])
def test_numbers_that_are_missing_or_too_many_are_told(descriptions, given, told):
    with pytest.raises(ValueError, match=f"needs the numbers largest; {told}"):
        described("attention.entropy", given)


def test_an_unknown_figure_is_told_with_close_ones(fig, descriptions):
    with pytest.raises(UnknownText, match=r"no figure is called 'attention\.entropi'; did you mean"):
        show(fig, "attention.entropi")


def test_a_description_that_is_no_text_is_told(descriptions):
    (descriptions / "03_bert.toml").write_text("pooling = 3")
    with pytest.raises(TextError, match=r"03_bert\.toml, 'bert.pooling': expected a text"):
        all_descriptions()


def test_each_panel_has_a_legend_of_its_own():
    panels = {"loss": {"run": [2, 1], "chance": [1, 1]}, "right": {"run": [0, 1], "a coin": [0.5, 0.5]}}
    fig = curve_panels([0, 1], panels, x_label="steps", marker="o")
    assert [[text.get_text() for text in ax.get_legend().get_texts()] for ax in fig.axes] == [
        ["run", "chance"],
        ["run", "a coin"],
    ]


def test_bars_of_a_reliability_diagram_are_twice_the_standard_error():
    half = torch.tensor([0.5, 0.5])
    fig = reliability(torch.tensor([0.6, 0.9]), half, torch.tensor([25, 100]), x_label="x", y_label="y")
    (_, _, (bars,)) = fig.axes[0].containers[0]
    heights = [top - bottom for (_, bottom), (_, top) in bars.get_segments()]
    assert heights == pytest.approx([0.4, 0.2])
