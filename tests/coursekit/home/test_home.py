"""The home page: what would be handed in, what is still a stub, and nothing that acts in a browser."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.exercises import chapters, find
from coursekit.home import page
from coursekit.home.advising import advice
from coursekit.home.handin import Unreadable, look
from coursekit.notebook import limits
from coursekit.record.scores import Score

ROOT = Path(__file__).parents[3]
RELEASE = ROOT / "course/02_attention/02_attention.ipynb"
CHAPTER = next(chapter for chapter in chapters() if chapter.slug == "02_attention")
POINTS = sum(find(id).points for id in CHAPTER.exercises)


def changed(folder, **sources):
    """The released chapter with some cells rewritten."""
    notebook = json.loads(RELEASE.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        id = cell["metadata"].get("nbgrader", {}).get("grade_id", "").replace("-", "_")
        cell["source"] = sources.get(id, cell["source"])
    path = folder / "02_attention.ipynb"
    path.write_text(json.dumps(notebook))
    return path


def test_an_untouched_chapter_is_all_stubs():
    notebook = look(RELEASE, RELEASE)
    assert notebook.stubs == notebook.items
    assert [item.id for item in notebook.items if item.id][:2] == ["attention.softmax", "attention.sdpa"]
    assert sum(item.points for item in notebook.items) == POINTS + sum(q.points for q in CHAPTER.questions)


def test_what_was_written_is_no_stub_and_blanks_do_not_count_as_written(tmp_path):
    notebook = look(changed(tmp_path, attention_sdpa="def f(): pass", attention_softmax="  \n"), RELEASE)
    assert [item.grade_id for item in notebook.items if not item.untouched] == ["attention-sdpa"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"cells": 3}'])
def test_a_damaged_notebook_is_told_in_words(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    with pytest.raises(Unreadable, match=r"a\.ipynb"):
        look(tmp_path / "a.ipynb", RELEASE)


def test_a_damaged_notebook_can_still_be_opened_from_the_page():
    shown = page.home("course", [page.Chapter("02_attention", "02_attention/x.ipynb", None, "x.ipynb is no notebook")])
    assert "x.ipynb is no notebook" in shown
    assert 'data-action="open"' in shown


@pytest.mark.parametrize(
    ("sources", "told"),
    [
        ({"attention_softmax": "def softmax(x, dim)\n    return x"}, "The cell of softmax is no Python"),
        ({"attention_softmax": "def soft(x, dim):\n    return x"}, "No cell defines softmax"),
        (
            {"attention_sdpa": "def scaled_dot_product_attention(Q, K, V):\n    return H"},
            "reads H, which is defined below",
        ),
        ({"attention_read_heat_map": "word " * (limits.PROSE // 5 + 1)}, "at most 120,000 are shown"),
        ({"attention_softmax": "x" * (limits.CHARACTERS + 1)}, "at most 4,000,000 are read"),
    ],
)
def test_handing_in_says_what_will_go_wrong(tmp_path, sources, told):
    notebook = look(changed(tmp_path, **sources), RELEASE)
    assert told in " ".join(notebook.advice)
    assert told in page.preview(page.Chapter("02_attention", "a/b", notebook))


def test_handing_in_says_that_the_outputs_are_too_large(tmp_path):
    path = changed(tmp_path)
    with path.open("ab") as file:
        file.truncate(limits.FILE + 1)
    assert "at most 40 MB can be handed in: clear the outputs" in " ".join(advice(path, RELEASE))


def test_a_picture_that_will_not_be_shown_is_named(tmp_path):
    notebook = json.loads(RELEASE.read_text(encoding="utf-8"))
    notebook["cells"][0]["attachments"] = {"big.png": {"image/png": "A" * (4 * limits.PICTURE // 3 + 100)}}
    path = tmp_path / "02_attention.ipynb"
    path.write_text(json.dumps(notebook))
    assert "The picture big.png has 3.0 MB" in " ".join(advice(path, RELEASE))


def test_a_solved_chapter_needs_no_advice(tmp_path):
    assert look(RELEASE.parents[2] / "solutions/02_attention/02_attention.ipynb", RELEASE).advice == ()


def test_progress_is_points_of_checks_never_above_what_an_exercise_gives():
    scores = {"attention.sdpa": Score(99, 99, 99, 1, "")}
    shown = page.home("course", [page.Chapter("02_attention", "a/b", look(RELEASE, RELEASE), scores=scores)])
    assert f"2 of {POINTS} points in checks, 1 of {len(CHAPTER.exercises)} exercises done" in shown


def test_nothing_from_a_file_acts_in_the_browser():
    evil = '"><script>alert(1)</script>'
    chapter = page.Chapter(evil, evil, None, evil, (page.Handed(evil, evil),))
    shown = page.home(evil, [chapter], evil) + page.preview(chapter)
    assert "<script" not in shown
    assert '"><' not in shown.replace('""><', "")


def test_a_server_finds_kernels_and_home_without_importing_torch():
    code = "import sys, kernelkit.provisioner, coursekit.home.extension; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_functions_keep_their_names_when_their_modules_are_imported():
    code = "import coursekit.checking.checks, coursekit.figures, coursekit.record.scores; import coursekit as ck; " + (
        "from coursekit import quiz; import coursekit.quizzes; assert ck.quiz is quiz; "
        "assert all(map(callable, (ck.check, ck.show, ck.progress, quiz)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
