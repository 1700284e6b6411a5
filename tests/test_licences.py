"""Whoever holds a part of the course can read under which licence: code BSD 3-Clause, text and figures CC BY 4.0."""

import re
import tomllib
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9][0-9]_*.py"))
LAST_LINE = (
    "*Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). "
    "Code: BSD 3-Clause. Copyright: the authors of this course.*"
)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapters_last_words_are_its_licence(chapter):
    cells = jupytext.read(chapter, fmt="py:percent").cells
    *_, last = (cell.source for cell in cells if cell.cell_type == "markdown")
    assert last.splitlines()[-1] == LAST_LINE, f"end the last markdown cell of {chapter.name} with this line"


def test_every_distribution_says_its_licence_and_brings_its_text():
    for folder in (ROOT, ROOT / "grader"):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["license"].startswith("BSD-3-Clause")
        assert all((folder / name).is_file() for name in project["license-files"])


def test_the_graders_licence_is_the_courses():
    assert (ROOT / "grader" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_texts_are_those_that_are_named():
    assert (ROOT / "LICENSE").read_text().startswith("BSD 3-Clause License\n")
    content = (ROOT / "LICENSE-CONTENT").read_text()
    assert content.startswith("Attribution 4.0 International\n")
    assert all(f"Section {n} -- " in content for n in range(1, 9))


def test_the_readme_names_both():
    told = re.findall(r"\]\((LICENSE[^)]*)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"LICENSE", "LICENSE-CONTENT"} <= set(told)


def test_the_citation_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"].split(" AND ")
