"""What makes a chapter stale: its own exercises, what they import and name, and nothing of another chapter."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from grader import depending
from grader.depending import GRADES, OUTPUTS, PROOFS, depends_on, digest
from grader.grading import pipeline
from grader.grading.running import Limits

CELLS = ("from coursekit import check", "import torch")
SLUG = "02_attention"


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of our packages, in place of the packages themselves."""
    folder, caches = tmp_path_factory.mktemp("house"), shutil.ignore_patterns("__pycache__", "*.pyc")
    copies = {n: Path(shutil.copytree(p, folder / n, ignore=caches)) for n, p in depending.PACKAGES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depending, "PACKAGES", copies)
        yield folder


@pytest.fixture
def house(copied):
    """The copy, which is put back after each test."""
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    yield copied
    for path in [path for path in copied.rglob("*") if path.is_file()]:
        if path not in before:
            path.unlink()
        elif path.read_bytes() != before[path]:
            path.write_bytes(before[path])


def state(slug=SLUG, purpose=OUTPUTS, cells=CELLS, **more):
    return digest(depends_on(slug, purpose, cells, **more))


def change(path):
    path.write_bytes(path.read_bytes() + b"\n# changed\n")


# What changed, and of what it changes the state: outputs, grades, proofs.
CHANGES = {
    "coursekit/exercises/attention/sdpa.py": {OUTPUTS, GRADES, PROOFS},
    "coursekit/exercises/attention/__init__.py": {OUTPUTS, GRADES, PROOFS},
    "coursekit/checking/judging.py": {OUTPUTS, GRADES, PROOFS},
    "coursekit/checking/checks.py": {OUTPUTS, GRADES, PROOFS},  # imported by its lazy name
    "coursekit/record/scores.py": {OUTPUTS, GRADES, PROOFS},  # imported inside a function
    "coursekit/generated/reference/02_attention.safetensors": {OUTPUTS, GRADES},
    "coursekit/texts/quizzes/02_attention.toml": {OUTPUTS},
    "grader/authoring/executing.py": {OUTPUTS},
    "grader/exercises/attention/sdpa.py": {GRADES, PROOFS},
    "grader/contract.py": {GRADES, PROOFS},
    "grader/drawing.py": {GRADES, PROOFS},
    "grader/grading/verifying.py": {GRADES},
    "grader/proving/proof.py": {PROOFS},
    "grader/proving/gate.py": set(),
    "kernelkit/sandbox.py": {GRADES},
    # of other chapters, or of nobody here
    "coursekit/exercises/bert/mask_tokens.py": set(),
    "coursekit/exercises/bert/__init__.py": set(),
    "grader/exercises/bert/mask_tokens.py": set(),
    "coursekit/generated/reference/03_bert.safetensors": set(),
    "coursekit/texts/quizzes/03_bert.toml": set(),
    "coursekit/material/passages.py": set(),
    "coursekit/home/page.py": set(),
    "grader/plugins/exports.py": set(),
    "grader/authoring/chapter.py": set(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_stale_what_it_can_change(name, house):
    before = {purpose: state(purpose=purpose) for purpose in (OUTPUTS, GRADES, PROOFS)}
    change(house / name)
    assert {purpose for purpose in before if state(purpose=purpose) != before[purpose]} == CHANGES[name]


def test_a_stray_file_makes_nothing_stale(house):
    before = state(), state(purpose=GRADES)
    for name in ("notes.py", "exercises/attention/draft.py", "generated/embedded/scratch.txt", ".hidden", "x.pyc"):
        (house / "coursekit" / name).write_text("x = 1")
    assert (state(), state(purpose=GRADES)) == before


def test_a_new_helper_counts_from_its_first_import_on(house):
    helper, user = (house / "coursekit" / "exercises" / "attention" / f"{n}.py" for n in ("_shared", "sdpa"))
    helper.write_text("A = 1\n")
    user.write_text(user.read_text() + "\nfrom coursekit.exercises.attention._shared import A\n")
    before = state()
    change(helper)
    assert state() != before


@pytest.mark.parametrize(
    "cell",
    [
        "from coursekit.material.data import prose",
        "import coursekit.material.data",
        "from coursekit import load_encoder",
        "import coursekit as ck\nck.load_encoder('fast')",
        "def late():\n    from coursekit.material import data",
        "%matplotlib inline\nfrom coursekit.material import data",
    ],
)
def test_what_a_cell_imports_brings_the_data_that_it_names(cell):
    prose = "coursekit/generated/embedded/prose.txt"
    assert prose not in depends_on(SLUG, OUTPUTS, CELLS)
    assert prose in depends_on(SLUG, OUTPUTS, (*CELLS, cell))


def test_what_only_a_type_checker_imports_is_not_followed():
    cell = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import coursekit.material.data\n"
    assert depends_on(SLUG, OUTPUTS, (*CELLS, cell)) == depends_on(SLUG, OUTPUTS, CELLS)


def test_a_cell_that_does_not_parse_is_left_to_whoever_runs_it():
    assert depends_on(SLUG, OUTPUTS, (*CELLS, "def (")) == depends_on(SLUG, OUTPUTS, CELLS)


def test_a_proof_depends_on_its_own_exercise_alone(house):
    before = {id: state(purpose=PROOFS, exercises=[id]) for id in ("attention.sdpa", "attention.softmax")}
    change(house / "grader" / "exercises" / "attention" / "sdpa.py")
    assert {id: state(purpose=PROOFS, exercises=[id]) != was for id, was in before.items()} == {
        "attention.sdpa": True,
        "attention.softmax": False,
    }


def test_names_are_the_same_on_every_machine():
    names = depends_on(SLUG, GRADES, CELLS)
    assert all(re.fullmatch(r"(coursekit|grader|kernelkit)/[\w./]+", name) for name in names), names


@pytest.fixture
def key(house, root, tmp_path):
    """The key of a submission's grade, as the house is now."""
    for folder in ("course", "in"):
        (tmp_path / folder / SLUG).mkdir(parents=True)
        shutil.copy(root / "course" / SLUG / f"{SLUG}.ipynb", tmp_path / folder / SLUG)

    def now(**settings):
        pipeline._environment.cache_clear()
        return pipeline.prepare(tmp_path, SLUG, "learner", tmp_path / "in" / SLUG, **settings).key

    yield now
    pipeline._environment.cache_clear()


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("coursekit/exercises/bert/mask_tokens.py", False),
        ("coursekit/generated/reference/03_bert.safetensors", False),
        ("grader/exercises/bert/mask_tokens.py", False),
        ("grader/exercises/attention/sdpa.py", True),
        ("coursekit/generated/reference/02_attention.safetensors", True),
        ("grader/grading/verifying.py", True),
    ],
)
def test_a_change_draws_new_secret_inputs_only_where_it_can_change_a_grade(name, new, house, key):
    before = key()
    change(house / name)
    assert (key() != before) == new


@pytest.mark.parametrize("limit", ["wall", "cell", "memory", "answers"])
def test_a_limit_that_is_raised_makes_another_grade(limit, key):
    raised = replace(Limits(), **{limit: 2 * getattr(Limits(), limit)})
    assert key() == key(limits=Limits()) != key(limits=raised)
