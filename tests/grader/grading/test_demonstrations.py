"""An honest answer may call what the chapter's own cells have made: graded in real kernels on the real releases."""

import json
import shutil

import nbformat
import pytest

from grader.authoring.notebook import grade_id, grade_id_of
from grader.grading.pipeline import grade, prepare
from grader.grading.running import Runner
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(1),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
    pytest.mark.xdist_group("demonstrations"),
]

HEAD = """
class MaskedWordHead(nn.Module):
    def __init__(self, token):
        super().__init__()
        V, D = token.weight.shape
        self.dense, self.norm = nn.Linear(D, D), nn.LayerNorm(D, eps=1e-12)
        self.decoder = nn.Linear(D, V)
        self.decoder.weight = token.weight
        small_weights(self.dense)

    def forward(self, X):
        return self.decoder(self.norm(F.gelu(self.dense(X))))
"""
# Chapter, exercise, what of the solution is replaced by what, and what the demonstrations must have run for it.
ANSWERS = [
    ("03_bert", "bert.mlm_head", None, HEAD, "def small_weights(module):"),
    ("03_bert", "bert.classifier", "self.pool(X, real)", "(self.pool or mean_of)(X, real)", "cls_of, mean_of = use("),
    (
        "02_attention",
        "attention.backward",
        "(Q @ K.mT / math.sqrt(d)).softmax(-1)",
        "soft(Q @ K.mT / math.sqrt(d), -1)",
        "soft = use(",
    ),
]


@pytest.fixture(scope="module")
def runner():
    with Runner() as made:
        yield made


def submission(root, folder, slug, answer):
    """A course with one submission in which everything is solved, one exercise by `answer(solution)`."""
    (folder / "course").mkdir()
    shutil.copytree(root / "course" / slug, folder / "course" / slug)
    notebook = nbformat.read(root / "course" / slug / f"{slug}.ipynb", as_version=4)
    solved = nbformat.read(root / "solutions" / slug / f"{slug}.ipynb", as_version=4)
    sources = {
        grade_id_of(cell): cell.source for cell in solved.cells if cell.metadata.get("nbgrader", {}).get("solution")
    }
    for cell in notebook.cells:
        if grade_id_of(cell) in sources:
            cell.source = answer(grade_id_of(cell), sources[grade_id_of(cell)])
    (folder / "ada").mkdir()
    (folder / "ada" / f"{slug}.ipynb").write_text(json.dumps(notebook))
    return prepare(folder, slug, "ada", folder / "ada")


@pytest.mark.parametrize(("slug", "exercise_id", "old", "new", "ran"), ANSWERS)
def test_an_answer_that_calls_a_demonstrations_name_has_full_marks(
    root, runner, tmp_path, slug, exercise_id, old, new, ran
):
    def answer(id, solution):
        if id != grade_id("exercise", exercise_id):
            return solution
        if old is None:
            return f"{new}\n\n{solution[solution.index('def masked_word_loss') :]}"
        assert old in solution
        return solution.replace(old, new)

    job = submission(root, tmp_path, slug, answer)
    statements = [s for each in job.rebuilt.provided.values() for s in each]
    assert any(s.startswith(ran) for s in statements)
    assert len(statements) < 6, statements
    result = grade(job, runner)
    worth = {
        grade_id_of(cell): cell.metadata.nbgrader.points
        for cell in result.notebook.cells
        if grade_id_of(cell) in result.scores
    }
    assert result.scores == worth
    assert result.flags == ()


def test_a_cell_whose_answer_calls_an_unwritten_one_says_which(root, runner, tmp_path):
    stub = nbformat.read(root / "course" / "02_attention" / "02_attention.ipynb", as_version=4)
    softmax = next(cell.source for cell in stub.cells if grade_id_of(cell) == "attention-softmax")

    def answer(id, solution):
        if id == "attention-softmax":
            return softmax
        return solution.replace("(Q @ K.mT / math.sqrt(d)).softmax(-1)", "soft(Q @ K.mT / math.sqrt(d), -1)")

    result = grade(submission(root, tmp_path, "02_attention", answer), runner)
    check = next(cell for cell in result.notebook.cells if grade_id_of(cell) == "attention-backward-check")
    assert result.scores["attention-backward-check"] == 0
    assert "what is not written yet: <code>softmax</code>" in check.outputs[0].data["text/html"]
