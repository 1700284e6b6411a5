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


SOLVED = "def softmax(x, dim):\n    return x.softmax(dim)"
QUESTION = "attention-read_heat_map"
ESSAY = "A row is a query and a column is a key."


def pasted(notebook):
    """The cells without metadata and ids, as another editor keeps them."""
    for each in notebook["cells"]:
        each["metadata"] = {}
        each.pop("id", None)
    return notebook


def markdown(source, id="mine"):
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def index_of(notebook, grade_id):
    return notebook["cells"].index(cell(notebook, grade_id))


def test_answers_without_metadata_are_found_by_the_names_they_define():
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = SOLVED
    cell(notebook, "attention-heads")["source"] = "def split_heads(X, H): ...\n\ndef merge_heads(Y): ..."
    result = rebuilt(pasted(notebook))
    assert cell(result.notebook, EXERCISE)["source"] == SOLVED
    assert "def split_heads(X, H): ..." in cell(result.notebook, "attention-heads")["source"]
    assert "have lost their ids" in " ".join(result.flags)


@pytest.mark.parametrize("below", [0, 1, 5])
def test_an_answer_in_a_cell_of_its_own_takes_the_place_of_an_untouched_stub(below):
    notebook = submitted()
    notebook["cells"].insert(index_of(notebook, CHECK) + below, code(SOLVED))
    result = rebuilt(notebook)
    assert cell(result.notebook, EXERCISE)["source"] == SOLVED
    assert run(result).count(SOLVED) == 1
    assert result.flags == ()


def test_two_cells_with_a_function_each_answer_together():
    notebook = submitted()
    at = index_of(notebook, "attention-heads-check") + 1
    notebook["cells"][at:at] = [code("def split_heads(X, H): ..."), code("def merge_heads(Y): ...", "other")]
    answer = cell(rebuilt(notebook).notebook, "attention-heads")["source"]
    assert answer == "def split_heads(X, H): ...\n\ndef merge_heads(Y): ..."


def test_a_written_answer_stays_where_another_cell_defines_its_name_too():
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = SOLVED
    notebook["cells"].append(code("def softmax(x, dim): return 0"))
    assert cell(rebuilt(notebook).notebook, EXERCISE)["source"] == SOLVED


def test_a_stub_does_not_undo_an_answer_in_another_exercises_cell():
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = f"{SOLVED}\n\ndef scaled_dot_product_attention(Q, K, V): ..."
    result = rebuilt(notebook)
    assert cell(submitted(), "attention-sdpa")["source"] not in run(result)


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb["cells"].insert(index_of(nb, QUESTION) + 1, markdown(ESSAY)),
        lambda nb: nb["cells"].insert(index_of(nb, QUESTION), markdown(ESSAY)),
        lambda nb: nb["cells"].insert(index_of(nb, QUESTION) + 1, code("# " + ESSAY)),
        lambda nb: nb["cells"].insert(index_of(nb, QUESTION) + 1, code(ESSAY)),
        lambda nb: nb["cells"].remove(cell(nb, QUESTION)) or nb["cells"].append(markdown(ESSAY * 6)),
        lambda nb: nb["cells"][index_of(nb, QUESTION) - 1].update(
            source=nb["cells"][index_of(nb, QUESTION) - 1]["source"] + "\n\n" + ESSAY
        ),
        lambda nb: cell(nb, QUESTION).update(source=ESSAY) or pasted(nb),
    ],
    ids=["below", "above", "comment", "code", "at the end", "in the question", "without ids"],
)
def test_a_question_answered_elsewhere_shows_the_text_and_asks_a_person(change):
    notebook = submitted()
    change(notebook)
    result = rebuilt(notebook)
    assert ESSAY in cell(result.notebook, QUESTION)["source"]
    assert QUESTION in " ".join(result.flags)


def test_an_answered_question_stays_as_it_is():
    notebook = submitted()
    cell(notebook, QUESTION)["source"] = ESSAY
    notebook["cells"].append(markdown("notes " * 100))
    result = rebuilt(notebook)
    assert cell(result.notebook, QUESTION)["source"] == ESSAY
    assert result.flags == ()


def test_a_pasted_picture_stays_and_what_is_none_does_not():
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    notebook = submitted()
    cell(notebook, QUESTION)["source"] = "![a](attachment:a.png)"
    cell(notebook, QUESTION)["attachments"] = {
        "a.png": {"image/svg+xml": "<svg/>", "image/png": picture},
        "b.png": {"image/png": "<svg/>"},
        "c.png": 3,
    }
    assert cell(rebuilt(notebook).notebook, QUESTION)["attachments"] == {"a.png": {"image/png": picture}}


def test_what_an_answer_reads_of_a_demonstration_runs_in_its_place():
    notebook = submitted()
    cell(notebook, "attention-multihead")["source"] = (
        "class MultiHeadAttention(nn.Module):\n    f = lambda X: split(X, 2)"
    )
    result = rebuilt(notebook)
    [(place, statements)] = result.provided.items()
    assert "split, merge = use(" in result.notebook.cells[place].source
    assert statements == ("split, merge = use('attention.heads', split_heads, merge_heads)",)
    order = [result.notebook.cells[i].source for i in result.runs]
    assert order.index(result.notebook.cells[place].source) < order.index(
        cell(notebook, "attention-multihead")["source"]
    )
    assert "not written yet: `merge_heads`, `split_heads`" in result.notes["attention-multihead-check"]


def test_a_name_that_is_defined_below_only_is_told():
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = "def softmax(x, dim):\n    return helper(x)"
    notebook["cells"].append(code("def helper(x): return x"))
    assert "reads `helper`, which is defined below" in rebuilt(notebook).notes[CHECK]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def softmax(x, dim)\n    return x", "its cell is no Python: SyntaxError in line 1"),
        ("def soft(x, dim):\n    return x", "its cell defines no softmax"),
    ],
)
def test_why_a_check_will_hand_over_nothing_is_said(source, told):
    notebook = submitted()
    cell(notebook, EXERCISE)["source"] = source
    assert rebuilt(notebook).problems[CHECK].startswith(told)


def test_outputs_count_for_nothing():
    notebook = submitted()
    shown = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * (12 << 20)}}
    demonstration(notebook)["outputs"] = [shown]
    assert rebuilt(notebook) == rebuilt(submitted())
