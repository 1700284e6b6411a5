"""What is kept of a submitted notebook, and what runs."""

import copy
import json
from pathlib import Path

import nbformat
import pytest

from grader.grading.rebuilding import rebuild

ROOT = Path(__file__).parents[3]
RELEASE = nbformat.read(ROOT / "course" / "02_attention" / "02_attention.ipynb", as_version=4)
EXERCISE, CHECK = "attention-softmax", "attention-softmax-check"


def submitted():
    return json.loads(json.dumps(RELEASE))


def cell(notebook, grade_id):
    return next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def setup(notebook):
    return next(c for c in notebook["cells"] if "setup" in c["metadata"].get("tags", ()))


def demonstration(notebook):
    plain = (c for c in notebook["cells"] if c["cell_type"] == "code" and "nbgrader" not in c["metadata"])
    return next(c for c in plain if not {"setup", "parameters"} & set(c["metadata"].get("tags", ())))


def code(source, id="mine"):
    return {"cell_type": "code", "id": id, "metadata": {}, "source": source, "outputs": [], "execution_count": None}


def rebuilt(notebook):
    return rebuild(RELEASE, json.dumps(notebook).encode())


def run(result):
    return [result.notebook.cells[i].source for i in result.runs]


def test_an_untouched_release_runs_setup_exercises_and_checks():
    result = rebuilt(submitted())
    assert [c.source for c in result.notebook.cells] == [c.source for c in RELEASE.cells]
    kinds = [result.notebook.cells[i].metadata for i in result.runs]
    assert all("nbgrader" in m or {"setup", "parameters"} & set(m.get("tags", ())) for m in kinds)
    graded = [c for c in RELEASE.cells if c.cell_type == "code" and "nbgrader" in c.metadata]
    assert sum("nbgrader" in m for m in kinds) == len(graded)
    assert (result.reason, result.flags) == ("", ())


def test_an_answer_is_taken_by_its_grade_id():
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = ["def softmax(x, dim):\n", "    return x.softmax(dim)"]
    assert "def softmax(x, dim):\n    return x.softmax(dim)" in run(rebuilt(notebook))


def test_a_helper_runs_where_it_stands():
    notebook = submitted()
    at = notebook["cells"].index(cell(notebook, EXERCISE))
    notebook["cells"].insert(at, code("helper = 1"))
    sources = run(rebuilt(notebook))
    assert sources.index("helper = 1") + 1 == sources.index(cell(notebook, EXERCISE)["source"])


def test_a_changed_demonstration_runs_and_an_unchanged_one_does_not():
    notebook = submitted()
    shown = demonstration(notebook)
    assert shown["source"] not in run(rebuilt(notebook))
    shown["source"] += "\nmine = 1"
    assert shown["source"] in run(rebuilt(notebook))


def test_a_changed_setup_runs_after_the_released_one():
    notebook = submitted()
    released = setup(notebook)["source"]
    setup(notebook)["source"] = changed = released + "\nimport math"
    sources = run(rebuilt(notebook))
    assert sources.index(released) + 1 == sources.index(changed)


def test_added_markdown_is_kept_and_never_runs():
    notebook = submitted()
    notebook["cells"].append({"cell_type": "markdown", "id": "note", "metadata": {}, "source": "a note"})
    result = rebuilt(notebook)
    assert result.notebook.cells[-1].source == "a note"
    assert "a note" not in run(result)


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb["cells"].append(code("1 + 1")),
        lambda nb: nb["cells"].remove(demonstration(nb)),
        lambda nb: demonstration(nb).update(source="changed"),
        lambda nb: setup(nb).update(source=setup(nb)["source"] + "\nimport math"),
        lambda nb: nb["metadata"].update(widgets={}, kernelspec={"name": "conda", "display_name": "Conda"}),
        lambda nb: [c["metadata"].update(collapsed=True, execution={"iopub.status.idle": "x"}) for c in nb["cells"]],
        lambda nb: nb["cells"].insert(3, copy.deepcopy(cell(nb, EXERCISE))),
    ],
    ids=["added", "deleted", "changed", "imports", "metadata", "cell_metadata", "copied"],
)
def test_what_learners_do_raises_no_suspicion(change):
    notebook = submitted()
    change(notebook)
    assert rebuilt(notebook).flags == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda nb: nb["cells"].remove(cell(nb, CHECK)), "deleted"),
        (lambda nb: cell(nb, CHECK).update(source="2"), "altered"),
        (lambda nb: cell(nb, CHECK).update(cell_type="raw"), "raw"),
        (lambda nb: cell(nb, CHECK)["metadata"].update(tags=["skip-execution"]), "skip-execution"),
        (lambda nb: cell(nb, CHECK)["metadata"]["nbgrader"].update(points=99), "points"),
        (lambda nb: nb["cells"].append(copy.deepcopy(cell(nb, CHECK))), "2 times"),
        (lambda nb: nb["cells"].remove(cell(nb, EXERCISE)), "deleted"),
    ],
)
def test_a_tampered_cell_is_named_and_the_released_one_counts(change, said):
    notebook = submitted()
    change(notebook)
    result = rebuilt(notebook)
    assert said in " ".join(result.flags)
    assert cell(result.notebook, CHECK)["source"] == cell(submitted(), CHECK)["source"]
    assert cell(result.notebook, CHECK)["source"] in run(result)
    assert cell(result.notebook, CHECK).metadata == cell(RELEASE, CHECK).metadata


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[]", "list"),
        (b"{}", "no list of cells"),
        (json.dumps({"cells": [{}] * 3000}).encode(), "3,000 cells"),
        (json.dumps({"cells": [{"source": "x" * 5_000_000}]}).encode(), "characters"),
    ],
)
def test_an_unreadable_file_gives_the_release_and_a_reason(data, said):
    result = rebuild(RELEASE, data)
    assert said in result.reason
    assert result.runs == ()
    assert [c.source for c in result.notebook.cells] == [c.source for c in RELEASE.cells]
