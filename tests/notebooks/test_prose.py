"""What the prose tells of a run is what the committed run printed; `portable.py` asks the same of other processors."""

from pathlib import Path

import claims
import nbformat
import pytest

SOLUTIONS = Path(__file__).parents[2] / "solutions"
SLUGS = sorted({claim.slug for claim in claims.CLAIMS})


def committed(slug):
    return nbformat.read(SOLUTIONS / slug / f"{slug}.ipynb", as_version=4)


@pytest.mark.parametrize("slug", SLUGS)
def test_the_committed_outputs_bear_out_the_prose(slug):
    assert list(claims.broken(slug, committed(slug))) == []


def altered(old, new, kind):
    """Chapter 03 with one text replaced in its prose or its outputs."""
    notebook = committed("03_bert")
    for cell in (c for c in notebook.cells if c.cell_type == kind):
        if kind == "markdown":
            cell.source = cell.source.replace(old, new)
        for output in cell.get("outputs", []):
            output["text"] = output.get("text", "").replace(old, new)
    return list(claims.broken("03_bert", notebook))


def test_a_number_that_does_not_bear_out_its_sentence_is_told():
    (told,) = altered("evaluation mode: 0", "evaluation mode: 7", "code")
    assert "'In training mode some answers change by chance alone', and printed [" in told


def test_a_number_that_is_printed_no_more_is_told():
    (told,) = altered("of 100 answers change", "", "code")
    assert "and printed nothing where 'mode: # of 100 answers change' stands" in told
    (told,) = altered("evaluation mode: 0", "", "code")
    assert "and printed [" in told


def test_a_sentence_that_is_gone_is_told():
    (told,) = altered("In training mode some answers", "In training mode no answers", "markdown")
    assert "no cell of 03_bert says 'In training mode some answers change" in told
