"""The same path through nbgrader's Python interface, which formgrader's button calls."""

import shutil

import pytest
from classroom import ROOT, Classroom
from submissions import ALL, CHECK, SLUG

from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]


@pytest.fixture
def room(tmp_path):
    room = Classroom(tmp_path)
    yield room
    room.close()


def api(room):
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from grader.authoring.notebook import nbgrader_config

    config = nbgrader_config(ROOT)
    config.CourseDirectory.root = str(room.course)
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def test_the_button_grades_in_the_sandbox_and_leaves_the_shared_settings_alone(room):
    room.submit(ALL["tagged"], "cheat")
    room.submit(ALL["honest_half"], "honest")
    interface = api(room)
    assert interface.generate_assignment(SLUG)["success"]
    for student in ("cheat", "honest"):
        done = interface.autograde(SLUG, student)
        assert done["success"], done
    assert interface.coursedir.submitted_directory == "submitted"
    assert room.points()["cheat"][CHECK] == 0
    full = room.full(ALL["honest_half"])
    assert {id: room.points()["honest"][id] for id in full} == full
    assert interface.get_autograded_students(SLUG) == {"cheat", "honest"}


def test_a_missing_sandbox_stops_grading_with_a_sentence(room, monkeypatch):
    room.submit(ALL["honest_half"], "honest")
    interface = api(room)
    assert interface.generate_assignment(SLUG)["success"]
    monkeypatch.setattr(sandbox, "missing", lambda: "this machine has no namespaces")
    done = interface.autograde(SLUG, "honest")
    assert not done["success"]
    assert "no namespaces" in str(done)
    assert not (room.course / "autograded" / "honest").exists()


def test_the_command_says_why_it_does_not_grade(room):
    room.submit(ALL["honest_half"], "honest")
    done = room.command("nbgrader", "generate_assignment", SLUG)
    assert done.returncode == 0, done.stderr
    # The root of a namespace that knows no other user cannot give a kernel one of its own.
    wrap = ("unshare", "--user", "--map-root-user")
    done = room.command("nbgrader", "autograde", SLUG, wrap=wrap)
    assert done.returncode == 1
    assert "does not let a process contain another" in done.stderr
    assert not (room.course / "autograded" / "honest").exists()


def test_an_unfinished_notebook_is_graded_again(room):
    """A run that is killed between nbgrader's two steps leaves a notebook without a verdict."""
    room.submit(ALL["honest_half"], "honest")
    interface = api(room)
    assert interface.generate_assignment(SLUG)["success"]
    target = room.course / "autograded" / "honest" / SLUG
    shutil.copytree(room.course / "submitted" / "honest" / SLUG, target)
    assert interface.autograde(SLUG, "honest", force=False)["success"]
    full = room.full(ALL["honest_half"])
    assert {id: room.points()["honest"][id] for id in full} == full
