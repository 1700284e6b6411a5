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
from datetime import UTC, datetime
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
from grader.grading.intake import SECRET, TIMESTAMP, write_time
from grader.grading.pipeline import Job, graded, prepare
from grader.grading.recording import record, reset
from grader.grading.running import Limits, shared_runner
from grader.grading.store import KEY, STATE, Graded, Store, shown_key
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
        self.course = Path(parent.coursedir.root)
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
        pattern = courses.format_path(courses.submitted_directory, courses.student_id, assignment)
        form = courses.format_path(courses.submitted_directory, "(?P<student>[^/]+)", assignment, escape=True)
        for folder in map(Path, sorted(glob.glob(pattern))):
            match = re.fullmatch(form, str(folder))
            if match:
                self._stage(match["student"], assignment, folder, courses)
        # A copy: formgrader shares one course directory among all its requests.
        staged = CourseDirectory(config=courses.config)
        for name in courses.trait_names():
            if name not in ("config", "parent", "log"):
                setattr(staged, name, getattr(courses, name))
        staged.submitted_directory = INTAKE
        converter.coursedir = staged
        converter.init_notebooks()

    def _stage(self, student: str, assignment: str, folder: Path, courses: CourseDirectory) -> None:
        try:
            came = received(self.exchange, courses.course_id, student, assignment, folder)
            job = prepare(self.course, assignment, student, folder, came, self.unprotected)
        except FileNotFoundError as error:
            raise self._refusal(str(error)) from error
        self.jobs[student, assignment] = job
        target = self.course / INTAKE / student / assignment
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        (target / f"{assignment}.ipynb").write_text(write(job.rebuilt.notebook), encoding="utf-8")
        if job.taken.timestamp:
            (target / TIMESTAMP).write_text(write_time(job.taken.timestamp))
        if job.taken.secret:
            (target / SECRET).write_text(job.taken.secret)
        done = Path(courses.format_path(courses.autograded_directory, student, assignment))
        if done.is_dir() and shown_key(done / f"{assignment}.ipynb") is None:
            shutil.rmtree(done)  # a run was killed between two steps: nbgrader would take it for finished


class Writer(Autograde):
    """nbgrader's converter for one result that is in the store: what `nbgrader autograde` does, in a third of the time.

    It leaves out the first of nbgrader's two passes, which has no preprocessor here, validates the notebook once, and
    keeps one gradebook open, where nbgrader connects anew and looks at every table for each step.
    """

    def __init__(self, gradebook: Gradebook, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gradebook = gradebook
        self.force = True

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        BaseConverter.init_assignment(self, assignment_id, student_id)
        if self.create_student:
            self.gradebook.update_or_create_student(student_id)
        timestamp = self.coursedir.get_existing_timestamp(self._format_source(assignment_id, student_id))
        came = {"timestamp": timestamp} if timestamp else {}
        self.gradebook.update_or_create_submission(assignment_id, student_id, **came)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        self._sanitizing = False  # the preprocessors of the second pass,
        self._init_preprocessors()
        self._sanitizing = True  # which reads what the first would have read
        self.exporter.optimistic_validation = True
        BaseConverter.convert_single_notebook(self, notebook_filename)


def received(exchange: str, course_id: str, student: str, assignment: str, folder: Path) -> datetime | None:
    """When the exchange got this submission, by the clock of the machine that keeps it; None where it has it not."""
    try:
        claimed = (folder / TIMESTAMP).read_text(errors="replace").strip()[:100]
    except OSError:
        return None
    if not exchange or not claimed:
        return None
    inbound = Path(exchange) / course_id / "inbound"
    names = glob.escape(f"{student}+{assignment}+{claimed}") + "*"
    with contextlib.suppress(OSError):
        times = [path.lstat().st_ctime for path in inbound.glob(names)]
        return datetime.fromtimestamp(min(times), UTC) if times else None
    return None


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
        notebook.metadata[KEY] = {"key": result.key, "sandboxed": result.sandboxed, "reason": result.reason}
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
            record(exporter.course, gradebook, assignment, student, result)
        return nb, resources
