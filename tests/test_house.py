"""The house's own rules: who may import whom, and names that hide nothing."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("coursekit", "kernelkit", "grader", "hub", "bench", "prepare")
# Who may import whom of us; each may import itself.
ALLOWED = {
    "kernelkit": set(),
    "coursekit": {"kernelkit"},
    "grader": {"coursekit", "kernelkit"},
    "hub": {"coursekit", "kernelkit"},
    "prepare": {"coursekit", "grader"},
    "bench": {"coursekit", "kernelkit", "grader", "hub", "prepare", "tests"},
}
FILES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")) if "node_modules" not in path.parts]


def imported(tree):
    """Top-level names that a module imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_imports_only_what_it_may(name):
    found = {
        (path.relative_to(ROOT).as_posix(), other)
        for path in FILES
        if path.relative_to(ROOT).parts[0] == name
        for other in imported(ast.parse(path.read_text(encoding="utf-8")))
        if other in {*PACKAGES, "tests"} - ALLOWED[name] - {name}
    }
    assert found == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_has_the_name_of_a_function_that_it_defines(path):
    defined = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
    assert (path.parent.name if path.stem == "__init__" else path.stem) not in defined


@pytest.mark.parametrize("path", sorted((ROOT / "coursekit" / "exercises").glob("*/*.py")), ids=lambda path: path.stem)
def test_no_exercise_carries_what_stands_in_for_it_into_a_graded_kernel(path):
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    assert "library" not in {keyword.arg for call in calls for keyword in call.keywords}
    assert path.stem == "__init__" or (ROOT / "coursekit" / "library" / path.parent.name / path.name).is_file()


def test_no_module_or_folder_of_coursekit_has_the_name_of_a_function_of_the_package():
    import coursekit

    entries = {path.stem for path in (ROOT / "coursekit").iterdir()}
    assert entries.isdisjoint(coursekit.__all__)
    assert all(callable(getattr(coursekit, name)) for name in coursekit.__all__)


def test_importing_coursekit_and_kernelkit_imports_no_torch():
    import subprocess

    code = "import sys, coursekit, kernelkit.provisioner, coursekit.kernel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_unknown_name_of_coursekit_is_told():
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        importlib.import_module("coursekit").chek  # noqa: B018
