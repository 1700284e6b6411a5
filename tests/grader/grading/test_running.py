"""The kernels' own coursekit and the grader's are one, or nothing is graded."""

import shutil
import sys
from pathlib import Path

import coursekit
from grader.grading import running

HERE = Path(coursekit.__file__).parent


def test_here_both_are_the_same():
    assert running.other_copy() == ""


def test_a_copy_with_the_same_files_is_the_same_and_one_file_makes_it_another(tmp_path):
    copy = shutil.copytree(HERE / "checking", tmp_path / "checking")
    assert running._first_difference(HERE / "checking", copy) is None
    (copy / "judging.py").write_text("# another one")
    assert running._first_difference(HERE / "checking", copy) == "judging.py"


def test_a_file_that_only_one_of_them_has_makes_them_two(tmp_path):
    copy = shutil.copytree(HERE / "checking", tmp_path / "checking")
    (copy / "more.py").touch()
    assert running._first_difference(HERE / "checking", copy) == "more.py"


def test_kernels_that_cannot_import_it_are_told(monkeypatch, tmp_path):
    """The grader runs from a checkout, in an environment in which nothing is installed."""
    monkeypatch.setattr(sys, "executable", str(bare(tmp_path)))
    told = running.other_copy.__wrapped__()
    assert "kernels cannot import coursekit (ModuleNotFoundError" in told
    assert "install it for" in told


def bare(folder):
    """A Python without packages."""
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    return folder / "bin" / "python"
