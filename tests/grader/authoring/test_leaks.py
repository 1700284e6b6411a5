"""The search for answers finds what is planted, spares what is public, finds nothing in this course."""

import json
import shutil

import pytest
from safetensors.numpy import save_file

from grader.authoring import leaks
from grader.proving import seeds

FIRST = "shifted = x - x.amax(dim, keepdim=True)"
SECOND = "return shifted.exp() / shifted.exp().sum(dim, keepdim=True)"
SOLUTION = f"{FIRST}\n{SECOND}\n"
MODULE = '''"""Softmax, from the textbook: exp(x) over its sum, as everybody knows it."""

import torch


def reference(x, dim):
    """exp(x_i) over the sum of exp(x_j) for all j, said in eight words."""
    z = x - x.logsumexp(dim, keepdim=True)  # stable
    return z.exp() / z.exp().sum(dim, keepdim=True)
'''


@pytest.fixture
def planted(tiny):
    """Plant text into the released course of the tiny chapter, and search it."""
    trusted = tiny / "grader" / "exercises" / "attention"
    trusted.mkdir(parents=True)
    (trusted / "softmax.py").write_text(MODULE)

    def plant(name, text):
        (tiny / "course" / name).write_text(text)
        return leaks.search(tiny, [tiny / "course"])

    return plant


PLANTS = {
    "code": f"def f(x, dim):\n    {FIRST}\n    {SECOND}\n",
    "other spaces": SOLUTION.replace(" ", "").replace("return", "return "),
    "a comment": f"{FIRST}  # the largest\n\n{SECOND}  # the quotient",
    "a reference": MODULE[MODULE.index("def") :],
    "prose": "The exponential of a large number is not finite, and a common factor cancels in the quotient.",
    "a seed": f"generator.manual_seed({seeds.SECRET[0]:_})",
    "a notebook's metadata": json.dumps({"cells": [], "metadata": {"hint": [FIRST + "\n", SECOND + "\n"]}}),
}


@pytest.mark.parametrize("name", PLANTS)
def test_finds(name, planted):
    ending = "ipynb" if name.startswith("a notebook") else "py"
    assert {leak.file for leak in planted(f"planted.{ending}", PLANTS[name])} == {f"course/planted.{ending}"}


def test_finds_a_line_in_a_safetensors_header(tiny, planted):
    import numpy as np

    save_file({"x": np.zeros(1)}, tiny / "course" / "t.safetensors", metadata={"note": SOLUTION})
    assert planted("nothing.txt", "") != []


def test_names_the_file_the_line_and_where_it_belongs(planted):
    [leak] = planted("planted.py", SOLUTION)
    assert str(leak).startswith("course/planted.py: holds 'shifted = x - x . amax")
    assert str(leak).endswith("which belongs to chapters/01_tiny.py")


INNOCENT = {
    "nothing": "",
    "a short line": "return z.exp()",
    "one line alone": SECOND,
    "part of a line": "x.logsumexp(dim, keepdim=True)",
    "a trusted docstring": "exp(x_i) over the sum of exp(x_j) for all j, said in eight words.",
    "an import": "import torch",
}


@pytest.mark.parametrize("name", INNOCENT)
def test_spares(name, planted):
    assert planted("planted.py", INNOCENT[name]) == []


def test_a_line_that_the_chapter_shows_is_public(tiny, planted):
    path = tiny / "chapters" / "01_tiny.py"
    path.write_text(path.read_text().replace("print(seed)", SOLUTION, 1))
    assert planted("planted.py", SOLUTION) == []


def test_this_course_gives_no_answer_away(root):
    assert leaks.search(root, [root / "course", root / "coursekit"]) == []


def test_every_exercise_has_secrets_to_search_for(root):
    origins = {secret.origin for secret in leaks.secrets(root)}
    trusted = {p.relative_to(root).as_posix() for p in (root / "grader/exercises").glob("*/[a-z]*.py")}
    assert trusted
    assert trusted <= origins


def test_a_solution_copied_into_the_package_is_found(root, tmp_path):
    copy = shutil.copytree(root / "coursekit", tmp_path / "coursekit")
    trusted = next((root / "grader" / "exercises").glob("*/sdpa.py"))
    (copy / "helpers.py").write_text(trusted.read_text())
    assert {leak.file for leak in leaks.search(root, [copy])} == {"coursekit/helpers.py"}


def test_one_reading_finds_what_a_search_for_each_secret_finds(root):
    """On the solutions, where much is to be found."""
    hidden = leaks.secrets(root)
    for path in sorted((root / "solutions").rglob("*.ipynb")):
        lines = leaks._normal(leaks._readable(path))
        text = leaks._joined(lines)
        wanted = {secret for secret in hidden if leaks._joined(secret.lines) in text}
        assert len(wanted) > 50
        assert set(leaks.Index(hidden).within(lines)) == wanted


LIBRARY = """
class Library(nn.TransformerEncoderLayer):
    def __init__(self, D, H, F):
        super().__init__(D, H, F, dropout=0.0, activation="gelu", batch_first=True)
"""


@pytest.mark.parametrize(("decorator", "secret"), [("@TRUSTED.alternative", False), ("@TRUSTED.mistake('x')", True)])
def test_an_alternative_may_equal_the_librarys_stand_in(decorator, secret, tiny):
    files = {
        "grader/exercises/attention/block.py": decorator + LIBRARY,
        "coursekit/library/attention/block.py": LIBRARY,
    }
    for name, text in files.items():
        (tiny / name).parent.mkdir(parents=True)
        (tiny / name).write_text(text)
    assert bool(leaks.search(tiny, [tiny / "coursekit"])) == secret
