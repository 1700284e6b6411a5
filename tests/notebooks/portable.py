"""`pytest tests/notebooks/portable.py`: what is compared holds for other processors, threads and libraries.

Each setting is given to new processes, for libraries read it once. It runs weekly; its name keeps it out of the other
tests, whose one setting is that of the machine.
"""

import os
import subprocess
import sys
from pathlib import Path

import claims
import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SLUGS = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9][0-9]_*.py"))
SETTINGS = [
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2"},
]
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}  # farthest from the machine that built the outputs


def told(setting):
    return ", ".join(f"{name}={value}" for name, value in setting.items())


def committed(slug):
    return nbformat.read(ROOT / "solutions" / slug / f"{slug}.ipynb", as_version=4)


def executed(slug, profile, setting, folder):
    """The solution run from its first cell to its last in a fresh kernel of that setting."""
    notebook = committed(slug)
    client = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", coalesce_streams=True, resources={"metadata": {"path": folder}}
    )
    client.execute(env=os.environ | setting | {"COURSEKIT_PROFILE": profile})
    return notebook


def compared(notebook):
    """What nbval compares of each cell that it compares: what was printed, and each result in each of its forms."""
    cells = (c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", []))
    return {c.id: [(o.output_type, o.get("text"), o.get("data")) for o in c.outputs] for c in cells}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"ATEN_CPU_CAPABILITY": "default"}, "torch.backends.cpu.get_cpu_capability() == 'DEFAULT'"),
        ({"OMP_NUM_THREADS": "1"}, "torch.get_num_threads() == 1"),
    ],
    ids=str,
)
def test_a_setting_reaches_torch(setting, said):
    python(setting, "-c", f"import torch; assert {said}")


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize("setting", SETTINGS, ids=told)
def test_the_compared_outputs_are_the_committed_ones(slug, setting, tmp_path):
    assert compared(executed(slug, "smoke", setting, tmp_path)) == compared(committed(slug))


@pytest.mark.parametrize("slug", SLUGS)
def test_a_whole_run_bears_out_the_prose(slug, tmp_path):
    notebook = executed(slug, "fast", PLAIN, tmp_path)
    assert compared(notebook) == compared(committed(slug))
    assert list(claims.broken(slug, notebook)) == []


@pytest.mark.parametrize("setting", SETTINGS, ids=told)
def test_the_public_tensors_are_the_committed_ones(setting):
    python(setting, "-m", "pytest", "-q", "tests/grader/proving/test_tensors.py")


def test_the_gate_holds():
    nothing_remembered = {"CI": "true"}  # what was proved with other arithmetic proves nothing here
    python(PLAIN | nothing_remembered, "-m", "grader", "gate", "--turn", "1", "--jobs", "1")


def python(setting, *arguments):
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | setting, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
