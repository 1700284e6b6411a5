"""The same hostile submissions against stock nbgrader, side by side with ours: writes docs/attacks.md.

    python tests/attacks/stock.py [--only NAME ...]

Run it as an ordinary user: each grading runs in namespaces of its own (unshare), with limits, since stock nbgrader
protects nothing. The column `ours` is what `test_attacks.py` proves: a row that it does not prove fails that test.
Results are kept in stock.json beside this file, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parent))

from nbgrader.api import Gradebook
from submissions import ALL, ATTACKS, CANARY, HONEST, NOTEBOOK, SLUG, Attack, write

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("stock.json")
CONFIG = """
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "course"
c.GenerateAssignment.force = True
"""
SECONDS = 180
# Namespaces; then memory for each process, processes, file size.
CAGE = ["unshare", "-Urmpif", "--mount-proc", "--kill-child"]
CAGE += ["prlimit", "--as=6000000000", "--nproc=300", "--fsize=300000000"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    args = parser.parse_args()
    if os.geteuid() == 0:
        print("stock nbgrader would run hostile code as the superuser: run this as an ordinary user", file=sys.stderr)
        return 2
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as home:
        template = Path(home) / "template"
        release, answers = _template(template)
        for attack in (*ATTACKS, *HONEST):
            if attack.name in known or (args.only and attack.name not in args.only):
                continue
            known[attack.name] = _tried(attack, template, release, answers)
            print(attack.name, known[attack.name], flush=True)
            RESULTS.write_text(json.dumps(known, indent=1) + "\n")
    (ROOT / "docs" / "attacks.md").write_text("\n".join(_table(known)) + "\n")
    return 0


def _template(folder: Path) -> tuple[nbformat.NotebookNode, dict[str, str]]:
    """A course whose notebook is cut down to set-up, exercises and checks, so that each try takes seconds."""
    books = {}
    for name in ("solutions", "course"):
        books[name] = nbformat.read(ROOT / name / SLUG / NOTEBOOK, as_version=4)
        books[name].cells = [
            cell
            for cell in books[name].cells
            if "nbgrader" in cell.metadata or {"setup", "parameters"} & set(cell.metadata.get("tags", ()))
        ]
        (folder / name / SLUG).mkdir(parents=True)
        nbformat.write(books[name], folder / name / SLUG / NOTEBOOK)
    marked = [cell for cell in books["solutions"].cells if cell.metadata.get("nbgrader", {}).get("solution")]
    return books["course"], {cell.metadata.nbgrader.grade_id: cell.source for cell in marked}


def _tried(attack: Attack, template: Path, release, answers) -> dict:
    """What stock does with one hostile submission and the honest neighbour that follows it."""
    folder = template.parent / "course"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    (folder / "nbgrader_config.py").write_text(CONFIG.format(root=str(folder)))
    _nbgrader([], folder, "generate_assignment", SLUG)
    places = {"course": str(folder), "repository": str(ROOT), "port": "9", "abstract": CANARY}
    write(attack, release, answers, folder / "submitted" / "a_hostile" / SLUG, places)
    write(ALL["honest_half"], release, answers, folder / "submitted" / "b_honest" / SLUG, places)
    status = _nbgrader(CAGE, folder, "autograde", SLUG)
    earned = dict(_earned(folder))
    subprocess.run(["pkill", "-KILL", "-f", CANARY], check=False)
    Path(tempfile.gettempdir(), CANARY).unlink(missing_ok=True)
    return {"status": status, "earned": earned.get("a_hostile"), "neighbour": earned.get("b_honest")}


def _earned(folder: Path) -> Iterator[tuple[str, float | None]]:
    """Automatic points by student; None where there is no grade for an attempt."""
    try:
        with Gradebook(f"sqlite:///{folder}/gradebook.db") as gradebook:
            for submission in gradebook.assignment_submissions(SLUG):
                grades = [g for book in submission.notebooks for g in book.grades if g.name.endswith("-check")]
                scores = [(g.auto_score, g.max_score) for g in grades]
                missing = any(score is None for score, _ in scores)
                # What formgrader would show: a grade that is missing counts as none.
                yield submission.student.id, None if missing else sum(min(score, 1e9) for score, _ in scores)
    except Exception as error:  # the gradebook itself may be gone: that is a result
        print(f"the gradebook cannot be read: {error}")


def _nbgrader(cage: list[str], folder: Path, *arguments: str) -> str:
    command = [*cage, sys.executable, "-W", "ignore", "-m", "nbgrader", *arguments]
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"  # nbgrader calls alembic by name
    env = os.environ | {
        "PATH": path,
        "HOME": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "jupyter"),
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"not finished after {SECONDS} s"
    if "autograde" not in arguments and done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return "done" if done.returncode == 0 else "aborted"


def _table(known: dict[str, dict]) -> Iterator[str]:
    release = nbformat.read(ROOT / "course" / SLUG / NOTEBOOK, as_version=4)
    worth = {
        cell.metadata.nbgrader.grade_id.removesuffix("-check"): cell.metadata.nbgrader.points
        for cell in release.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    }
    wrong = tried = 0
    rows = []
    for attack in (*ATTACKS, *HONEST):
        due = sum(worth.values()) if attack.solved is None else sum(worth[id] for id in attack.solved)
        neighbour = sum(worth[id] for id in ALL["honest_half"].solved)
        told = _told(known.get(attack.name), due, neighbour)
        tried += told != "not tried"
        wrong += told not in ("as due", "not tried")
        rows.append(f"| {attack.row} | {attack.what} | {due:g} | {told} | as due |")
    yield "# Hostile submissions: stock nbgrader and this grader"
    yield ""
    yield "Made by `python tests/attacks/stock.py`; do not edit. Each line is one submission of chapter 02, graded"
    yield "beside an honest neighbour: by stock nbgrader 0.9.6 with its default settings, on a notebook cut down to"
    yield "set-up, exercises and checks, and by this grader on the whole notebook (`tests/attacks/test_attacks.py`"
    yield f"proves that column, twice). `due` is what the submission solves. Stock: {wrong} of {tried} not as due."
    yield ""
    yield "The table counts points and grades. What stock lets a submission read, change or leave behind on the machine"
    yield "is not in it: there, learners' code runs as the instructor. Row 10 is about a second attempt, to which stock"
    yield "leaves the first one's points; here it is a first one."
    yield ""
    yield "| row | submission | due | stock nbgrader | ours |"
    yield "|---|---|---|---|---|"
    yield from rows


def _told(result: dict | None, due: float, neighbour: float) -> str:
    if result is None:
        return "not tried"
    if result["neighbour"] is None:
        return f"batch {result['status']}, no grade for the neighbour"
    told = []
    if result["status"] != "done":
        told.append("submission failed")
    if result["earned"] is None:
        told.append("no grade")
    elif result["earned"] != due:
        told.append(f"{result['earned']:g} points")
    if result["neighbour"] != neighbour:
        told.append(f"neighbour: {result['neighbour']:g} of {neighbour:g} points")
    return ", ".join(told) or "as due"


if __name__ == "__main__":
    sys.exit(main())
