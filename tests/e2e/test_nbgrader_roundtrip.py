"""A whole grading round with nbgrader's own commands: four learners, one exchange, one gradebook."""

import ast
import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from grader.authoring.chapter import load_specs
from grader.authoring.notebook import grade_id

pytestmark = [
    pytest.mark.slow(2),
    pytest.mark.xdist_group("nbgrader-roundtrip"),
    pytest.mark.skipif(sys.platform == "win32", reason="nbgrader's exchange does not work on Windows"),
]

ROOT = Path(__file__).parents[2]
SLUG = "02_attention"
NOTEBOOK = f"{SLUG}.ipynb"
SPECS = load_specs(SLUG)
FULL = {grade_id("check", id): float(n) for id, n in SPECS.exercises.items()}
[QUESTION] = [grade_id("question", id) for id in SPECS.questions]
LEARNERS = ("perfect", "empty", "half", "noisy")

# Right for small numbers, but not finite at 1000: the first part's point, not the second's.
NAIVE_SOFTMAX = "def softmax(x, dim):\n    return x.exp() / x.exp().sum(dim, keepdim=True)"
NOISE = (
    "import sys, warnings",
    "warnings.warn('this warning must cost nothing')",
    "print('this print must cost nothing')",
    "print('this must cost nothing either', file=sys.stderr)",
)


class Round:
    """A temporary course with an exchange; `nbgrader` runs one command in one of its folders."""

    def __init__(self, home):
        self.course, self.exchange, self.home = home / "course", home / "exchange", home
        self.exchange.mkdir()
        self.exchange.chmod(0o777)
        for folder in (self.course, *(home / learner for learner in LEARNERS)):
            folder.mkdir()
            shutil.copy(ROOT / "nbgrader_config.py", folder)
        source = self.course / "solutions" / SLUG
        source.mkdir(parents=True)
        # The smoke profile as the default, so that four submissions are graded in little time.
        text = (ROOT / "solutions" / SLUG / NOTEBOOK).read_text(encoding="utf-8")
        assert r"profile = \"fast\"" in text
        (source / NOTEBOOK).write_text(text.replace(r"profile = \"fast\"", r"profile = \"smoke\"", 1), encoding="utf-8")

    def nbgrader(self, folder, *arguments):
        own = {"NBGRADER_EXCHANGE": str(self.exchange), "JUPYTER_DATA_DIR": str(self.home / "jupyter")}
        own["COURSEKIT_HOME"] = str(self.home / "progress")
        command = [sys.executable, "-m", "nbgrader", *arguments]
        done = subprocess.run(
            command, cwd=self.home / folder, env=os.environ | own, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"nbgrader {' '.join(arguments)} in {folder}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr


def answers():
    """The author's answer to every exercise and question, by grade id."""
    solution = nbformat.read(ROOT / "solutions" / SLUG / NOTEBOOK, as_version=4)
    marked = (c for c in solution.cells if c.metadata.get("nbgrader", {}).get("solution"))
    return {c.metadata.nbgrader.grade_id: c.source for c in marked}


def noisy(source):
    """The same answer, with warnings and prints at the start of every function."""
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for function in sorted(functions, key=lambda f: f.lineno, reverse=True):
        first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
        lines[first.lineno - 1 : first.lineno - 1] = [" " * first.col_offset + line for line in NOISE]
    return "\n".join(lines)


def written_by(learner):
    """What the learner writes into the cells, by grade id."""
    right = answers()
    if learner == "half":
        return {"attention-softmax": NAIVE_SOFTMAX, "attention-sdpa": right["attention-sdpa"]}
    if learner == "noisy":
        return {id: source if id == QUESTION else noisy(source) for id, source in right.items()}
    return right if learner == "perfect" else {}


def write(path, sources):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = sources.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The course after everything up to the export of the grades."""
    round = Round(tmp_path_factory.mktemp("round"))
    round.nbgrader("course", "generate_assignment", SLUG)
    round.nbgrader("course", "release_assignment", SLUG)
    for learner in LEARNERS:
        round.nbgrader(learner, "fetch_assignment", SLUG)
        write(round.home / learner / SLUG / NOTEBOOK, written_by(learner))
        round.nbgrader(learner, "submit", SLUG, f"--student={learner}")
    round.nbgrader("course", "collect", SLUG)
    round.nbgrader("course", "autograde", SLUG)
    round.nbgrader("course", "generate_feedback", SLUG)
    round.nbgrader("course", "release_feedback", SLUG)
    round.nbgrader("course", "export", "--to=grades.csv")
    return round


@pytest.fixture(scope="module")
def scores(graded):
    """{learner: {grade id: (automatic score, needs a person)}} from the gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded.course / 'gradebook.db'}", "large-models") as gradebook:
        found = {name: gradebook.find_submission_notebook(SLUG, SLUG, name).grades for name in LEARNERS}
        return {
            name: {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in grades}
            for name, grades in found.items()
        }


def automatic(scores, learner):
    return {id: score for id, (score, _) in scores[learner].items() if id != QUESTION}


def test_the_perfect_submission_earns_exactly_the_specs_points(scores):
    assert automatic(scores, "perfect") == FULL


def test_the_empty_submission_earns_nothing(scores):
    assert automatic(scores, "empty") == dict.fromkeys(FULL, 0.0)


def test_the_half_right_submission_earns_its_parts(scores):
    earned = {"attention-softmax-check": 1.0, "attention-sdpa-check": FULL["attention-sdpa-check"]}
    assert automatic(scores, "half") == dict.fromkeys(FULL, 0.0) | earned


def test_warnings_and_prints_cost_nothing(scores):
    assert automatic(scores, "noisy") == FULL


def test_an_answered_question_waits_for_a_person(scores):
    assert scores["perfect"][QUESTION] == (None, True)


def test_an_unanswered_question_earns_nothing_by_itself(scores):
    assert scores["empty"][QUESTION] == (0.0, False)


def test_the_question_carries_the_specs_points(graded):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{graded.course / 'gradebook.db'}", "large-models") as gradebook:
        found = gradebook.find_assignment(SLUG).max_score
    assert found == sum(FULL.values()) + sum(SPECS.questions.values())


def test_the_export_holds_every_learner(graded):
    with (graded.course / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    half = 1.0 + FULL["attention-sdpa-check"]
    assert rows == {"perfect": sum(FULL.values()), "empty": 0.0, "half": half, "noisy": sum(FULL.values())}


@pytest.fixture(scope="module")
def feedback(graded):
    pages = {name: graded.course / "feedback" / name / SLUG / f"{SLUG}.html" for name in LEARNERS}
    return {name: page.read_text(encoding="utf-8") for name, page in pages.items()}


def test_the_feedback_holds_the_reports_of_right_answers(feedback):
    assert "2 of 2 points" in feedback["perfect"]


def test_the_feedback_holds_the_reports_of_missing_answers(feedback):
    assert feedback["empty"].count("0 of ") >= len(FULL)
    assert "NotImplementedError" in feedback["empty"]


def test_the_feedback_holds_the_report_of_a_part(feedback):
    assert "1 of 2 points" in feedback["half"]


def test_released_feedback_lies_in_the_exchange(graded):
    assert len(list(graded.exchange.rglob("*.html"))) == len(LEARNERS)
