"""Names of a chapter: what checks know of its cells, and what the build refuses because going back would break."""

import json

import nbformat
import pytest

from grader.authoring import chapter, naming
from grader.authoring.building import course_path
from grader.authoring.watching import kind


def refusals(tmp_path, text):
    (tmp_path / "chapters").mkdir()
    path = tmp_path / "chapters" / "01_tiny.py"
    path.write_text(text, encoding="utf-8")
    return [sentence for _, sentence in naming.refusals(chapter.read(path, tmp_path))]


@pytest.mark.parametrize("line", ["softmax = torch.softmax", "for softmax in (1, 2): pass", "import softmax"])
def test_a_demonstration_that_takes_an_exercises_name_is_refused(tmp_path, tiny_text, line):
    [told] = refusals(tmp_path, tiny_text.replace("print(seed)", line, 1))
    assert "binds 'softmax', which is what exercise 'attention.softmax' asks for" in told


def test_a_name_inside_a_function_is_its_own(tmp_path, tiny_text):
    assert refusals(tmp_path, tiny_text.replace("print(seed)", "def f():\n    softmax = 1\n    return softmax")) == []


def notebook(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def retyped(*rows):
    """Sentences for cells given as (source, types)."""
    return [told for _, told in naming.retyped(notebook(*(source for source, _ in rows)), dict(rows))]


def test_a_name_that_an_earlier_cell_reads_must_not_change_its_type():
    rows = [("steps = 10", {"steps": "number"}), ("print(steps)", {}), ("steps = range(9)", {"steps": "range"})]
    [told] = retyped(*rows)
    assert "binds 'steps' to a range" in told
    assert "reads it as a number" in told


def test_a_name_that_nobody_reads_between_may_change():
    rows = [("x = 1", {"x": "number"}), ("x = []", {"x": "list of int"}), ("print(x)", {})]
    assert retyped(*rows) == []


def test_the_same_type_again_is_no_trouble():
    rows = [("x = 1", {"x": "number"}), ("print(x)", {}), ("x = 2.5", {"x": "number"})]
    assert retyped(*rows) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "number"),
        (1.5, "number"),
        (["a"], "list of str"),
        ([[1]], "list of list"),
        ([], ""),
        (range(3), "range"),
        (len, "function"),
        (int, "class"),
    ],
)
def test_types_are_told_as_a_reader_tells_them(value, told):
    assert kind(value) == told


@pytest.mark.parametrize("slug", ["02_attention", "03_bert"])
def test_the_table_of_a_chapter_is_what_its_release_gives(root, slug):
    released = nbformat.read(course_path(root, slug), as_version=4)
    assert naming.table(released) == (root / naming.FOLDER / f"{slug}.json").read_text(encoding="utf-8")


def test_the_table_tells_data_from_functions(root):
    rows = json.loads((root / naming.FOLDER / "02_attention.json").read_text(encoding="utf-8"))
    [row] = [row for row in rows if {"split", "merge"} <= set(row["binds"])]
    assert row["kind"] == "demonstration"
    assert "at_once" in row["data"]
    assert "split" not in row["data"]
    assert {row["exercise"] for row in rows if row["kind"] == "answer"} == {
        row["exercise"] for row in rows if row["kind"] == "check"
    }
