"""Every chapter executed by papermill, with other parameters: the notebook that learners get, and its solution.

nbval, which collects solutions/ (see `testpaths`), executes the same solutions in the profile that COURSEKIT_PROFILE
names, "smoke" unless it is set. So papermill repeats one of them at each push, and all where everything is asked for.
"""

import os
from pathlib import Path

import nbformat
import pytest

from grader.authoring.chapter import load_specs
from grader.authoring.notebook import grade_id, points

ROOT = Path(__file__).parents[2]
SLUGS = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9][0-9]_*.py"))
EVERYTHING = os.environ["COURSEKIT_PROFILE"] != "smoke"
SMOKE = {"profile": "smoke", "device": "cpu", "seed": 20}

pytestmark = pytest.mark.slow


def run(folder, slug, tmp_path_factory):
    """The notebook after papermill ran it; an exception in any cell is raised here."""
    import papermill

    where = tmp_path_factory.mktemp(f"{folder}-{slug}")
    papermill.execute_notebook(
        ROOT / folder / slug / f"{slug}.ipynb",
        where / "out.ipynb",
        parameters=SMOKE,
        kernel_name="coursekit-warm",
        progress_bar=False,
        cwd=where,
    )
    return nbformat.read(where / "out.ipynb", as_version=4)


def each(folder, slugs):
    """The slugs as a fixture's parameters; what is asked of one executed notebook stays with one worker."""
    return [pytest.param(slug, marks=pytest.mark.xdist_group(f"{folder}/{slug}")) for slug in slugs]


@pytest.fixture(scope="module", params=each("solutions", SLUGS if EVERYTHING else SLUGS[:1]))
def solved(request, tmp_path_factory):
    return run("solutions", request.param, tmp_path_factory)


@pytest.fixture(scope="module", params=each("course", SLUGS))
def released(request, tmp_path_factory):
    return run("course", request.param, tmp_path_factory)


def verdicts(notebook):
    """The result of every check cell, by grade id."""
    cells = (c for c in notebook.cells if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade"))
    results = {c.metadata.nbgrader.grade_id: [o for o in c.outputs if o.output_type == "execute_result"] for c in cells}
    return {id: found[0].data for id, found in results.items() if found}


def checks(notebook):
    return {id: full for id, full in points(notebook).items() if id.endswith("-check")}


def stderr_of(notebook):
    outputs = (o for c in notebook.cells for o in c.get("outputs", []))
    return "".join(o.text for o in outputs if o.get("name") == "stderr")


def test_other_parameters_reach_the_chapter(released):
    injected = [c.source for c in released.cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert len(injected) == 1
    assert 'profile = "smoke"' in injected[0]


@pytest.mark.parametrize("slug", SLUGS)
def test_the_set_up_asks_the_environment_for_the_profile(slug):
    notebook = nbformat.read(ROOT / "course" / slug / f"{slug}.ipynb", as_version=4)
    assert any("ck.profile(profile)" in c.source for c in notebook.cells if "setup" in c.metadata.get("tags", []))


def test_the_solution_earns_full_marks_with_other_parameters(solved):
    earned = {id: float(data["text/plain"]) for id, data in verdicts(solved).items()}
    assert earned == checks(solved)


def test_the_solution_warns_of_nothing(solved):
    assert stderr_of(solved) == ""


def test_the_untouched_release_runs_to_its_end(released):
    assert [c for c in released.cells if c.cell_type == "code"][-1].execution_count is not None


def test_every_untouched_exercise_earns_nothing(released):
    earned = {id: data["text/plain"] for id, data in verdicts(released).items()}
    assert earned == dict.fromkeys(checks(released), "0")


def test_every_untouched_exercise_says_so_in_its_own_verdict(released):
    silent = [id for id, data in verdicts(released).items() if "NotImplementedError" not in data["text/html"]]
    assert silent == []


@pytest.mark.parametrize("slug", SLUGS)
def test_the_points_are_those_of_the_specs(slug):
    specs = load_specs(slug)
    wanted = {grade_id("check", id): n for id, n in specs.exercises.items()}
    wanted |= {grade_id("question", id): n for id, n in specs.questions.items()}
    for folder in ("solutions", "course"):
        assert points(nbformat.read(ROOT / folder / slug / f"{slug}.ipynb", as_version=4)) == wanted


@pytest.mark.parametrize("slug", SLUGS)
def test_nbval_compares_every_check(slug):
    notebook = nbformat.read(ROOT / "solutions" / slug / f"{slug}.ipynb", as_version=4)
    compared = {c.id for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])}
    assert compared >= set(checks(notebook))
