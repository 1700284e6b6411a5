"""Grading in one run, on the same submissions: stock `nbgrader autograde`, and ours with one job and with two.

Each is measured twice: on whole notebooks as stock runs them, and on notebooks that are cut down to the cells that
ours runs too. A class is graded by one command, so what counts is what each further submission takes; start-up is
told by itself. Only ratios within a run mean anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
SLUG = "02_attention"
NOTEBOOK = f"{SLUG}.ipynb"
COUNT = int(os.environ.get("COURSEKIT_BENCH_SUBMISSIONS", "10"))
KINDS = {"all right": ("right",), "all stubs": ("stubs",), "mixed": ("right", "stubs", "half")}
STOCK = """
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "course"
c.CourseDirectory.course_id = "bench"
c.GenerateAssignment.force = True
c.Execute.timeout = 180
"""


def course(folder: Path, kinds: tuple[str, ...], cut: bool, stock: bool, count: int) -> None:
    """A course folder with `count` submissions."""
    release = nbformat.read(ROOT / "course" / SLUG / NOTEBOOK, as_version=4)
    solution = nbformat.read(ROOT / "solutions" / SLUG / NOTEBOOK, as_version=4)
    if cut:
        release.cells, solution.cells = (list(filter(_runs, book.cells)) for book in (release, solution))
    answers = {c.metadata.nbgrader.grade_id: c.source for c in solution.cells if _marks(c).get("solution")}
    for name, notebook in (("solutions", solution), ("course", release)):
        (folder / name / SLUG).mkdir(parents=True)
        nbformat.write(notebook, folder / name / SLUG / NOTEBOOK)
    if stock:
        (folder / "nbgrader_config.py").write_text(STOCK.format(root=str(folder)))
    else:
        shutil.copy(ROOT / "nbgrader_config.py", folder)
    _nbgrader(folder, "generate_assignment", SLUG)
    for i in range(count):
        notebook = nbformat.read(folder / "course" / SLUG / NOTEBOOK, as_version=4)
        kind = kinds[i % len(kinds)]
        for n, cell in enumerate(c for c in notebook.cells if _marks(c).get("solution")):
            if kind == "right" or (kind == "half" and n % 2 == 0):
                cell.source = answers[_marks(cell)["grade_id"]]
        target = folder / "submitted" / f"learner{i:02}" / SLUG
        target.mkdir(parents=True)
        nbformat.write(notebook, target / NOTEBOOK)


def _marks(cell) -> dict:
    return cell.metadata.get("nbgrader", {})


def _runs(cell) -> bool:
    return bool(_marks(cell)) or bool({"setup", "parameters"} & set(cell.metadata.get("tags", ())))


def _nbgrader(folder: Path, *arguments: str) -> None:
    _watched(folder, "nbgrader", *arguments)


def _watched(folder: Path, *arguments: str) -> tuple[float, list[float]]:
    """When a command began, and when it said that it is at a submission (stock) or done with one (ours), in seconds."""
    began, seen, said = time.perf_counter(), [], []
    command = [sys.executable, "-u", "-W", "ignore", "-m", *arguments]
    own = {"NBGRADER_DB": "", "NBGRADER_EXCHANGE": "", "COURSEKIT_PROGRESS": "off"}
    # As in an activated environment: stock nbgrader calls alembic by name.
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    pipe, all_of_it = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | own, text=True, stdout=pipe, stderr=all_of_it
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            if re.match(r"\d+/\d+ |.*Sanitizing ", line):
                seen.append(time.perf_counter())
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} in {folder}\n{''.join(said)[-2000:]}")
    return began, seen


# Ours grades more of the same: what one takes would be lost in the seconds of the start.
WAYS = {
    "stock": (COUNT, ("nbgrader", "autograde", SLUG)),
    "one job": (4 * COUNT, ("grader", "grade", SLUG)),
    "two jobs": (4 * COUNT, ("grader", "grade", SLUG, "--jobs", "2")),
}


def wall(name: str, kinds: tuple[str, ...], cut: bool) -> tuple[float, float]:
    """Seconds until the first submission, and for each further one: start-up is once for a class."""
    count, command = WAYS[name]
    with tempfile.TemporaryDirectory() as home:
        course(Path(home) / "course", kinds, cut, name == "stock", count)
        began, seen = _watched(Path(home) / "course", *command)
        assert len(seen) == count
        return seen[0] - began, (seen[-1] - seen[0]) / (count - 1)


def per_submission(kinds: tuple[str, ...]) -> dict[str, float]:
    """CPU seconds and memory of one submission, in a process that is warm: the learner's own compute, and ours."""
    from grader.grading.pipeline import grade, prepare
    from grader.grading.running import Runner

    with tempfile.TemporaryDirectory() as home, Runner() as runner, contextlib.redirect_stdout(None):
        folder = Path(home)
        course(folder, kinds, False, False, COUNT)
        rows = []
        for i in range(COUNT):
            began = time.perf_counter()
            cpu = time.process_time()
            student = f"learner{i:02}"
            result = grade(prepare(folder, SLUG, student, folder / "submitted" / student / SLUG), runner)
            rows.append((time.perf_counter() - began, time.process_time() - cpu, result))
        rows = rows[1:]  # the first also loads code
    return {
        "wall s": sum(row[0] for row in rows) / len(rows),
        "grader CPU s": sum(row[1] for row in rows) / len(rows),
        "kernel CPU s": sum(row[2].cpu_seconds for row in rows) / len(rows),
        "peak MiB": max(row[2].peak_bytes for row in rows) / 2**20,
    }


def main() -> None:
    counts = ", ".join(f"{count} by {name}" for name, (count, _) in WAYS.items())
    print(f"\ngrading submissions of {SLUG} ({counts}): seconds until the first one, for each further one")
    print(f"{os.cpu_count()} processors; processes that want one before we begin: {os.getloadavg()[0]:.1f}")
    for cut in (False, True):
        print("on the whole notebook" if not cut else "on the cells that ours runs too", flush=True)
        for label, kinds in KINDS.items():
            stock = 0.0
            for name in WAYS:
                first, further = wall(name, kinds, cut)
                stock = stock or further
                told = f"{first:6.1f} s {further:6.2f} s  {60 / further:6.1f} a minute"
                print(f"  {label:10} {name:9} {told}  x{stock / further:5.1f}", flush=True)
    print("one submission in a warm process")
    for label, kinds in KINDS.items():
        row = per_submission(kinds)
        print(f"  {label:10} " + "  ".join(f"{name} {value:.2f}" for name, value in row.items()), flush=True)
    print("targets on the same cells: one job x15; grader CPU < 0.2 s; peak < 350 MiB above the parent")
