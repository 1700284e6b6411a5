"""A course's folder as grading leaves it, written without grading."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import nbformat

from grader.grading import attempts
from grader.grading.intake import Taken
from grader.grading.pipeline import Job
from grader.grading.rebuilding import Rebuilt
from grader.grading.store import KEY, Graded, Outline, Store

ROOT = Path(__file__).parents[3]
SLUG, SDPA = "02_attention", "attention.sdpa"


def course_in(folder):
    """A course with one release and no submission."""
    release = folder / "course" / SLUG
    release.mkdir(parents=True)
    shutil.copy(ROOT / "course" / SLUG / f"{SLUG}.ipynb", release)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    return folder


def day(number):
    return datetime(2026, 9, number, 8, tzinfo=UTC)


def key_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def grade(course, student, content, handed=None, earned=1.0, key=None, **more):
    """What grading leaves of one hand-in."""
    key = key or key_of(student + content)
    outline = {SDPA: Outline(earned, 2.0)}
    Store(course / ".grading" / "results").put(
        Graded(key, nbformat.v4.new_notebook(), {"attention-sdpa-check": earned}, **{"exercises": outline} | more)
    )
    taken = Taken(content.encode(), "", (), handed)
    attempts.write(course, Job(SLUG, student, key, 0, Rebuilt(None, (), "", ()), taken, frozenset()))
    show(course, student, key)


def show(course, student, key):
    folder = course / "autograded" / student / SLUG
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{SLUG}.ipynb").write_text(json.dumps({"metadata": {KEY: {"key": key}}}))


def submit(course, student, timestamp):
    folder = course / "submitted" / student / SLUG
    folder.mkdir(parents=True)
    (folder / "timestamp.txt").write_text(timestamp)
