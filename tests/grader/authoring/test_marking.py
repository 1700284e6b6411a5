"""Terms and formulas are read where they stand and listed where the chapter ends."""

import pytest

from grader.authoring import marking
from grader.authoring.chapter import Cell, Text

TERM = "Hide the [[term: padding mask | which places\nhold tokens]] from it."
FORMULA = "[[formula: Softmax | x (..., n)]]\n$$a_j = e^{x_j}$$\nand so on."
LISTS = "## Terms and formulas\n[[terms]]\n\n[[formulas]]"


def cells(*sources):
    return [Cell("markdown", source, {}, 10 * i) for i, source in enumerate(sources)]


def refused(*sources):
    return [told for _, told in marking.refusals(Text("02_x", "02_x.py", {}, tuple(cells(*sources)), {}))]


def test_a_term_is_read_in_bold_and_its_meaning_is_not():
    [cell] = marking.shown(cells(TERM))
    assert cell.source == "Hide the **padding mask** from it."


def test_a_formula_is_read_without_its_mark():
    [cell] = marking.shown(cells(FORMULA))
    assert cell.source == "$$a_j = e^{x_j}$$\nand so on."


def test_terms_are_listed_with_meaning_and_section_in_the_order_of_the_alphabet():
    *_, last = marking.shown(cells("## 4. What is hidden", TERM, "An [[term: entropy | a mean]].", LISTS))
    table = last.source.split("\n\n")[0].splitlines()
    assert table[-2:] == [
        "| **entropy** | a mean | [4. What is hidden](#4.-What-is-hidden) |",
        "| **padding mask** | which places hold tokens | [4. What is hidden](#4.-What-is-hidden) |",
    ]


def test_formulas_are_listed_with_their_shapes():
    *_, last = marking.shown(cells("## 2. A dictionary", FORMULA, LISTS))
    assert last.source.endswith("**Softmax** ([2. A dictionary](#2.-A-dictionary))\n$$a_j = e^{x_j}$$\nx (..., n)")


def test_code_stays_as_it_is():
    code = Cell("code", TERM, {}, 1)
    assert marking.shown([code]) == [code]


def test_a_chapter_that_marks_and_lists_is_not_refused():
    assert refused("## 2. A dictionary", TERM, FORMULA, LISTS) == []


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ([TERM], "listed nowhere"),
        ([TERM, FORMULA, TERM, LISTS], "'padding mask' is marked twice"),
        ([TERM, LISTS], "[[formulas]] has nothing to list"),
        ([TERM, FORMULA, LISTS, "a [[term: mask, which hides]]"], "is no mark"),
        ([TERM, FORMULA, LISTS, "[[formula: Law | x (n)]]\nno dollars"], "is no mark"),
    ],
)
def test_marks_that_cannot_be_read_are_refused(sources, told):
    assert any(told in sentence for sentence in refused(*sources))
