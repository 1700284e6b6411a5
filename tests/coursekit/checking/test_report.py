"""The report reads the same in a terminal and as HTML, and nothing in it is live."""

import pytest

from coursekit.checking.report import PartResult, Verdict


def verdict(**changes):
    parts = (
        PartResult("values", 2, 2, True, 3, ()),
        PartResult("gradients", 1, 0, False, 4, ("T=3: dQ differs", "T=4: dQ differs", "T=5: dQ differs")),
    )
    return Verdict("attention.sdpa", "Attention", parts, **changes)


def test_points_are_the_sum_over_the_parts():
    assert (verdict().earned, verdict().possible) == (2, 3)


def test_the_text_shows_two_findings_and_counts_the_rest():
    text = verdict().text()
    assert "T=4: dQ differs" in text
    assert "T=5" not in text
    assert "and 1 more like this" in text


def test_the_advice_stands_in_both_forms():
    told = verdict(mistake="m", advice="Divide by `sqrt(d)`.")
    assert "Divide by `sqrt(d)`." in told.text()
    assert "Divide by <code>sqrt(d)</code>." in told._repr_html_()


@pytest.mark.parametrize("field", ["title", "advice", "printed", "refused"])
def test_learners_text_is_escaped_in_html(field):
    html = Verdict(**{"exercise": "x", field: "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_refusal_shows_no_parts():
    assert "cases right" not in verdict(refused="no such thing").text()


def test_a_part_that_waits_says_so():
    parts = (PartResult("a", 1, 0, False, 1, ("x",)), PartResult("b", 1, 0, True, 1, ()))
    assert "counts once the parts above pass" in Verdict("x", "X", parts).text()


def test_colours_come_from_the_theme_with_fallbacks():
    assert "var(--jp-error-color1, #" in verdict()._repr_html_()
