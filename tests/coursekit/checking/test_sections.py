"""The section that teaches an exercise is found in the notebook, and the link to it leads there."""

import json
from pathlib import Path

import nbformat
import pytest

from coursekit.checking import sections
from coursekit.checking.checks import check
from coursekit.checking.report import Verdict
from coursekit.checking.sections import Section, headings, here, teaching
from coursekit.exercises import chapters

ROOT = Path(__file__).parents[3]
SLUG = "02_attention"


def released(slug):
    return nbformat.read(ROOT / "course" / slug / f"{slug}.ipynb", as_version=4).cells


def notebook(*texts):
    """An exercise below Markdown cells with these texts."""
    cells = [{"cell_type": "markdown", "id": f"m{i}", "source": text, "metadata": {}} for i, text in enumerate(texts)]
    marks = ({"solution": True, "grade": False}, {"solution": False, "grade": True})
    sources = ("def f(): ...", 'check("some.thing", f)')
    return cells + [
        {"cell_type": "code", "id": s, "source": s, "metadata": {"nbgrader": m}}
        for s, m in zip(sources, marks, strict=True)
    ]


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.slug)
def test_every_exercise_of_a_chapter_is_taught_in_a_section(chapter):
    found = teaching(released(chapter.slug))
    assert set(found) == set(chapter.exercises)
    assert not [section for section in found.values() if section.title.startswith("Exercise")]


def test_the_nearest_heading_counts_and_is_told_with_the_one_above_it():
    texts = ("# Chapter", "## 1. One\n\ntext\n\n### A part", "### Exercise 1.1: Do\n\nit")
    found = teaching(notebook(*texts))
    assert found == {"some.thing": Section("A part", "m1", "1. One")}
    assert found["some.thing"].name == "1. One › A part"


def test_a_chapters_title_teaches_nothing():
    assert teaching(notebook("# Chapter")) == {}


def test_a_comment_in_fenced_code_is_no_heading():
    assert headings("## True\n\n```python\n## a comment\n```\n") == [(2, "True")]


@pytest.mark.parametrize(
    "heading",
    [
        *("3. Scaled dot-product attention", "Where does the mask go?", "First way: add a position"),
        *("Why **not** `softmax(x)`?", "Größe & mehr", "100% of [the links](https://example.org)", "It's 80/10/10"),
        "Why divide by $\\sqrt d$?",
    ],
)
def test_the_anchor_is_the_one_that_nbconvert_gives_the_heading(heading):
    from nbconvert.filters import markdown2html

    [section] = teaching(notebook(f"## {heading}")).values()
    assert f'id="{section.anchor[1:]}"'.replace("&", "&amp;") in markdown2html(f"## {heading}")


def test_a_kernel_finds_its_notebook_by_the_session_and_by_the_chapters_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(sections.SESSION, raising=False)
    assert here("some.thing", "1_x") == ("", "")
    (tmp_path / "1_x.ipynb").write_text(json.dumps({"cells": notebook("## One")}))
    assert here("some.thing", "1_x") == ("One", "1_x.ipynb#cell-id=m0")
    (tmp_path / "my copy.ipynb").write_text(json.dumps({"cells": notebook("## Two")}))
    monkeypatch.setenv(sections.SESSION, str(tmp_path / "my copy.ipynb"))
    assert here("some.thing", "1_x") == ("Two", "my%20copy.ipynb#cell-id=m0")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"cells": 3}', '{"cells": [1, {"source": 2, "metadata": []}]}'])
def test_a_damaged_notebook_costs_the_link_and_no_more(content, tmp_path, monkeypatch):
    monkeypatch.setenv(sections.SESSION, str(tmp_path / "x.ipynb"))
    (tmp_path / "x.ipynb").write_text(content)
    assert here("some.thing", "x") == ("", "")


def test_a_check_that_names_a_mistake_says_what_to_read_again(monkeypatch):
    monkeypatch.chdir(ROOT / "course" / SLUG)
    monkeypatch.delenv(sections.SESSION, raising=False)
    verdict = check("attention.sdpa", lambda Q, K, V: (Q @ K.mT).softmax(-1) @ V)
    assert verdict.mistake == "NotScaled"
    assert "Read again: 3. Scaled dot-product attention" in verdict.text()
    cell = teaching(released(SLUG))["attention.sdpa"].cell
    assert f'<a href="{SLUG}.ipynb#cell-id={cell}">3. Scaled dot-product attention</a>' in verdict._repr_html_()


def test_a_verdict_without_a_named_mistake_links_nowhere():
    assert "Read again" not in Verdict("x", section="One", section_link="#One").text()
    assert "Read again" not in Verdict("x", advice="Do this.").text()


def test_nothing_of_a_heading_acts_in_the_report():
    evil = '"><script>alert(1)</script>'
    shown = Verdict("x", advice="Do.", section=evil, section_link=evil)._repr_html_()
    assert "<script" not in shown
    assert '"><s' not in shown
