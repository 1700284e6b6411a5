"""A course with hostile submissions between ordinary ones, graded by one command; and what was found afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from submissions import ALL, CANARY, NOTEBOOK, SLUG, Attack, write

from grader.grading import integrity

ROOT = Path(__file__).parents[2]
# Tight, so that loops and bombs end soon. Honest submissions need a small part of this.
LIMITS = {"wall": 35, "cell": 6, "memory": 1 << 30, "cpu": 30}


@dataclass
class Classroom:
    """One course folder, its submissions, and a listener on the loopback that nobody may reach."""

    folder: Path
    database: str = ""

    def __post_init__(self) -> None:
        self.course = self.folder / "course"
        self.course.mkdir(parents=True)
        for name in ("solutions", "course"):
            shutil.copytree(ROOT / name, self.course / name)
        shutil.copy(ROOT / "nbgrader_config.py", self.course)
        self.release = nbformat.read(self.course / "course" / SLUG / NOTEBOOK, as_version=4)
        solved = nbformat.read(self.course / "solutions" / SLUG / NOTEBOOK, as_version=4)
        marked = [cell for cell in solved.cells if cell.metadata.get("nbgrader", {}).get("solution")]
        self.answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in marked}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{CANARY}-{os.getpid()}-{id(self)}")
        self.abstract.listen()

    def close(self) -> None:
        self.listener.close()
        self.abstract.close()

    def submit(self, attack: Attack, student: str = "") -> None:
        places = {"course": str(self.course), "repository": str(ROOT), "port": str(self.listener.getsockname()[1])}
        places["abstract"] = self.abstract.getsockname()[1:].decode()
        folder = self.course / "submitted" / (student or attack.name) / SLUG
        shutil.rmtree(folder, ignore_errors=True)
        write(attack, self.release, self.answers, folder, places)

    def start(self, *arguments: str, wrap: tuple[str, ...] = (), **options: object) -> subprocess.Popen:
        """Run one of the project's commands in the course folder; `wrap` is a command to run it by."""
        own = {"NBGRADER_LIMITS": json.dumps(LIMITS), "NBGRADER_DB": self.database, "NBGRADER_EXCHANGE": ""}
        command = [*wrap, sys.executable, "-W", "ignore", "-m", *arguments]
        return subprocess.Popen(command, cwd=self.course, env=os.environ | own, text=True, **options)

    def command(self, *arguments: str, **options: object) -> subprocess.CompletedProcess:
        pipe = subprocess.PIPE
        with self.start(*arguments, stdout=pipe, stderr=pipe, **options) as process:
            out, err = process.communicate(timeout=7200)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def points(self) -> dict[str, dict[str, float]]:
        """Automatic scores by student and grade id."""
        with Gradebook(self.database or f"sqlite:///{self.course}/gradebook.db") as gradebook:
            return {
                submission.student.id: {
                    grade.name: grade.auto_score for notebook in submission.notebooks for grade in notebook.grades
                }
                for submission in gradebook.assignment_submissions(SLUG)
            }

    def asked(self) -> set[tuple[str, str]]:
        """Student and grade id wherever a person has to look."""
        with Gradebook(self.database or f"sqlite:///{self.course}/gradebook.db") as gradebook:
            return {
                (submission.student.id, grade.name)
                for submission in gradebook.assignment_submissions(SLUG)
                for notebook in submission.notebooks
                for grade in notebook.grades
                if grade.needs_manual_grade
            }

    def full(self, attack: Attack) -> dict[str, float]:
        """What the submission must earn, by check cell."""
        solved = self.answers if attack.solved is None else attack.solved
        worth = {
            cell.metadata.nbgrader.grade_id: float(cell.metadata.nbgrader.points)
            for cell in self.release.cells
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
        }
        return {id: points if id.removesuffix("-check") in solved else 0.0 for id, points in worth.items()}

    def flags(self) -> dict[str, str]:
        """What the integrity log says, by student."""
        return {entry["student"]: "\n".join(entry["flags"]) for entry in integrity.read(self.course)}

    def read(self, kind: str, student: str) -> str:
        """An autograded notebook, or the feedback."""
        name = NOTEBOOK if kind == "autograded" else NOTEBOOK.replace(".ipynb", ".html")
        return (self.course / kind / student / SLUG / name).read_text(encoding="utf-8")

    def fingerprint(self) -> str:
        """A hash of everything that grading must leave alone."""
        digest = hashlib.sha256()
        for top in ("solutions", "course", "submitted", "nbgrader_config.py"):
            for path in sorted([self.course / top, *(self.course / top).rglob("*")]):
                digest.update(str(path).encode())
                if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 24:
                    digest.update(path.read_bytes())
        return digest.hexdigest()


def survivors() -> list[int]:
    """Processes of this machine that carry the mark of a hostile submission."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            if CANARY.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def everyone(classroom: Classroom) -> None:
    """Honest submissions stand between the hostile ones: grading is in the order of names."""
    for attack in ALL.values():
        classroom.submit(attack)
    for i, after in enumerate(("a_first", "f_middle", "m_middle", "s_middle", "z_last")):
        classroom.submit(ALL["honest_right" if i % 2 else "honest_half"], f"{after}_honest")
