"""Thousands of mutated notebooks and folders: never an exception, always a valid notebook or a reason."""

import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.grading.intake import take
from grader.grading.rebuilding import rebuild

NOW = datetime(2026, 11, 1, tzinfo=UTC)
QUICK = settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def graded(kind, id, **flags):
    marks = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3, "grade_id": id}
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(f"# {id}", id=id, metadata={"nbgrader": marks | flags})


def release():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# Title", id="title"),
        nbformat.v4.new_code_cell("import torch", id="setup", metadata={"tags": ["setup"]}),
        graded("code", "one", solution=True),
        graded("code", "one-check", grade=True, locked=True, points=2),
        nbformat.v4.new_code_cell("show()", id="demo"),
        graded("markdown", "why", grade=True, solution=True, points=3),
        graded("code", "two", solution=True),
        graded("code", "two-check", grade=True, locked=True, points=1),
    ]
    return notebook


RELEASE = release()
CHECKS = ["one-check", "two-check"]
texts = st.text(max_size=20) | st.sampled_from(
    ["one", "one-check", "two", "setup", "demo", "# one-check", "\ud800", "\0"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "cells",
    "cell_type",
    "metadata",
    "source",
    "id",
    "outputs",
    "nbgrader",
    "grade_id",
    "tags",
    "nbformat",
    "input",
]


@st.composite
def mutated(draw):
    """The release as JSON, with a few places replaced by anything."""
    notebook = json.loads(json.dumps(RELEASE))
    for _ in range(draw(st.integers(0, 6))):
        target = notebook
        while isinstance(target, dict | list) and target:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            key = draw(st.sampled_from(keys))
            inner = target[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
                what = draw(st.sampled_from(["replace", "delete", "repeat", "insert"]))
                if what == "delete":
                    del target[key]
                elif what == "repeat" and isinstance(target, list):
                    target.insert(draw(st.integers(0, len(target))), inner)
                elif what == "insert" and isinstance(target, dict):
                    target[draw(st.sampled_from(KEYS))] = draw(values)
                else:
                    target[key] = draw(values)
                break
            target = inner
    return notebook


def holds(result):
    nbformat.validate(result.notebook)
    text = nbformat.writes(result.notebook)
    assert nbformat.reads(text, as_version=4) == result.notebook
    code = [cell.cell_type for cell in result.notebook.cells]
    assert list(result.runs) == sorted(set(result.runs))
    assert all(code[i] == "code" for i in result.runs)
    by_id = {cell.id: cell for cell in result.notebook.cells}
    assert len(by_id) == len(result.notebook.cells)
    for mine in RELEASE.cells:
        if mine.id in CHECKS:
            assert by_id[mine.id] == mine
    ran = {result.notebook.cells[i].id for i in result.runs}
    assert result.reason or {*CHECKS, "setup"} <= ran


@QUICK
@given(mutated())
def test_a_mutated_notebook_is_rebuilt(notebook):
    holds(rebuild(RELEASE, json.dumps(notebook).encode("utf-8", "surrogatepass")))


@QUICK
@given(mutated(), st.integers(0, 4000), st.binary(max_size=8), st.integers(0, 8))
def test_damaged_bytes_are_rebuilt_or_refused(notebook, at, put, cut):
    data = bytearray(json.dumps(notebook).encode("utf-8", "surrogatepass"))
    data[at : at + cut] = put
    holds(rebuild(RELEASE, bytes(data)))


@QUICK
@given(st.binary(max_size=400))
def test_any_bytes_are_rebuilt_or_refused(data):
    result = rebuild(RELEASE, data)
    holds(result)
    assert result.reason


names = st.sampled_from(
    ["nb.ipynb", "timestamp.txt", "torch.py", "Nb.ipynb", "x", "submission_secret.txt", "a\nb", "<b>"]
)
kinds = st.sampled_from(["file", "link", "dangling", "folder", "pipe", "hard"])


@settings(parent=QUICK, max_examples=500)
@given(st.lists(st.tuples(names, kinds, st.binary(max_size=60)), max_size=5, unique_by=lambda entry: entry[0]))
def test_any_folder_is_taken_in_or_refused(entries):
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "in").mkdir()
        (folder / "outside").write_bytes(b"outside")
        for name, kind, data in entries:
            place(folder, folder / "in" / name, kind, data)
        taken = take(folder / "in", "nb", NOW)
        there = {name: (kind, data) for name, kind, data in entries}
        kind, data = there.get("nb.ipynb", ("", b""))
        assert taken.notebook == (data if kind == "file" else None)
        assert bool(taken.reason) == (taken.notebook is None)
        assert taken.timestamp is None or datetime(2000, 1, 1, tzinfo=UTC) <= taken.timestamp <= datetime.now(UTC)
    finally:
        shutil.rmtree(folder)


def place(folder, path, kind, data):
    if kind == "file":
        path.write_bytes(data)
    elif kind == "link":
        path.symlink_to(folder / "outside")
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        other = folder / f"other-{abs(hash(path.name))}"
        other.write_bytes(data)
        os.link(other, path)
