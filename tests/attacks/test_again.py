"""Graded again: what has changed counts, what failed leaves nothing of the attempt before, odd folders stop nobody."""

import json
import shutil
import subprocess
from datetime import datetime

import psutil
import pytest
from classroom import LIMITS, ROOT, Classroom
from nbgrader.api import Gradebook
from submissions import ALL, SLUG

from grader.grading import batch
from grader.grading.course import Course
from grader.grading.running import Runner
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(3),
    pytest.mark.xdist_group("attacks-again"),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]
COMMANDS = {"nbgrader": ("nbgrader", "autograde", SLUG), "grade": ("grader", "grade", SLUG)}


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    """A gradebook that knows the release, which takes a while to make."""
    room = Classroom(tmp_path_factory.mktemp("generated"))
    made = room.command("nbgrader", "generate_assignment", SLUG)
    room.close()
    assert made.returncode == 0, made.stderr[-3000:]
    return room.course / "gradebook.db"


@pytest.fixture
def room(tmp_path, gradebook):
    """A course with one submission of an honest learner."""
    room = Classroom(tmp_path)
    shutil.copy(gradebook, room.course)
    room.submit(ALL["honest_half"], "ada")
    yield room
    room.close()


@pytest.fixture(params=COMMANDS)
def grade(request, room):
    """Grades by one of the two commands; what it said."""

    def run(status=0, **options):
        done = room.command(*COMMANDS[request.param], **options)
        assert done.returncode == status, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return run


def earned(room, student="ada"):
    """Automatic points of the check cells."""
    expected = room.full(ALL["honest_half"])
    return {id: points for id, points in room.points()[student].items() if id in expected}


def time_of(room, student="ada"):
    with Gradebook(f"sqlite:///{room.course}/gradebook.db") as gradebook:
        submission = gradebook.find_submission(SLUG, student)
        return submission.timestamp, submission.late_submission_penalty


def due(room, text):
    with Gradebook(f"sqlite:///{room.course}/gradebook.db") as gradebook:
        gradebook.update_or_create_assignment(SLUG, duedate=text)


def test_a_due_date_that_is_moved_counts_when_it_is_graded_again(room, grade):
    with (room.course / "nbgrader_config.py").open("a") as config:
        config.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    full = sum(room.full(ALL["honest_half"]).values())
    for date, penalty in (("2026-11-01", full), ("2026-12-01", 0), ("2026-10-01", full)):
        due(room, f"{date} 00:00:00 UTC")
        grade()
        assert time_of(room) == (datetime(2026, 11, 2, 10), penalty)


def test_a_timestamp_that_has_changed_counts_when_it_is_graded_again(room, grade):
    stamp = room.course / "submitted" / "ada" / SLUG / "timestamp.txt"
    for day in (5, 3):
        stamp.write_text(f"2026-11-0{day} 08:00:00.000000 UTC")
        grade()
        assert time_of(room)[0] == datetime(2026, 11, day, 8)
    stamp.unlink()
    grade()
    assert time_of(room)[0] is None
    assert earned(room) == room.full(ALL["honest_half"])


def test_a_limit_that_is_raised_counts_when_it_is_graded_again(room, grade, monkeypatch):
    monkeypatch.setitem(LIMITS, "answers", 1)  # byte
    grade()
    assert set(earned(room).values()) == {0.0}
    monkeypatch.undo()
    grade()
    assert earned(room) == room.full(ALL["honest_half"])


class Broken(Runner):
    """A runner whose kernels cannot be made."""

    def run(self, *_, **__):
        raise RuntimeError("no kernel")

    def prepare(self, *_):
        pass


def graded_by(room, runner, monkeypatch):
    """One run of `grade` in this process."""
    monkeypatch.chdir(room.course)
    monkeypatch.setenv("NBGRADER_LIMITS", json.dumps(LIMITS))
    course = Course.here()
    try:
        folders = course.submissions(SLUG, [])
        return batch.run(course.batch(SLUG, False), folders, runner, 1, None, lambda line: None)
    finally:
        course.close()


def test_a_failure_takes_back_the_points_of_the_attempt_before(room, monkeypatch):
    with Runner() as runner, Broken() as broken:
        graded_by(room, runner, monkeypatch)
        assert earned(room) == room.full(ALL["honest_half"])
        room.submit(ALL["honest_right"], "ada")
        [line] = graded_by(room, broken, monkeypatch)
        assert (line.status, line.told) == ("failed", "RuntimeError: no kernel")
        assert set(earned(room).values()) == {None}
        assert not (room.course / "autograded" / "ada" / SLUG).exists()
        room.submit(ALL["honest_half"], "ada")  # the first attempt, whose result is stored
        graded_by(room, broken, monkeypatch)
        assert earned(room) == room.full(ALL["honest_half"])


ODD = ["[x]", "a\nb", ".hidden", "\x1b[2Jclear", "ze*ro", "\x9b31m", " space"]


def test_odd_student_ids_are_refused_by_name_and_stop_nobody(room, grade, request):
    for name in ODD:
        room.submit(ALL["honest_half"], name)
    for name in ("=1+1", "-x", "zoë"):
        room.submit(ALL["honest_half"], name)
    said = grade(status=1 if "[grade]" in request.node.name else 0)
    assert set(room.points()) == {"ada", "=1+1", "-x", "zoë"}
    for name in room.points():
        assert earned(room, name) == room.full(ALL["honest_half"])
    for spelled in ("[x]", "a\\nb", ".hidden", "\\x1b[2Jclear", "ze*ro", "\\x9b31m"):
        assert f"'{spelled}' cannot be a student's id" in said.replace("\\\\", "\\")
    assert "\x1b[2J" not in said
    assert "\x9b" not in said


def test_a_copy_of_coursekit_that_kernels_would_not_import_is_refused(room, grade, tmp_path, monkeypatch, request):
    caches = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(ROOT / "coursekit", tmp_path / "other" / "coursekit", ignore=caches)
    with (copy / "checking" / "judging.py").open("a") as file:
        file.write("\n# another one\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    said = grade(status=2 if "[grade]" in request.node.name else 1)
    assert f"kernels would import coursekit from {ROOT / 'coursekit'}" in said
    assert "checking/judging.py differs" in said
    assert not (room.course / "autograded").exists()
    assert not (room.course / ".grading" / "results").exists()


def open_ports(process, marked):
    """The ports on which a process and its family listen until it ends, and its own children whose command is marked.

    What a worker forks has the worker's command until it runs another one, and is no worker.
    """
    ports, found = set(), set()
    with process:
        while process.poll() is None:
            me = psutil.Process(process.pid)
            family = {process.pid, *(child.pid for child in me.children(recursive=True))}
            found |= {child.pid for child in me.children() if marked in commandline(child.pid)}
            heard = psutil.net_connections("inet")
            ports |= {c.laddr for c in heard if c.pid in family and c.status == psutil.CONN_LISTEN}
    assert process.returncode == 0
    return ports, found


def test_no_port_is_open_while_several_are_graded_at_once(room):
    for i in range(5):
        room.submit(ALL["honest_noisy"], f"b{i}")  # each sleeps for a second
    null = subprocess.DEVNULL
    process = room.start("grader", "grade", SLUG, "--jobs", "2", stdout=null, stderr=null)
    ports, workers = open_ports(process, "spawn_main")
    assert len(workers) == 2
    assert ports == set()


def commandline(pid):
    try:
        return str(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""
