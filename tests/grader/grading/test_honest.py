"""Honest learners: references, alternatives and mistakes as whole submissions; grading equals the notebook's check.

Submission i answers each exercise with its i-th variant. The answer cells hold the variants' own source, made to
run without the grader.
"""

import importlib
import inspect
import itertools
import os
import random
import subprocess
from pathlib import Path

import nbformat
import pytest
import torch

import grader.steps
from coursekit.checking.checks import verdict_on
from coursekit.exercises import chapters, find
from grader.authoring.notebook import grade_id, points
from grader.exercises import trusted
from grader.grading.pipeline import grade, prepare
from grader.grading.running import Runner
from grader.grading.verifying import known
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(2),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]
ROOT = Path(__file__).parents[3]
EXERCISES = {chapter.slug: chapter.exercises for chapter in chapters()}
DRAWN = 4  # submissions of a chapter, where nothing of it has changed

# What a trusted half imports of the grader, which learners' kernels have not.
IMPORTED = (
    "grader",
    "grader.contract",
    "grader.exercises",
    "grader.steps",
    *(f"grader.steps.{path.stem}" for path in sorted(Path(grader.steps.__file__).parent.glob("[a-z]*.py"))),
)
STAND_IN = """
import sys, types
for _name, _source in {sources!r}.items():
    _module = sys.modules[_name] = types.ModuleType(_name)
    _module.__path__ = []
    exec(compile(_source, _name, "exec"), _module.__dict__)
    if "." in _name:
        setattr(sys.modules[_name.rpartition(".")[0]], _name.rpartition(".")[2], _module)
"""


def source_of(module):
    """A module's source; nothing of a package that has only a docstring to say."""
    if module in ("grader", "grader.exercises"):
        return ""
    return inspect.getsource(importlib.import_module(module))


def variants(exercise_id):
    """Every answer that is known, by name."""
    known_ = trusted(exercise_id)
    found = {"reference": known_.reference}
    found |= {f"alternative {name}": objects for name, objects in known_.alternatives.items()}
    return found | {f"mistake {mistake.name}": mistake.objects for mistake in known_.mistakes}


def module_of(exercise_id):
    return importlib.import_module(f"grader.exercises.{exercise_id}")


def git(*arguments):
    """What git says of the checkout; nothing where there is none, or no such commit."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split("\n") if done.returncode == 0 else []


def changed():
    """Exercises of which a half differs from the commit `COURSEKIT_SINCE`, by default the one before this."""
    since = os.environ.get("COURSEKIT_SINCE") or "HEAD~1"
    files = {*git("diff", "--name-only", since), *git("ls-files", "--others", "--exclude-standard")}
    halves = ("coursekit/exercises/{}.py", "grader/exercises/{}.py")
    ids = itertools.chain.from_iterable(EXERCISES.values())
    return {id for id in ids if files & {half.format(id.replace(".", "/")) for half in halves}}


def rounds(slug, ids):
    """Which submissions of a chapter are graded: enough for every answer of what has changed, else a few.

    Those few are the references and some that are drawn by the commit. With `make test ALL=1` all of them.
    """
    count = {id: len(variants(id)) for id in ids}
    every = range(max(count.values()))
    if os.environ.get("COURSEKIT_ALL"):
        return list(every)
    known = range(max((count[id] for id in changed() & {*ids}), default=1))
    commit = "".join(git("rev-parse", "HEAD"))
    drawn = random.Random(f"{commit} {slug}").sample(every, min(DRAWN, len(every)))
    return sorted({*known, *drawn})


ROUNDS = [(slug, i) for slug, ids in EXERCISES.items() for i in rounds(slug, ids)]


@pytest.fixture(scope="module")
def runner():
    with Runner() as runner:
        yield runner


@pytest.mark.parametrize(("slug", "i"), ROUNDS)
def test_grading_gives_what_the_notebooks_check_gives(slug, i, runner, tmp_path):
    released = ROOT / "course" / slug / f"{slug}.ipynb"
    release = nbformat.read(released, as_version=4)
    chosen = {id: next(itertools.islice(itertools.cycle(variants(id)), i, None)) for id in EXERCISES[slug]}
    for cell in release.cells:
        for id, name in chosen.items():
            if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id("exercise", id):
                cell.source = answer(id, name)
    (tmp_path / "course" / slug).mkdir(parents=True)
    (tmp_path / "course" / slug / released.name).write_bytes(released.read_bytes())
    (tmp_path / "in").mkdir()
    nbformat.write(release, tmp_path / "in" / released.name)
    job = prepare(tmp_path, slug, "learner", tmp_path / "in")
    graded = grade(job, runner)
    expected = {grade_id("check", id): by_the_check(id, chosen[id]) for id in EXERCISES[slug]}
    assert graded.scores == expected, chosen
    assert not graded.reason
    assert set(expected) == {id for id in points(release) if id.endswith("-check")}


def answer(exercise_id, name):
    """A cell that defines the exercise's names from the variants' own sources."""
    source = inspect.getsource(module_of(exercise_id)).replace("from __future__ import annotations", "")
    names = ", ".join(call.name for call in find(exercise_id).signatures)
    kind, _, given = name.partition(" ")
    pick = {
        "reference": "_t.reference",
        "alternative": f"_t.alternatives[{given!r}]",
        "mistake": f"next(m.objects for m in _t.mistakes if m.name == {given!r})",
    }[kind]
    stand_in = STAND_IN.format(sources={module: source_of(module) for module in IMPORTED})
    return (
        f"{stand_in}\n_space = {{'__name__': 'variants'}}\nexec(compile({source!r}, 'variants', 'exec'), _space)\n"
        f"_t = _space['TRUSTED']\n_picked = {pick}\n"
        f"_picked = _picked if isinstance(_picked, tuple) else (_picked,)\n({names},) = _picked"
    )


def by_the_check(exercise_id, name):
    verdict = verdict_on(find(exercise_id), variants(exercise_id)[name], known(exercise_id), torch.device("cpu"))
    return float(verdict.earned)
