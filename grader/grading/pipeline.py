"""One submission from its folder to its points: intake, rebuild, run in the sandbox, verify outside it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.checking.handover import question_files
from coursekit.checking.report import Verdict
from coursekit.checking.sections import teaching
from coursekit.exercises import chapters
from grader import depending
from grader.authoring.notebook import grade_id, grade_id_of, points
from grader.drawing import DRAWS, Drawn
from grader.grading import secret
from grader.grading.conversation import Cell
from grader.grading.explaining import in_words, sent_cells, why_nothing
from grader.grading.feedback import sanitise
from grader.grading.intake import Taken, take
from grader.grading.outlining import outlined
from grader.grading.rebuilding import Rebuilt, rebuild
from grader.grading.running import Limits, Ran, Runner
from grader.grading.store import Graded, Outline, Store
from grader.grading.verifying import known, verify
from grader.threads import one_thread

_ANSWERS_NAMED = re.compile(r"coursekit\.exercises|\.library\b|\bkernelkit\b|COURSEKIT_ANSWERS|COURSEKIT_QUESTIONS")


@dataclass(frozen=True)
class Job:
    """A submission ready to be graded anywhere: nothing in it points to a file of the course."""

    assignment: str
    student: str
    key: str
    seed: int
    rebuilt: Rebuilt
    taken: Taken
    released: frozenset[str]  # ids of the cells that are as they were released

    @property
    def reason(self) -> str:
        """Why nothing can be graded; empty when something can."""
        return self.taken.reason or self.rebuilt.reason

    @property
    def flags(self) -> tuple[str, ...]:
        return (*self.taken.flags, *self.rebuilt.flags)


def prepare(
    course: Path,
    assignment: str,
    student: str,
    folder: Path,
    received: datetime | None = None,
    unprotected: bool = False,
    limits: Limits | None = None,
) -> Job:
    """Take in and rebuild the submission that lies in `folder`; runs nothing of it.

    `received` is when a server got it, where that is known. What is graded `unprotected`, or within other `limits`, has
    a key of its own: the one is never taken for a protected result, and a limit that was raised counts at once. Raises
    FileNotFoundError where the course has no release of the assignment.
    """
    release, digest = released(course, assignment)
    taken = take(folder, assignment, datetime.now(UTC), received)
    rebuilt = rebuild(release, taken.notebook)
    cells = [(cell.cell_type, cell.source) for cell in rebuilt.notebook.cells]
    sources = tuple(cell.source for cell in release.cells if cell.cell_type == "code")
    content: list[object] = [student, assignment, digest, _environment(assignment, sources), cells, rebuilt.runs]
    content += [taken.reason or rebuilt.reason, taken.flags, rebuilt.flags, rebuilt.notes, unprotected]
    content += [dataclasses.astuple(limits or Limits())]
    key = hashlib.sha256(json.dumps(content).encode("utf-8", "surrogatepass")).hexdigest()
    theirs = {(cell.id, cell.source) for cell in release.cells}
    unchanged = frozenset(cell.id for cell in rebuilt.notebook.cells if (cell.id, cell.source) in theirs)
    return Job(assignment, student, key, secret.seed(secret.course_secret(course), key), rebuilt, taken, unchanged)


def graded(job: Job, store: Store, runner: Callable[[], Runner], limits: Limits | None = None) -> Graded:
    """The result of `job`: from the store where it is there, else by grading now. `runner()` gives a Runner."""
    found = store.get(job.key)
    if found is None:
        found = grade(job, runner(), limits)
        store.put(found)
    return found


@dataclass(frozen=True)
class Plan:
    """What one submission's kernel is sent and given, and the secret inputs behind it."""

    job: Job
    attempt: int
    hidden: dict[str, Drawn]
    cells: tuple[Cell, ...]
    places: tuple[int, ...]  # in the notebook, of each cell that is sent
    given: dict[str, bytes]
    cpu_seconds: float


def grade(job: Job, runner: Runner, limits: Limits | None = None) -> Graded:
    """Run the learner's code in the sandbox, then judge what came out of it."""
    ahead(job, runner, limits)
    return settled(plan(job), lambda planned: run(planned, runner, limits))


class Unsteady(Exception):
    """An answer was wrong on secret inputs on which rounding decides: it must be tried on others."""


def settled(planned: Plan, run_one: Callable[[Plan], Ran]) -> Graded:
    """The verdicts on a plan that `run_one` runs; in the rare case that rounding decided, on the next inputs."""
    while True:
        try:
            return judged(planned, run_one(planned))
        except Unsteady:
            planned = plan(planned.job, planned.attempt + 1)


def ahead(job: Job, runner: Runner, limits: Limits | None = None) -> None:
    """Begin to start the kernel that `run` will need: it starts while the inputs are drawn."""
    if job.rebuilt.runs:
        runner.prepare(limits)


def plan(job: Job, attempt: int = 0) -> Plan:
    """Draw the submission's secret inputs, and say which cells run. Raises RuntimeError where no inputs will do."""
    started = time.thread_time()
    if attempt >= DRAWS:
        raise RuntimeError(f"{job.assignment}: rounding decides an answer in each of {DRAWS} draws of secret inputs")
    with one_thread():
        hidden = {id: secret.drawn(id, job.seed + attempt) for id in _exercise_ids(job.assignment)}
    given: dict[str, bytes] = {}
    for id, drawn in hidden.items():
        given |= zip(question_files(id), (_public_questions(id), secret.questions(id, drawn.cases)), strict=True)
    sent = sent_cells(job.rebuilt, {grade_id("check", id): id for id in hidden})
    cells, places = tuple(cell for _, cell in sent), tuple(place for place, _ in sent)
    return Plan(job, attempt, hidden, cells, places, given, time.thread_time() - started)


@functools.cache
def _public_questions(exercise_id: str) -> bytes:
    """The same for every submission."""
    return secret.questions(exercise_id, known(exercise_id).cases)


def run(planned: Plan, runner: Runner, limits: Limits | None = None) -> Ran:
    """What came of the submission's cells in a kernel of their own; no kernel where nothing is to run."""
    if not planned.cells:
        return Ran((), {}, "", (), 0.0, 0, not runner.unprotected)
    return runner.run(planned.cells, planned.given, limits or Limits())


def judged(planned: Plan, ran: Ran) -> Graded:
    """The verdicts on what a kernel left, in the notebook and as points. Raises Unsteady."""
    started, job = time.thread_time(), planned.job
    notebook = nbformat.from_dict(job.rebuilt.notebook)
    answers = {id: ran.files.get(f"{id}.safetensors") for id in planned.hidden}
    with one_thread():
        ended = {id: why_nothing(job.rebuilt, planned.places, planned.cells, ran, id) for id in planned.hidden}
        verified = {id: verify(id, drawn, answers[id], ended[id]) for id, drawn in planned.hidden.items()}
        if not all(_decided(v.verdict, planned.hidden[id]) for id, v in verified.items()):
            raise Unsteady
    _show_outputs(notebook, planned, ran)
    verdicts = {grade_id("check", id): _with_note(job.rebuilt, id, v.verdict) for id, v in verified.items()}
    verdicts = _with_sections(verdicts, job)
    if job.reason:
        verdicts = {id: replace(verdict, refused=job.reason) for id, verdict in verdicts.items()}
    scores = _emit(notebook, verdicts)
    told = (in_words(flag, planned.cells) for flag in ran.flags)
    flags = (*job.flags, *_reached_for(notebook, job), *told, *(v.flag for v in verified.values() if v.flag))
    if not ran.sandboxed:
        flags += ("graded without a sandbox: the result proves nothing",)
    return Graded(
        key=job.key,
        notebook=notebook,
        scores=scores,
        reason=job.reason or in_words(ran.ended, planned.cells),
        flags=flags,
        cpu_seconds=ran.cpu_seconds,
        overhead_seconds=planned.cpu_seconds + time.thread_time() - started,
        peak_bytes=ran.peak_bytes,
        sandboxed=ran.sandboxed,
        mistakes={id: v.verdict.mistake for id, v in verified.items() if v.verdict.mistake},
        exercises=_outlines(verdicts, scores, points(notebook), planned.hidden),
    )


def _with_sections(verdicts: dict[str, Verdict], job: Job) -> dict[str, Verdict]:
    """The verdicts with a link to what teaches the exercise, where a mistake is named.

    The headings are the release's: a cell that the learner changed may say anything, and is no section.
    """
    cells = job.rebuilt.notebook.cells
    found = teaching(cell for cell in cells if cell.cell_type != "markdown" or cell.id in job.released)
    return {
        id: replace(verdict, section=section.name, section_link=section.anchor)
        if verdict.mistake and (section := found.get(verdict.exercise))
        else verdict
        for id, verdict in verdicts.items()
    }


def _outlines(
    verdicts: dict[str, Verdict], scores: dict[str, float], possible: dict[str, float], hidden: dict[str, Drawn]
) -> dict[str, Outline]:
    """What a report on the class needs, by exercise; an exercise without a check cell in the release has none."""
    found = {}
    for id in scores:
        verdict = verdicts[id]
        labels = {case.label for case in (*known(verdict.exercise).cases, *hidden[verdict.exercise].cases)}
        found[verdict.exercise] = outlined(verdict, scores[id], possible[id], labels)
    return found


def _decided(verdict: Verdict, drawn: Drawn) -> bool:
    """Whether a verdict holds. One that found nothing wrong does: only a wrong answer could be rounding's fault."""
    return bool(verdict.full or verdict.not_started or verdict.refused) or drawn.steady


def _show_outputs(notebook: NotebookNode, planned: Plan, ran: Ran) -> None:
    """Put the learner's outputs under their cells, made harmless; a check cell shows its verdict alone."""
    for index, outputs in zip(planned.places, ran.outputs, strict=False):
        cell = notebook.cells[index]
        if not cell.metadata.get("nbgrader", {}).get("grade"):
            cell.outputs += [nbformat.from_dict(output) for output in outputs]
    sanitise(notebook, planned.job.released)


def _with_note(rebuilt: Rebuilt, exercise_id: str, verdict: Verdict) -> Verdict:
    """The verdict with what the learner should know of the answer's place, where not all is right."""
    note = rebuilt.notes.get(grade_id("check", exercise_id), "")
    if not note or verdict.full:
        return verdict
    if verdict.not_started:  # the stub that raised is another's
        return replace(verdict, not_started=False, refused=note)
    return replace(verdict, remarks=(note,))


def _reached_for(notebook: NotebookNode, job: Job) -> tuple[str, ...]:
    """Cells of the learner's that name the library's answers. It may be honest, so it costs nothing."""
    mine = [notebook.cells[i] for i in job.rebuilt.runs if notebook.cells[i].id not in job.released]
    named = sorted({found for cell in mine for found in _ANSWERS_NAMED.findall(cell.source)})
    return tuple(f"a cell of the learner's mentions {name}, which is not part of the exercise" for name in named)


def _emit(notebook: NotebookNode, verdicts: dict[str, Verdict]) -> dict[str, float]:
    """Write each verdict under its check cell; returns the points, finite and within the release's."""
    full = points(notebook)
    scores = {}
    for cell in notebook.cells:
        id = grade_id_of(cell)
        if cell.cell_type != "code" or id not in full:
            continue
        verdict = verdicts[id]
        earned = 0.0 if verdict.refused else float(verdict.earned)
        scores[id] = min(max(earned, 0.0), full[id]) if math.isfinite(earned) else 0.0
        data = {"text/plain": f"{scores[id]:g}", "text/html": verdict._repr_html_()}
        result = {"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": None}
        cell.outputs = [nbformat.from_dict(result)]
    return scores


@functools.lru_cache(maxsize=16)
def _exercise_ids(assignment: str) -> tuple[str, ...]:
    return next((chapter.exercises for chapter in chapters() if chapter.slug == assignment), ())


def released(course: Path, assignment: str) -> tuple[NotebookNode, str]:
    """The released notebook, the only one that is trusted, and the hash of its bytes. Raises FileNotFoundError."""
    path = course / "course" / assignment / f"{assignment}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(f"no release at {path}: run `nbgrader generate_assignment {path.stem}` first")
    return _parsed_release(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _parsed_release(path: Path, _changed: int) -> tuple[NotebookNode, str]:
    data = path.read_bytes()
    return nbformat.reads(data.decode("utf-8"), as_version=4), hashlib.sha256(data).hexdigest()


def grades_made_by(assignment: str) -> str:
    """The same hash on every machine that would grade the assignment alike."""
    return _environment(assignment, ())


@functools.lru_cache(maxsize=16)
def _environment(assignment: str, cells: tuple[str, ...]) -> str:
    """A hash of all that decides a grade besides release and submission: our code, the tensors, torch, Python.

    Another chapter has no part in it, for new secret inputs would be drawn for every submission with it.
    """
    digest = hashlib.sha256(platform.python_version().encode())
    for package in ("torch", "numpy", "transformers", "safetensors"):
        digest.update(f"{package} {importlib.metadata.version(package)}".encode())
    digest.update(depending.digest(depending.depends_on(assignment, depending.GRADES, cells)).encode())
    return digest.hexdigest()
