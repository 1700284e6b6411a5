"""Both wheels hold every file of their packages that git tracks, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT_FILES = {"LICENSE", "pyproject.toml"}  # of the grader's folder, which is the package itself


def tracked(*packages):
    listed = subprocess.run(["git", "ls-files", "-z", *packages], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What git tracks of the distributions, in a folder of its own: setuptools builds beside its sources."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in tracked("coursekit", "kernelkit", "grader", "*.toml", "*.md", "LICENSE*"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(("project", "packages"), [(".", ("coursekit", "kernelkit")), ("grader", ("grader",))])
def test_a_wheel_holds_what_git_tracks(checkout, tmp_path, project, packages):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    built = subprocess.run([*command, "-w", tmp_path, checkout / project], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == tracked(*packages) - {f"{project}/{name}" for name in PROJECT_FILES}
