"""Write one result to nbgrader's gradebook: all of it or nothing, by one writer at a time."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry, SubmittedNotebook

from grader.authoring.notebook import grade_id_of
from grader.grading.store import KEY, STATE, Graded


def state(key: str, received: datetime | None, due: datetime | None) -> dict[str, str]:
    """All that decides what the gradebook says of one attempt: its result, when it came, and when it was due."""
    return {"key": key, "received": str(received or ""), "due": str(due or "")}


def shown(path: Path) -> dict[str, str] | None:
    """The state that an autograded notebook shows; None where it shows none."""
    try:
        told = json.loads(path.read_bytes())["metadata"][KEY]
        return {name: told[name] for name in ("key", "received", "due")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def due_date(gradebook: Gradebook, assignment: str) -> datetime | None:
    """When an assignment is due; None where that is not known."""
    with contextlib.suppress(MissingEntry):
        return gradebook.find_assignment(assignment).duedate
    return None


def record(
    course: Path, gradebook: Gradebook, assignment: str, student: str, graded: Graded, received: datetime | None
) -> None:
    """Replace the scores and the time of an earlier attempt by those of `graded`, in one transaction.

    A manual score stays, and asks to be looked at again. Raises RuntimeError where the gradebook does not know the
    release's check cells.
    """
    with _single_writer(course):
        notebook = gradebook.find_submission_notebook(assignment, assignment, student)
        known = {grade.name for grade in notebook.grades}
        if missing := sorted(graded.scores.keys() - known):
            raise RuntimeError(
                f"the gradebook does not know {', '.join(missing)}: run `nbgrader generate_assignment {assignment}`"
            )
        _set_scores(notebook, graded)
        notebook.assignment.timestamp = received and received.astimezone(UTC).replace(tzinfo=None)
        gradebook.db.commit()


def reset(course: Path, gradebook: Gradebook, assignment: str, student: str) -> None:
    """Take back the automatic scores of an earlier attempt: the present one could not be graded."""
    with _single_writer(course):
        try:
            notebook = gradebook.find_submission_notebook(assignment, assignment, student)
        except MissingEntry:
            return
        for grade in notebook.grades:
            grade.auto_score, grade.needs_manual_grade = None, True
        gradebook.db.commit()


def _single_writer(course: Path) -> FileLock:
    state = course / STATE
    state.mkdir(mode=0o700, exist_ok=True)
    return FileLock(state / "gradebook.lock")


def _set_scores(notebook: SubmittedNotebook, graded: Graded) -> None:
    cells = {id: cell for cell in graded.notebook.cells if (id := grade_id_of(cell))}
    for grade in notebook.grades:
        if grade.name in graded.scores:
            grade.auto_score = graded.scores[grade.name]
        elif grade.name in cells:  # an answer that a person marks; unanswered it is worth 0
            grade.auto_score = utils.determine_grade(cells[grade.name])[0]
        else:
            grade.auto_score = 0.0
        grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
    for comment in notebook.comments:
        cell = cells.get(comment.name)
        same = cell is None or cell.metadata.nbgrader.get("checksum") == utils.compute_checksum(cell)
        comment.auto_comment = "No response." if same else None
