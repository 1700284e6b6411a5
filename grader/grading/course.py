"""An instructor's course folder: where submissions lie, and how nbgrader writes a graded one."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from grader.authoring.notebook import nbgrader_config
from grader.grading import batch
from grader.grading.names import printable
from grader.grading.pipeline import Job, prepare, released
from grader.grading.recording import due_date, reset, shown, state
from grader.grading.secret import course_secret
from grader.plugins.autograde import TrustedExporter, Writer, handed_in


@dataclass(frozen=True)
class Course:
    """A folder with `nbgrader_config.py`, whose settings count here as they do for nbgrader's own commands."""

    root: Path
    config: Config
    unprotected: bool

    @classmethod
    def here(cls, unprotected: bool = False) -> Course:
        """The course of the current folder. Raises FileNotFoundError."""
        root = Path.cwd()
        if not (root / "nbgrader_config.py").is_file():
            raise FileNotFoundError(f"no nbgrader_config.py in {root}: run this in the course's folder")
        config = nbgrader_config(root)
        config.TrustedExporter.unprotected = unprotected
        return cls(root, config, unprotected)

    def directory(self, assignment: str, student: str = "*") -> CourseDirectory:
        directory = CourseDirectory(config=self.config)
        directory.assignment_id, directory.student_id = assignment, student
        return directory

    def submissions(self, assignment: str, students: list[str]) -> dict[str, Path]:
        """Folders by student. Raises LookupError naming the students that have none."""
        found = handed_in(self.directory(assignment), assignment)
        if missing := [name for name in students if name not in found]:
            raise LookupError(f"no submission of {', '.join(map(printable, missing))} in {self.root}")
        return {name: path for name, path in found.items() if not students or name in students}

    def batch(self, assignment: str, force: bool) -> batch.Batch:
        """What `batch.run` needs. Raises FileNotFoundError and RuntimeError for what would fail each submission."""
        settings = TrustedExporter(config=self.config)
        course_id, bounds = self.directory(assignment).course_id, settings.bounds
        released(self.root, assignment)
        course_secret(self.root)
        due = due_date(self._gradebook, assignment)

        def ready(student: str, folder: Path) -> Job:
            came = settings.received(course_id, student, assignment, folder)
            return prepare(self.root, assignment, student, folder, came, self.unprotected, bounds)

        return batch.Batch(
            self.root,
            assignment,
            prepare=ready,
            record=self._record,
            written=lambda job: self._shown(job) == state(job.key, job.taken.timestamp, due),
            reset=lambda student: self._reset(assignment, student),
            limits=bounds,
            unprotected=self.unprotected,
            force=force,
        )

    def _shown(self, job: Job) -> dict[str, str] | None:
        return shown(self._autograded(job.assignment, job.student) / f"{job.assignment}.ipynb")

    def _autograded(self, assignment: str, student: str) -> Path:
        paths = self.directory(assignment, student)
        return Path(paths.format_path(paths.autograded_directory, student, assignment))

    def _record(self, job: Job) -> None:
        """Have nbgrader's own converter write the stored result: the gradebook, and `autograded/`."""
        paths = self.directory(job.assignment, job.student)
        Writer(self._gradebook, job, paths, config=self.config).start()

    def _reset(self, assignment: str, student: str) -> None:
        """What nbgrader leaves of a submission that could not be graded: no points, and no notebook."""
        reset(self.root, self._gradebook, assignment, student)
        shutil.rmtree(self._autograded(assignment, student), ignore_errors=True)

    @functools.cached_property
    def _gradebook(self) -> Gradebook:
        paths = CourseDirectory(config=self.config)
        return Gradebook(paths.db_url, paths.course_id)

    def close(self) -> None:
        if "_gradebook" in self.__dict__:
            self._gradebook.close()
