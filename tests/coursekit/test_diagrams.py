"""Diagrams: what can be made can be read, in both themes, by eye and by ear."""

import xml.etree.ElementTree as ET

import pytest

from coursekit import beside
from coursekit.beside import UnknownText
from coursekit.diagrams import all_diagrams, diagram
from coursekit.diagrams.drawing import _DRAWN, _FLAT, WIDTH, Diagram, DoesNotFit
from coursekit.figures import all_descriptions


@pytest.fixture
def d(tmp_path, monkeypatch):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "02_attention.toml").write_text("pair = 'A & B, {n} of them.'")
    monkeypatch.setattr(beside, "FOLDER", tmp_path)
    return Diagram("attention.pair", columns=4, measured={"n": 2})


def elements(d, tag):
    return [*ET.fromstring(d.svg()).iter(f"{{http://www.w3.org/2000/svg}}{tag}")]


def test_a_box_holds_its_words_and_its_shape(d):
    d.tensor("X", "(T, D)", at=(0, 0))
    assert ["".join(e.itertext()) for e in elements(d, "text")] == ["X", "(T, D)"]


def test_the_description_is_read_out_with_what_was_measured(d):
    d.tensor("X", at=(0, 0))
    root = ET.fromstring(d.svg())
    assert root.get("role") == "img"
    (title,) = elements(d, "title")
    assert (title.text, title.get("id")) == ("A & B, 2 of them.", root.get("aria-labelledby"))
    assert repr(d) == "A & B, 2 of them."


def test_an_arrow_runs_from_edge_to_edge(d):
    one, other = d.tensor("one", at=(0, 0)), d.tensor("other", at=(2, 0))
    d.arrow(one, other, "W_Q")
    path = elements(d, "path")[-1].get("d")
    start, end = path[1:].split(" Q")[0].split(), path.split()[-2:]
    assert float(start[0]) == pytest.approx(one.x + one.width / 2, abs=0.1)
    assert float(end[0]) == pytest.approx(other.x - other.width / 2, abs=0.1)


def test_an_index_is_set_low_and_small(d):
    d.tensor("W_Q x", at=(0, 0))
    text = elements(d, "text")[0]
    assert "".join(text.itertext()) == "WQ x"
    assert [t.get("dy") for t in text] == ["4", "-4"]


def test_colours_are_the_readers_theme(d):
    d.tensor("X", at=(0, 0))
    assert "var(--jp-ui-font-color1, #222)" in d.svg()


def test_where_style_sheets_are_stripped_an_image_is_left_with_the_description(d):
    d.tensor("X", at=(0, 0))
    html = d._repr_html_()
    assert f'<div class="{_DRAWN}" hidden="hidden">{d.svg()}</div><img class="{_FLAT}" src="data:image/svg+xml' in html
    assert 'alt="A &amp; B, 2 of them."' in html


def test_a_label_that_is_cut_off_is_refused(d):
    d.tensor("a name that is much too long for one column", at=(0, 0), span=1)
    with pytest.raises(DoesNotFit, match=r"needs \d+ px and has"):
        d.svg()


def test_boxes_that_overlap_are_refused(d):
    d.tensor("one", at=(0, 0))
    d.tensor("other", at=(0.1, 0))
    with pytest.raises(DoesNotFit, match="'one' and 'other' overlap"):
        d.svg()


def test_a_box_off_the_page_is_refused(d):
    d.tensor("one", at=(4, 0))
    with pytest.raises(DoesNotFit, match="'one' leaves the page"):
        d.svg()


def test_a_label_of_an_arrow_that_covers_a_box_is_refused(d):
    one, other = d.tensor("one", at=(0, 0)), d.tensor("other", at=(1, 0))
    d.arrow(one, other, "a label that is longer than the arrow")
    with pytest.raises(DoesNotFit, match="covers 'one'"):
        d.svg()


@pytest.mark.parametrize("id", all_diagrams())
def test_every_diagram_of_the_course_can_be_read(id):
    svg = diagram(id).svg()  # it refuses what cannot
    assert ET.fromstring(svg).get("width") == str(WIDTH)


def test_every_diagram_has_a_description():
    assert {*all_diagrams()} <= {*all_descriptions()}


def test_an_unknown_diagram_is_told_with_close_ones():
    with pytest.raises(UnknownText, match=r"no diagram is called 'attention.heads'; did you mean"):
        diagram("attention.heads")
