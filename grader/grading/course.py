"""An instructor's course folder: where submissions lie, and how nbgrader writes a graded one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from grader.authoring.notebook import nbgrader_config
from grader.grading import batch
from grader.grading.pipeline import Job, prepare
from grader.plugins.autograde import TrustedExporter, Writer, received, shown_key


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
        paths = self.directory(assignment)
        submitted = paths.submitted_directory
        pattern = paths.format_path(submitted, "*", assignment)
        form = paths.format_path(submitted, "(?P<student>[^/]+)", assignment, escape=True)
        return batch.submissions(self.root, pattern, form, students)

    def batch(self, assignment: str, force: bool) -> batch.Batch:
        settings = TrustedExporter(config=self.config)

        def ready(student: str, folder: Path) -> Job:
            course_id = self.directory(assignment).course_id
            came = received(settings.exchange, course_id, student, assignment, folder)
            return prepare(self.root, assignment, student, folder, came, self.unprotected)

        return batch.Batch(
            self.root,
            assignment,
            prepare=ready,
            record=lambda job: self._record(job),
            written=lambda job: self._shown(job) == job.key,
            limits=settings.bounds,
            unprotected=self.unprotected,
            force=force,
        )

    def _shown(self, job: Job) -> str | None:
        paths = self.directory(job.assignment)
        folder = paths.format_path(paths.autograded_directory, job.student, job.assignment)
        return shown_key(Path(folder) / f"{job.assignment}.ipynb")

    def _record(self, job: Job) -> None:
        """Have nbgrader's own converter write the stored result: the gradebook, and `autograded/`."""
        paths = self.directory(job.assignment, job.student)
        Writer(self._gradebook, coursedir=paths, config=self.config).start()

    @functools.cached_property
    def _gradebook(self) -> Gradebook:
        paths = CourseDirectory(config=self.config)
        return Gradebook(paths.db_url, paths.course_id)

    def close(self) -> None:
        if "_gradebook" in self.__dict__:
            self._gradebook.close()
