"""The learner's tree: complete, free of answers, and written over nothing that is not its own."""

import re
import tomllib

import pytest

from grader.authoring.bundling import TAKEN, BundleError, bundle

pytestmark = pytest.mark.xdist_group("bundle")  # one search for leaks, not one in each worker
ANSWER = """
shifted = x - x.amax(dim, keepdim=True)
return shifted.exp() / shifted.exp().sum(dim, keepdim=True)
"""


@pytest.fixture(scope="module")
def tree(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "out"
    bundle(root, out)
    return out


def test_holds_what_a_learner_needs(tree):
    assert {p.name for p in tree.iterdir()} == {*TAKEN, "README.md"}


def test_holds_nothing_of_the_authors(tree):
    kept = {p.name for p in tree.iterdir()}
    assert not kept & {"solutions", "chapters", "grader", "tests", "Makefile", "nbgrader_config.py"}


@pytest.mark.parametrize("package", ["coursekit", "kernelkit"])
def test_holds_every_file_of_the_package(root, tree, package):
    def files(folder):
        found = (p.relative_to(folder) for p in (folder / package).rglob("*") if p.is_file())
        return {p for p in found if "__pycache__" not in p.parts}

    assert files(tree) == files(root)


def test_its_project_file_says_what_the_course_needs_and_no_more(root, tree):
    ours, theirs = (tomllib.loads((f / "pyproject.toml").read_text()) for f in (root, tree))
    assert theirs["project"] == ours["project"]
    assert set(theirs["tool"]) == {"setuptools"}


def test_its_readme_names_the_pinned_torch(root, tree):
    pin = re.search(r"^torch==\S+", (root / "requirements.txt").read_text(), re.M)[0]
    assert pin in (tree / "README.md").read_text()


def test_a_second_bundle_replaces_the_first(root, tree):
    (tree / "course" / "old.ipynb").write_text("{}")
    bundle(root, tree)
    assert not (tree / "course" / "old.ipynb").exists()


def test_keeps_a_repositorys_history(root, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref")
    bundle(root, tmp_path)
    assert (tmp_path / ".git" / "HEAD").read_text() == "ref"


def test_refuses_a_folder_with_other_things(root, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match=r"thesis\.tex, which no bundle wrote"):
        bundle(root, tmp_path)


def test_refuses_to_give_answers_away(tiny, tmp_path):
    for name in ("coursekit", "kernelkit", "binder", "grader"):
        (tiny / name).mkdir(exist_ok=True)
    for name in (name for name in TAKEN if not (tiny / name).exists()):
        (tiny / name).write_text("")
    (tiny / "coursekit" / "answers.py").write_text(ANSWER)
    with pytest.raises(BundleError, match=r"coursekit/answers\.py: holds"):
        bundle(tiny, tmp_path / "out")


def test_names_what_is_missing(tmp_path):
    with pytest.raises(BundleError, match="nothing to bundle for course, coursekit"):
        bundle(tmp_path, tmp_path / "out")
