"""Cells are short, statements stand alone, and prose does not hinge on colons."""

import pytest

from grader.authoring.chapter import Cell, Text
from grader.authoring.rhythm import refusals

STATEMENT = "### Exercise [[attention.sdpa]]: Attention\ncore"


def told(*cells):
    return [sentence for _, sentence in refusals(Text("02_attention", "chapters/02.py", {}, cells, {}))]


def markdown(source, **keys):
    return Cell("markdown", source, keys, 1)


def test_a_long_code_cell_is_refused_and_an_exercise_may_be_long():
    long = "\n".join(["x = 1"] * 31)
    assert "has 31 lines, at most 30" in told(Cell("code", long, {}, 1))[0]
    assert told(Cell("code", long, {"exercise": "attention.sdpa"}, 1)) == []


def test_a_statement_has_a_cell_of_its_own():
    assert told(markdown(STATEMENT)) == []
    assert "a cell of its own" in told(markdown(f"Some prose.\n\n{STATEMENT}"))[0]


def test_a_long_markdown_cell_is_refused_and_what_is_folded_may_be_long():
    assert "has 201 words, at most 200" in told(markdown("word " * 201))[0]
    assert told(markdown(f"<details><summary>Hint 1</summary>{'word ' * 300}</details>")) == []


@pytest.mark.parametrize(
    ("colons", "refused"), [(1, False), (2, True)], ids=["as many as a reader bears", "twice as many"]
)
def test_colons_are_counted(colons, refused):
    assert bool(told(markdown("word " * 124 + "word: " * colons))) == refused


@pytest.mark.parametrize("source", ["$a: b$", "`x[:, 1]: y`", "[here](https://x.y)", "$$f: x$$", "\n| a: | b: |\n"])
def test_what_is_not_prose_has_no_colons(source):
    assert told(markdown(f"word {source} word")) == []


def test_what_follows_a_heading_is_read():
    assert "has 201 words" in told(markdown("## 2. A heading: of its own\n" + "word " * 201))[0]


def test_a_list_of_papers_may_be_long():
    assert told(markdown("## Papers\n" + "word " * 201)) == []
