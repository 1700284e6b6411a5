"""Where nbgrader meets this grader: classes that `nbgrader_config.py` names, and nothing of nbgrader's is patched.

`c.Autograde.exporter_class` is built by nbgrader's converter just before it converts. Here it takes the submissions
in, rebuilds them, and points that converter at the rebuilt ones. `Grade` and `Record` then stand where nbgrader
executes a notebook and saves its scores. So `nbgrader autograde`, formgrader's button and `NbGraderAPI.autograde`
take the same path.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Bool, Dict, Float, Int, Unicode, Union
from traitlets.config import Configurable

from grader.authoring.notebook import write
from grader.grading import attempts, integrity
from grader.grading.arrival import received
from grader.grading.intake import SECRET, TIMESTAMP, write_time
from grader.grading.names import refusal
from grader.grading.pipeline import Job, graded, prepare
from grader.grading.recording import due_date, record, reset, shown, state
from grader.grading.running import Limits, other_copy, shared_runner
from grader.grading.store import KEY, STATE, Graded, Store
from grader.plugins.exchange import OwnedCollect
from kernelkit import sandbox

INTAKE = f"{STATE}/intake"


def _trait(default: Any, told: str) -> Int | Float:
    made = Int(default, min=1, help=told) if isinstance(default, int) else Float(default, min=0.001, help=told)
    return made.tag(config=True)


# A traitlet for each limit: `c.SubmissionLimits.wall = 300`.
SubmissionLimits = type(
    "SubmissionLimits",
    (Configurable,),
    {limit.name: _trait(limit.default, limit.metadata["help"]) for limit in fields(Limits)}
    | {"__doc__": Limits.__doc__, "__module__": __name__},
)


class TrustedExporter(NotebookExporter):
    """Exports what was rebuilt and graded, never what was submitted."""

    unprotected = Bool(
        bool(os.environ.get("NBGRADER_UNPROTECTED")),
        help="Grade without a sandbox. Every result is marked so: learners' code can then do what you can do.",
    ).tag(config=True)
    limits = Dict(
        key_trait=Unicode(),
        value_trait=Union([Int(), Float()]),
        help="Overrides some of SubmissionLimits, for example {'wall': 300}. NBGRADER_LIMITS sets it.",
    ).tag(config=True)
    exchange = Unicode("", help="The exchange's root, whose clock tells when a submission was received.").tag(
        config=True
    )

    def __init__(self, config: Any = None, parent: Any = None, **kwargs: Any) -> None:
        super().__init__(config=config, parent=parent, **kwargs)
        self.jobs: dict[tuple[str, str], Job] = {}
        self.results: dict[tuple[str, str], Graded] = {}
        if not isinstance(parent, Autograde):
            return
        if not self.unprotected and (why := sandbox.missing()):
            raise self._refusal(f"{why}. To grade without protection all the same, set NBGRADER_UNPROTECTED=1")
        if why := other_copy():
            raise self._refusal(why)
        self.course = Path(parent.coursedir.root)
        if isinstance(parent, Writer):
            self.jobs = {(parent.job.student, parent.job.assignment): parent.job}
        else:
            self._take_in(parent)

    @property
    def bounds(self) -> Limits:
        """What one submission may use. Raises ValueError for what is not a limit."""
        configured = SubmissionLimits(parent=self)
        return Limits.given({limit.name: getattr(configured, limit.name) for limit in fields(Limits)} | self.limits)

    def _refusal(self, why: str) -> NbGraderException:
        """The error with which nbgrader ends. It prints no message of it: whoever raises it says why."""
        self.log.error(why)
        return NbGraderException(why)

    def _take_in(self, converter: Autograde) -> None:
        """Rebuild every submission that the converter has found, and have it convert those."""
        courses = converter.coursedir
        assignment = courses.assignment_id
        with Gradebook(courses.db_url, courses.course_id) as gradebook:
            due = due_date(gradebook, assignment)
            for student, folder in handed_in(courses, assignment, courses.student_id).items():
                if not (job := self._taken(student, assignment, folder, courses)):
                    reset(self.course, gradebook, assignment, student)
                    continue
                self.jobs[student, assignment] = job
                done = Path(courses.format_path(courses.autograded_directory, student, assignment))
                if done.is_dir() and shown(done / f"{assignment}.ipynb") != state(job.key, job.taken.timestamp, due):
                    # Another attempt, time or due date, or a run was killed between two steps: nbgrader thinks it done.
                    shutil.rmtree(done)
        converter.coursedir = staged(courses)
        converter.init_notebooks()

    def _taken(self, student: str, assignment: str, folder: Path, courses: CourseDirectory) -> Job | None:
        """One submission, rebuilt. None for one that cannot be taken in, which is named: the others are graded."""
        if why := refusal(student):
            self.log.error("%s: it is not graded", why)
            return None
        try:
            came = self.received(courses.course_id, student, assignment, folder)
            job = prepare(self.course, assignment, student, folder, came, self.unprotected, self.bounds)
            rebuilt_into(self.course, job)
        except FileNotFoundError as error:
            raise self._refusal(str(error)) from error
        except Exception:
            self.log.exception("%s: it cannot be taken in, and is not graded", student)
            return None
        return job

    def received(self, course_id: str, student: str, assignment: str, folder: Path) -> datetime | None:
        """When the exchange got this submission, by its machine's clock; None where it has it not."""
        owners = OwnedCollect(config=self.config).names()
        return received(self.exchange, course_id, student, assignment, folder, owners)


def handed_in(courses: CourseDirectory, assignment: str, students: str = "*") -> dict[str, Path]:
    """The folder of each submission by its student; names that nobody should have are among them."""
    pattern = courses.format_path(courses.submitted_directory, students, assignment)
    form = courses.format_path(courses.submitted_directory, "(?P<student>[^/]+)", assignment, escape=True)
    paths = sorted(glob.glob(pattern, include_hidden=True))
    return {match["student"]: Path(path) for path in paths if (match := re.fullmatch(form, path))}


def rebuilt_into(course: Path, job: Job) -> None:
    """Write what was rebuilt to where nbgrader will read it in place of what was submitted."""
    target = course / INTAKE / job.student / job.assignment
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / f"{job.assignment}.ipynb").write_text(write(job.rebuilt.notebook), encoding="utf-8")
    if job.taken.timestamp:
        (target / TIMESTAMP).write_text(write_time(job.taken.timestamp))
    if job.taken.secret:
        (target / SECRET).write_text(job.taken.secret)


def staged(courses: CourseDirectory) -> CourseDirectory:
    """A copy that finds the rebuilt submissions: formgrader shares one course directory among all its requests."""
    copy = CourseDirectory(config=courses.config)
    for name in courses.trait_names():
        if name not in ("config", "parent", "log"):
            setattr(copy, name, getattr(courses, name))
    copy.submitted_directory = INTAKE
    return copy


class Writer(Autograde):
    """nbgrader's converter for one result that is in the store: what `nbgrader autograde` does, in a third of the time.

    It leaves out the first of nbgrader's two passes, which has no preprocessor here, validates the notebook once, and
    keeps one gradebook open, where nbgrader connects anew and looks at every table for each step.
    """

    def __init__(self, gradebook: Gradebook, job: Job, coursedir: CourseDirectory, **kwargs: Any) -> None:
        super().__init__(coursedir=staged(coursedir), **kwargs)
        self.gradebook, self.job = gradebook, job
        self.force = True

    def start(self) -> None:
        rebuilt_into(Path(self.coursedir.root), self.job)  # what was graded, whatever lies in its folder by now
        super().start()

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        BaseConverter.init_assignment(self, assignment_id, student_id)
        if self.create_student:
            self.gradebook.update_or_create_student(student_id)
        self.gradebook.update_or_create_submission(assignment_id, student_id)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        self._sanitizing = False  # the preprocessors of the second pass,
        self._init_preprocessors()
        self._sanitizing = True  # which reads what the first would have read
        self.exporter.optimistic_validation = True
        BaseConverter.convert_single_notebook(self, notebook_filename)


class Grade(NbGraderPreprocessor):
    """Stands where nbgrader executes the notebook: the result comes from the sandbox and the verifier, or the store."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        told = resources["nbgrader"]
        student, assignment = told["student"], told["assignment"]
        exporter: TrustedExporter = self.parent
        job = exporter.jobs[student, assignment]
        store = Store(exporter.course / STATE / "results")
        try:
            result = graded(job, store, lambda: shared_runner(exporter.unprotected), exporter.bounds)
        except Exception:
            with Gradebook(told["db_url"]) as gradebook:
                reset(exporter.course, gradebook, assignment, student)
            raise
        exporter.results[student, assignment] = result
        for flag in result.flags:
            self.log.warning("%s: %s", student, flag)
        notebook = nbformat.from_dict(result.notebook)
        notebook.metadata[KEY] = {"sandboxed": result.sandboxed, "reason": result.reason}
        return notebook, resources


class Record(NbGraderPreprocessor):
    """Stands where nbgrader saves the scores: one transaction in place of one for each cell."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        told = resources["nbgrader"]
        student, assignment = told["student"], told["assignment"]
        exporter: TrustedExporter = self.parent
        result = exporter.results[student, assignment]
        integrity.write(exporter.course, assignment, student, result.key, result.flags)
        attempts.write(exporter.course, exporter.jobs[student, assignment])
        writer = exporter.parent
        opened = contextlib.nullcontext(writer.gradebook) if isinstance(writer, Writer) else Gradebook(told["db_url"])
        with opened as gradebook:
            came = exporter.jobs[student, assignment].taken.timestamp
            record(exporter.course, gradebook, assignment, student, result, came)
            nb.metadata[KEY] |= state(result.key, came, due_date(gradebook, assignment))
        return nb, resources
