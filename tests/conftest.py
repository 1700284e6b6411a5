"""What all tests share: progress of their own, the repository, a chapter small enough to build at once."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = 4  # minutes: what an executed chapter counts where the longest come first

TINY = '''# ---
# jupyter:
#   coursekit:
#     title: Tiny
#     goals:
#       - Take a softmax.
#     minutes: 5
#     prerequisites:
#       - none
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tiny

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
seed = 0

# %% tags=["setup"]
import torch
from coursekit import check

# %% exercise="attention.softmax"
def softmax(x, dim):
    """Numbers that are positive and sum to 1 over `dim`."""
    ### BEGIN SOLUTION
    shifted = x - x.amax(dim, keepdim=True)
    return shifted.exp() / shifted.exp().sum(dim, keepdim=True)
    ### END SOLUTION

# %% [markdown]
# A hint may stand between an exercise and its check.

# %% check="attention.softmax"
check("attention.softmax", softmax)

# %% [markdown]
# ## The same

# %%
print(seed)

# %% [markdown]
# ## The same

# %%
print(seed)

# %% [markdown] question="attention.explain"
# Why is the largest number taken away first?
#
# <!-- BEGIN SOLUTION -->
# The exponential of a large number is not finite, and a common factor cancels in the quotient.
# <!-- END SOLUTION -->
'''


def pytest_configure(config):
    """Kernels that the tests start inherit this, so that nobody's own progress is touched."""
    home = tempfile.mkdtemp(prefix="coursekit-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["COURSEKIT_HOME"] = home
    os.environ.setdefault("COURSEKIT_PROFILE", "fast" if os.environ.get("COURSEKIT_ALL") else "smoke")
    os.environ.pop("COURSEKIT_LANGUAGE", None)
    os.environ.pop("NBGRADER_EXCHANGE", None)
    os.environ.pop("NBGRADER_DB", None)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # Each worker has a core: threads of one that wait on each other would take it from the other.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items):
    """A notebook's cells stay with one worker and its kernel; what takes longest comes first: none ends late."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=minutes, reverse=True)


def minutes(item):
    """What the `slow` mark says; 0 without one."""
    slow = item.get_closest_marker("slow")
    return NOTEBOOK if item.path.suffix == ".ipynb" else slow.args[0] if slow and slow.args else int(slow is not None)


def pytest_terminal_summary(terminalreporter):
    """How long nbval took for each notebook, all its cells together."""
    seconds = Counter()
    for report in (r for found in terminalreporter.stats.values() for r in found if hasattr(r, "duration")):
        path, _, cell = report.nodeid.partition("::")
        if cell and path.endswith(".ipynb"):
            seconds[path] += report.duration
    if seconds:
        terminalreporter.section(f"notebooks, profile {os.environ['COURSEKIT_PROFILE']}")
    for path, spent in sorted(seconds.items()):
        terminalreporter.line(f"{spent:6.1f} s  {path}")


@pytest.fixture(scope="session")
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def tiny_text():
    """A chapter's text with one exercise, its check and one question."""
    return TINY


@pytest.fixture(scope="session")
def tiny_specs():
    """What coursekit would say about the tiny chapter."""
    from grader.authoring.chapter import Specs

    return lambda slug: Specs({"attention.softmax": 2}, {"attention.explain": 3})


@pytest.fixture(scope="session")
def tiny_built(tmp_path_factory, tiny_specs):
    """A course of the tiny chapter, built once; tests that change it copy it first."""
    from grader.authoring.building import build

    course = tmp_path_factory.mktemp("tiny")
    (course / "chapters").mkdir()
    (course / "chapters" / "01_tiny.py").write_text(TINY, encoding="utf-8")
    shutil.copy(ROOT / "nbgrader_config.py", course)
    build(course, specs=tiny_specs)
    return course


@pytest.fixture
def tiny(tiny_built, tmp_path):
    """A copy of the tiny course that a test may change."""
    return Path(shutil.copytree(tiny_built, tmp_path / "course-of-one"))
