"""The kernels' own coursekit and the grader's are one, or nothing is graded."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

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


@pytest.mark.skipif(os.name != "posix", reason="Unix sockets")
def test_a_kernel_without_walls_is_reached_through_its_own_folder_alone():
    kernel = running._Fresh()
    try:
        assert kernel.connection["transport"] == "ipc"
        assert Path(kernel.connection["ip"]).parent == kernel.folder
        assert kernel.folder.stat().st_mode & 0o077 == 0
    finally:
        kernel.signal(signal.SIGKILL)
        kernel.left(1)
        kernel.clean()


def bare(folder):
    """A Python without packages."""
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    return folder / "bin" / "python"
