"""Read what grading has left in the course's folder: who handed in what, and what was found in it."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.coursedir import CourseDirectory

from coursekit.checking.sections import teaching
from coursekit.home.handin import Unreadable, look
from grader.authoring.notebook import grade_id, nbgrader_config
from grader.grading import attempts
from grader.grading.attempts import HandIn
from grader.grading.intake import TIMESTAMP, read_time
from grader.grading.store import STATE, Graded, Outline, Store, shown_key
from kernelkit.files import Refused, read_plain

_TIMESTAMP_LIMIT = 200  # bytes
NOT_KEPT = "graded before it was kept what was found: grade it again"


class NothingGraded(LookupError):
    """Why there is no report, and what to do."""


@dataclass(frozen=True)
class Exercise:
    """One exercise as the release has it; `section` is the heading that teaches it, empty where there is none."""

    id: str
    number: str
    title: str
    points: float
    section: str = ""

    @property
    def name(self) -> str:
        return f"{self.number} {self.title}".strip()


@dataclass(frozen=True)
class Attempt:
    """One graded hand-in. `handed` is a time in UTC, empty where nobody knows it."""

    handed: str
    exercises: dict[str, Outline]
    reason: str = ""
    flags: tuple[str, ...] = ()
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class Learner:
    """One learner's graded hand-ins, oldest first: the last one counts."""

    name: str
    attempts: tuple[Attempt, ...]

    @property
    def present(self) -> Attempt:
        return self.attempts[-1]


@dataclass(frozen=True)
class Gathered:
    """A class's hand-ins of one assignment.

    `waiting` have handed in and are not graded, `again` have handed in something newer than what is graded, `lost` are
    graded and their result is not in the store.
    """

    assignment: str
    title: str
    exercises: tuple[Exercise, ...]
    learners: tuple[Learner, ...]
    waiting: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def gather(root: Path, assignment: str) -> Gathered:
    """Everything that a report needs. Raises NothingGraded."""
    paths = _paths(root)
    title, exercises = _chapter(root / paths.release_directory / assignment / f"{assignment}.ipynb", assignment)
    graded = dict(_folders(paths, paths.autograded_directory, assignment))
    submitted = dict(_folders(paths, paths.submitted_directory, assignment))
    if not graded:
        done = f"run `python -m grader grade {assignment}`" if submitted else "collect submissions and grade them"
        raise NothingGraded(f"no submission of {assignment} is graded in {root}: {done} first")
    store, noted = Store(root / STATE / "results"), attempts.read(root, assignment)
    learners, lost, again = [], [], []
    for name, folder in sorted(graded.items()):
        history = _history(store, noted.get(name, []), shown_key(folder / f"{assignment}.ipynb"), exercises)
        if history:
            learners.append(Learner(name, history))
        else:
            lost.append(name)
        if name in submitted and history and _newer(submitted[name], history[-1].handed):
            again.append(name)
    waiting = tuple(sorted(submitted.keys() - graded.keys()))
    return Gathered(assignment, title, exercises, tuple(learners), waiting, tuple(again), tuple(lost))


def assignments(root: Path) -> dict[str, str]:
    """Titles of the assignments with at least one graded submission, by name."""
    paths = _paths(root)
    release = root / paths.release_directory
    names = sorted(path.name for path in release.iterdir() if path.is_dir()) if release.is_dir() else []
    shown = [name for name in names if next(_folders(paths, paths.autograded_directory, name), None)]
    return {name: _chapter(release / name / f"{name}.ipynb", name)[0] for name in shown}


def _paths(root: Path) -> CourseDirectory:
    """Where nbgrader keeps things. Raises NothingGraded where this is no course."""
    if not (root / "nbgrader_config.py").is_file():
        raise NothingGraded(f"no nbgrader_config.py in {root}: run this in the course's folder")
    paths = CourseDirectory(config=nbgrader_config(root))
    paths.root = str(root)
    return paths


def _folders(paths: CourseDirectory, step: str, assignment: str) -> Iterator[tuple[str, Path]]:
    """Each learner's folder of one step."""
    pattern = paths.format_path(step, "*", glob.escape(assignment))
    form = paths.format_path(step, "(?P<student>[^/]+)", assignment, escape=True)
    for folder in sorted(glob.glob(pattern)):
        if match := re.fullmatch(form, folder):
            yield match["student"], Path(folder)


def _chapter(release: Path, assignment: str) -> tuple[str, tuple[Exercise, ...]]:
    """The title, and the exercises that a check marks. Raises NothingGraded where the release cannot be read."""
    try:
        facts = look(release, release)
        taught = teaching(nbformat.read(release, as_version=4).cells)
    except Unreadable as error:
        raise NothingGraded(f"no release of {assignment} to compare with: {error}") from None
    named = {id: section.name for id, section in taught.items()}
    items = (item for item in facts.items if item.id)
    return facts.title, tuple(
        Exercise(item.id, item.number, item.title, item.points, named.get(item.id, "")) for item in items
    )


def _history(
    store: Store, noted: list[HandIn], shown: str | None, exercises: tuple[Exercise, ...]
) -> tuple[Attempt, ...]:
    """The hand-ins whose results are stored; the one that the gradebook shows comes last. Empty where that is lost."""
    present = store.brief(shown) if shown else None
    if present is None:
        return ()
    mine = next((note for note in reversed(noted) if note.key == shown), None)
    before: list[tuple[HandIn, Graded]] = []
    for note in noted:
        same = note.content == (before[-1][0].content if before else None)  # handed in twice as it was
        if note.key != shown and (found := store.brief(note.key)):
            before = [*(before[:-1] if same else before), (note, found)]
    if mine and before and before[-1][0].content == mine.content:
        before.pop()
    earlier = [_attempt(note.handed, found, exercises) for note, found in before]
    return (*earlier, _attempt(mine.handed if mine else "", present, exercises))


def _attempt(handed: str, graded: Graded, exercises: tuple[Exercise, ...]) -> Attempt:
    found = graded.exercises or _of_old(graded, exercises)
    return Attempt(handed, found, graded.reason, graded.flags, graded.cpu_seconds)


def _of_old(graded: Graded, exercises: tuple[Exercise, ...]) -> dict[str, Outline]:
    """What a result tells that was stored before outlines were: points, and names of mistakes."""
    found = {}
    for exercise in exercises:
        earned, mistake = graded.scores.get(grade_id("check", exercise.id), 0.0), graded.mistakes.get(exercise.id, "")
        refused = "" if earned or mistake else NOT_KEPT
        found[exercise.id] = Outline(earned, exercise.points, mistake, refused=refused)
    return found


def _newer(folder: Path, handed: str) -> bool:
    """Whether a submission says that it was handed in later than the one that was graded."""
    with contextlib.suppress(OSError, Refused, ValueError):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            claimed = read_time(read_plain(opened, TIMESTAMP, _TIMESTAMP_LIMIT).decode("ascii").strip())
        finally:
            os.close(opened)
        return bool(handed) and claimed.isoformat(timespec="seconds") > handed
    return False
