"""Exercises are numbered in the order of their cells, and every reference follows."""

import pytest

from grader.authoring.chapter import Specs, judge, read
from grader.authoring.notebook import expand
from grader.authoring.numbering import numbers

SPECS = Specs({"attention.softmax": 2}, {"attention.explain": 3})
SECOND = """
# %% exercise="attention.again"
def again():
    ### BEGIN SOLUTION
    return 1
    ### END SOLUTION

# %% check="attention.again"
check("attention.again", again)
"""


@pytest.fixture
def chapters(tmp_path, tiny_text):
    """Two chapters, the second with two exercises."""
    (tmp_path / "01_tiny.py").write_text(tiny_text, encoding="utf-8")
    text = tiny_text.replace("attention.softmax", "other.first").replace("attention.explain", "other.why")
    (tmp_path / "12_other.py").write_text(text + SECOND.replace("attention", "other"), encoding="utf-8")
    return tmp_path


def sources(chapters, name, old, new):
    """The markdown cells of a chapter in which `old` was exchanged for `new`."""
    path = chapters / name
    path.write_text(path.read_text("utf-8").replace(old, new), encoding="utf-8")
    text = read(path, chapters)
    judge(text, SPECS)
    return [cell.source for cell in expand(text, SPECS).cells if cell.cell_type == "markdown"]


def test_numbers_are_the_chapters_and_the_place_in_it(chapters):
    assert numbers(chapters) == {"attention.softmax": "1.1", "other.first": "12.1", "other.again": "12.2"}


def test_a_new_exercise_moves_the_ones_behind_it(chapters):
    path = chapters / "12_other.py"
    path.write_text(path.read_text("utf-8").replace("# %% exercise", SECOND + "\n# %% exercise", 1), encoding="utf-8")
    assert numbers(chapters)["other.first"] == "12.2"


HINT = "A hint may stand"


def test_a_heading_and_a_reference_get_the_number(chapters):
    new = "### Exercise [[attention.softmax]]: Softmax\n# as in exercises [[attention.softmax]] and [[other.again]]"
    assert any(
        "### Exercise 1.1: Softmax\nas in exercises 1.1 and 12.2" in source
        for source in sources(chapters, "01_tiny.py", HINT, new)
    )


def test_code_keeps_its_brackets(chapters):
    path = chapters / "01_tiny.py"
    path.write_text(path.read_text("utf-8").replace("print(seed)", "print([[attention.softmax]])"), encoding="utf-8")
    text = read(path, chapters)
    judge(text, SPECS)
    assert any(cell.source == "print([[attention.softmax]])" for cell in expand(text, SPECS).cells)


def test_a_cell_has_the_same_id_as_with_the_number_written_out(chapters, tiny_text):
    cells = []
    for hint in ("1.1 or [[attention.softmax]]", "1.1 or 1.1"):
        path = chapters / "01_tiny.py"
        path.write_text(tiny_text.replace(HINT, hint), encoding="utf-8")
        cells.append([(cell.id, cell.source) for cell in expand(read(path, chapters), SPECS).cells])
    assert cells[0] == cells[1]
