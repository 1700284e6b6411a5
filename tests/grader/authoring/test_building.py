"""What the build makes of a chapter: metadata, ids, bytes, kept outputs, copies of what somebody wrote."""

import json
import shutil
import subprocess
import sys

import nbformat
import pytest

from coursekit import language
from grader.authoring import executing, notebook
from grader.authoring.building import build, course_path, solution_path
from grader.authoring.chapter import BuildError
from grader.authoring.executing import execute


@pytest.fixture(scope="module")
def solution(tiny_built):
    return nbformat.read(solution_path(tiny_built, "01_tiny"), as_version=4)


@pytest.fixture(scope="module")
def course(tiny_built):
    return nbformat.read(course_path(tiny_built, "01_tiny"), as_version=4)


def cell(nb, id):
    return next(c for c in nb.cells if c.id == id)


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*.ipynb"))}


def write_in(root, source):
    """Do what a learner does: write into the released notebook and save it."""
    path = course_path(root, "01_tiny")
    nb = nbformat.read(path, as_version=4)
    cell(nb, "attention-softmax").source = source
    nbformat.write(nb, path)


def test_an_exercise_becomes_a_solution_cell(solution):
    assert dict(cell(solution, "attention-softmax").metadata.nbgrader) == {
        "schema_version": 3,
        "grade_id": "attention-softmax",
        "grade": False,
        "solution": True,
        "locked": False,
        "task": False,
    }


def test_a_check_becomes_a_locked_cell_with_the_specs_points(solution):
    meta = cell(solution, "attention-softmax-check").metadata.nbgrader
    assert (meta.grade, meta.locked, meta.solution, meta.points) == (True, True, False, 2)


def test_a_question_becomes_a_cell_that_a_person_marks(solution):
    found = cell(solution, "attention-explain")
    meta = found.metadata.nbgrader
    assert (found.cell_type, meta.grade, meta.solution, meta.locked, meta.points) == (
        "markdown",
        True,
        True,
        False,
        3,
    )


def test_the_solution_holds_its_outputs(solution):
    output = cell(solution, "attention-softmax-check").outputs[0]
    assert output.data["text/plain"] == "2"


def test_equal_cells_get_a_counter(solution):
    ids = [c.id for c in solution.cells if c.source == "print(seed)"]
    assert ids[1] == ids[0] + "-2"


def test_the_parameters_cell_keeps_its_tag(solution):
    assert [c.metadata.tags for c in solution.cells if "profile" in c.source] == [["parameters"]]


def test_the_release_holds_no_solution(course):
    assert cell(course, "attention-softmax").source.endswith("# YOUR CODE HERE\n    raise NotImplementedError()")
    assert cell(course, "attention-explain").source.endswith("YOUR ANSWER HERE")


def test_the_release_holds_no_outputs(course):
    assert not any(c.outputs or c.execution_count for c in course.cells if c.cell_type == "code")


def test_the_release_keeps_the_cell_ids(solution, course):
    assert [c.id for c in course.cells] == [c.id for c in solution.cells]


def test_generate_assignment_writes_the_same_bytes(tiny):
    before = contents(tiny / "course")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "01_tiny"]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Writing" in done.stderr, "nbgrader skipped the assignment"
    assert contents(tiny / "course") == before


def test_nbgrader_validates_the_solution(tiny):
    command = [sys.executable, "-m", "nbgrader", "validate", str(solution_path(tiny, "01_tiny"))]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True)
    assert "Success! Your notebook passes all the tests." in done.stdout, done.stdout + done.stderr


def test_nbgrader_does_not_validate_the_untouched_release(tiny):
    command = [sys.executable, "-m", "nbgrader", "validate", str(course_path(tiny, "01_tiny"))]
    done = subprocess.run(command, cwd=tiny, capture_output=True, text=True)
    assert "VALIDATION FAILED ON 2 CELL(S)" in done.stdout, done.stdout + done.stderr


def test_two_builds_give_the_same_bytes(tiny, tiny_specs):
    before = contents(tiny)
    shutil.rmtree(tiny / "solutions")
    shutil.rmtree(tiny / "course")
    build(tiny, specs=tiny_specs)
    assert contents(tiny) == before


def test_an_unchanged_tree_executes_and_writes_nothing(tiny, tiny_specs, monkeypatch):
    monkeypatch.setattr("grader.authoring.executing.execute", None)
    assert build(tiny, specs=tiny_specs) == []
    assert build(tiny, specs=tiny_specs, check=True) == []


def test_new_prose_keeps_the_outputs(tiny, tiny_specs, monkeypatch):
    monkeypatch.setattr("grader.authoring.executing.execute", None)
    path = tiny / "chapters" / "01_tiny.py"
    path.write_text(path.read_text().replace("A hint may stand", "Another hint may stand"))
    written = ["solutions/01_tiny/01_tiny.ipynb: written", "course/01_tiny/01_tiny.ipynb: written"]
    assert build(tiny, specs=tiny_specs) == written
    assert "Another hint" in course_path(tiny, "01_tiny").read_text()
    output = cell(nbformat.read(solution_path(tiny, "01_tiny"), 4), "attention-softmax-check").outputs[0]
    assert output.data["text/plain"] == "2"


def test_the_check_finds_outputs_stale(tiny, tiny_specs, monkeypatch):
    """What they depend on is tested in `test_depending.py`."""
    monkeypatch.setattr("grader.depending.digest", lambda files: "another state")
    [found] = build(tiny, specs=tiny_specs, check=True)
    assert found.startswith("solutions/01_tiny/01_tiny.ipynb: its outputs are stale")


def test_another_code_cell_makes_the_outputs_stale(tiny, tiny_specs):
    path = tiny / "chapters" / "01_tiny.py"
    path.write_text(path.read_text().replace("print(seed)", "print(seed + 1)", 1))
    [found] = build(tiny, specs=tiny_specs, check=True)
    assert found.startswith("solutions/01_tiny/01_tiny.ipynb: its outputs are stale")


def test_several_chapters_are_executed_at_once_and_one_that_is_refused_stops_no_other(tiny, tiny_specs, tiny_text):
    """Each is the same as when it is executed alone."""
    alone = solution_path(tiny, "01_tiny").read_bytes()
    (tiny / "chapters" / "02_again.py").write_text(tiny_text, encoding="utf-8")
    (tiny / "chapters" / "03_wrong.py").write_text(tiny_text.replace("print(seed)", "1 / 0"), encoding="utf-8")
    with pytest.raises(BuildError, match=r"^chapters/03_wrong\.py, cell \w+: ZeroDivisionError"):
        build(tiny, specs=tiny_specs, fresh=True)
    assert solution_path(tiny, "01_tiny").read_bytes() == alone
    assert course_path(tiny, "02_again").read_bytes() == course_path(tiny, "01_tiny").read_bytes()
    assert not solution_path(tiny, "03_wrong").exists()


def test_a_name_that_changes_its_type_under_a_cell_that_reads_it_is_refused(tiny, tiny_specs, tiny_text):
    path = tiny / "chapters" / "01_tiny.py"
    path.write_text(tiny_text + "\n# %%\nseed + 1\n\n# %%\nseed = [seed]\n", encoding="utf-8")
    before = contents(tiny / "course")
    with pytest.raises(BuildError, match=r"^chapters/01_tiny\.py, cell \w+: .*binds 'seed' to a list of int"):
        build(tiny, specs=tiny_specs)
    assert contents(tiny / "course") == before


@pytest.mark.parametrize("folder", ["solutions", "course"])
def test_the_check_finds_a_notebook_changed_by_hand(folder, tiny, tiny_specs):
    path = tiny / folder / "01_tiny" / "01_tiny.ipynb"
    path.write_text(path.read_text().replace("## The same", "## Not the same"))
    found = build(tiny, specs=tiny_specs, check=True)
    assert f"{folder}/01_tiny/01_tiny.ipynb: differs from what the build makes" in found


def test_the_check_finds_missing_and_damaged_notebooks(tiny, tiny_specs):
    solution_path(tiny, "01_tiny").write_text("{")
    assert build(tiny, specs=tiny_specs, check=True) == ["solutions/01_tiny/01_tiny.ipynb: missing or damaged"]


def test_the_check_finds_a_folder_that_no_chapter_makes(tiny, tiny_specs):
    (tiny / "course" / "07_gone").mkdir()
    assert build(tiny, specs=tiny_specs, check=True) == ["course/07_gone: no chapter makes it; delete it"]


def test_what_a_learner_wrote_is_set_aside(tiny, tiny_specs):
    write_in(tiny, "def softmax(x, dim):\n    return 'my own'")
    notes = build(tiny, specs=tiny_specs)
    assert any("work/01_tiny/01_tiny-1.ipynb" in note for note in notes)
    assert "my own" in (tiny / "work" / "01_tiny" / "01_tiny-1.ipynb").read_text()
    assert "my own" not in course_path(tiny, "01_tiny").read_text()


def test_a_second_copy_does_not_replace_the_first(tiny, tiny_specs):
    for answer in ("the first", "the second"):
        write_in(tiny, answer)
        build(tiny, specs=tiny_specs)
    copies = sorted((tiny / "work" / "01_tiny").iterdir())
    assert ["the first" in c.read_text() for c in copies] == [True, False]


def test_a_damaged_notebook_is_set_aside_as_it_is(tiny, tiny_specs):
    course_path(tiny, "01_tiny").write_text("half a noteb")
    build(tiny, specs=tiny_specs)
    assert (tiny / "work" / "01_tiny" / "01_tiny-1.ipynb").read_text() == "half a noteb"


def test_a_notebook_that_was_only_run_is_replaced(tiny, tiny_specs):
    path = course_path(tiny, "01_tiny")
    nb = nbformat.read(path, as_version=4)
    cell(nb, "attention-softmax-check").outputs = [nbformat.v4.new_output("stream", text="ran")]
    nbformat.write(nb, path)
    assert build(tiny, specs=tiny_specs) == ["course/01_tiny/01_tiny.ipynb: written"]
    assert not (tiny / "work").exists()


def executed(tmp_path, *sources):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s, id=f"c{i}") for i, s in enumerate(sources)])
    return execute(nb, tmp_path, "chapters/01_tiny.py")


DIRTY = {
    "a path": ("import sys; print(sys.prefix)", "an output holds the machine's path"),
    "an address": ("object()", "an output holds the memory address"),
    "stderr": ("import warnings; warnings.warn('old')", "writes to stderr"),
    "an error": ("1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", DIRTY)
def test_outputs_that_no_repository_should_hold_are_refused(name, tmp_path):
    source, sentence = DIRTY[name]
    with pytest.raises(BuildError, match=sentence) as refused:
        executed(tmp_path, source)
    assert str(refused.value).startswith("chapters/01_tiny.py")


def test_widget_models_are_not_kept(tmp_path):
    nb = executed(tmp_path, "import ipywidgets; ipywidgets.IntSlider()")
    assert "widgets" not in nb.metadata
    assert "widget-view" not in json.dumps(nb)


def test_a_solution_that_loses_marks_is_refused(tmp_path, tiny_text, tiny_specs):
    (tmp_path / "chapters").mkdir()
    wrong = tiny_text.replace("shifted = x - x.amax(dim, keepdim=True)", "shifted = x * 2")
    (tmp_path / "chapters" / "01_tiny.py").write_text(wrong, encoding="utf-8")
    with pytest.raises(BuildError, match="cell attention-softmax-check: the solution earns 0 of 2 points"):
        build(tmp_path, specs=tiny_specs)


def test_grade_ids_are_what_nbgrader_accepts():
    assert notebook.grade_id("check", "attention.sdpa") == "attention-sdpa-check"


def test_the_committed_notebooks_are_what_the_build_makes(root):
    assert build(root, check=True) == []


@pytest.fixture
def in_xx(tmp_path, monkeypatch):
    """Another language is chosen, in which coursekit says all in English."""
    (tmp_path / "xx.po").write_text("", encoding="utf-8")
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    monkeypatch.setenv(language.CHOICE, "xx")
    language.catalogue.cache_clear()
    yield
    language.catalogue.cache_clear()


def test_an_edition_lies_beside_the_english_course(in_xx, tiny, tiny_specs, monkeypatch):
    monkeypatch.setattr(executing, "execute", lambda notebook, root, name, threads=None: notebook)
    (tiny / "chapters" / "xx.po").write_text('msgid "## The same"\nmsgstr "## Dasselbe"\n', encoding="utf-8")
    before = {path: path.read_bytes() for path in tiny.glob("*/*/*.ipynb")}
    notes = build(tiny, specs=tiny_specs)
    assert "editions/xx/course/01_tiny/01_tiny.ipynb: written" in notes
    assert "## Dasselbe" in (tiny / "editions/xx/course/01_tiny/01_tiny.ipynb").read_text(encoding="utf-8")
    assert before == {path: path.read_bytes() for path in tiny.glob("*/*/*.ipynb")}


def test_a_translation_without_an_exercises_reference_is_refused(in_xx, tiny, tiny_specs):
    (tiny / "chapters" / "xx.po").write_text('msgid "## The same"\nmsgstr "## Siehe [[tiny.no]]"\n', encoding="utf-8")
    with pytest.raises(BuildError, match=r"\[\[tiny\.no\]\] names no exercise cell"):
        build(tiny, specs=tiny_specs)
