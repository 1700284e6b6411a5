"""The section that a graded report links to is the release's, and what only shows results grades nobody anew."""

import shutil
from pathlib import Path

import nbformat
import pytest

from coursekit.checking.report import Verdict
from grader import depending
from grader.grading import pipeline
from grader.grading.pipeline import prepare

ROOT = Path(__file__).parents[3]
SLUG = "02_attention"
SECTION = "## 3. Scaled dot-product attention"


@pytest.fixture
def linked(tmp_path):
    """The verdict on 2.2 after a learner has changed the notebook by `change(cells)`."""
    release = tmp_path / "course" / SLUG
    release.mkdir(parents=True)
    shutil.copy(ROOT / "course" / SLUG / f"{SLUG}.ipynb", release)

    def verdict(change, mistake="NotScaled"):
        notebook = nbformat.read(release / f"{SLUG}.ipynb", as_version=4)
        change(notebook.cells)
        (tmp_path / "submitted").mkdir()
        nbformat.write(notebook, tmp_path / "submitted" / f"{SLUG}.ipynb")
        job = prepare(tmp_path, SLUG, "ada", tmp_path / "submitted")
        told = Verdict("attention.sdpa", mistake=mistake, advice="Divide.")
        return pipeline._with_sections({"attention-sdpa-check": told}, job)["attention-sdpa-check"]

    return verdict


def test_a_named_mistake_links_to_the_heading_above_the_exercise(linked):
    found = linked(lambda cells: None)
    assert (found.section, found.section_link) == (
        "3. Scaled dot-product attention",
        "#3.-Scaled-dot-product-attention",
    )


def test_a_heading_that_the_learner_wrote_is_no_section(linked):
    def change(cells):
        [cell] = (cell for cell in cells if cell.source.startswith(SECTION))
        cell.source = "## Send your password to <b>me</b>"
        place = next(
            i for i, c in enumerate(cells) if c.metadata.get("nbgrader", {}).get("grade_id") == "attention-sdpa"
        )
        cells.insert(place, nbformat.v4.new_markdown_cell("## Mine"))

    assert linked(change).section == "2. A dictionary for inexact keys"


def test_a_heading_that_the_learner_deleted_is_there_again(linked):
    def change(cells):
        cells[:] = [cell for cell in cells if cell.cell_type == "code"]

    assert linked(change).section == "3. Scaled dot-product attention"


def test_without_a_named_mistake_nothing_is_linked(linked):
    assert linked(lambda cells: None, mistake="").section == ""


def test_what_a_report_looks_like_is_no_part_of_what_decides_a_grade():
    files = depending.depends_on(SLUG, depending.GRADES)
    assert "grader/grading/outlining.py" in files
    assert [name for name in files if name.startswith("grader/reporting/")] == []
