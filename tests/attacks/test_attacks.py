"""Every hostile submission, in one batch between ordinary ones: through nbgrader's own command, and through ours."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from classroom import ROOT, Classroom, everyone, survivors
from submissions import ALL, ATTACKS, CANARY, CHECK, HONEST, MARK, MARKED, NOTEBOOKS, PICTURE, QUESTION, SLUG

from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(4),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]

COMMANDS = {
    "nbgrader": ("nbgrader", "autograde", SLUG),
    "grade": ("grader", "grade", SLUG, "--jobs", "2"),
}
NEIGHBOURS = {
    f"{name}_honest": ALL["honest_right" if i % 2 else "honest_half"]
    for i, name in enumerate(("a_first", "f_middle", "m_middle", "s_middle", "z_last"))
}


# Each command's tests stay with the course that it graded.
BY_COMMAND = [pytest.param(name, marks=pytest.mark.xdist_group(f"attacks-{name}")) for name in COMMANDS]


@pytest.fixture(scope="module", params=BY_COMMAND)
def graded(request, tmp_path_factory):
    """The course after one run, with what the run said and what it left alone."""
    room = Classroom(tmp_path_factory.mktemp(request.param))
    everyone(room)
    room.before = room.fingerprint()
    made = room.command("nbgrader", "generate_assignment", SLUG)
    assert made.returncode == 0, made.stderr[-3000:]
    room.done = room.command(*COMMANDS[request.param])
    room.earned, room.told = room.points(), room.flags()
    yield room
    room.close()


def test_the_batch_is_not_aborted(graded):
    assert graded.done.returncode == 0, graded.done.stdout[-2000:] + graded.done.stderr[-4000:]
    assert set(graded.earned) == {*ALL, *NEIGHBOURS}


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS])
def test_a_hostile_submission_earns_what_it_solved_and_nothing_more(graded, name):
    earned = {id: graded.earned[name][id] for id in graded.full(ALL[name])}
    assert earned == graded.full(ALL[name])


@pytest.mark.parametrize("name", MARKED)
def test_a_hostile_cell_has_run_to_its_end(graded, name):
    notebook = nbformat.reads(graded.read("autograded", name), as_version=4)
    assert MARK in json.dumps([cell.get("outputs", []) for cell in notebook.cells])


@pytest.mark.parametrize("name", [attack.name for attack in HONEST] + list(NEIGHBOURS))
def test_an_honest_submission_loses_nothing(graded, name):
    expected = graded.full((ALL | NEIGHBOURS)[name])
    assert {id: graded.earned[name][id] for id in expected} == expected


@pytest.mark.parametrize("name", [attack.name for attack in ATTACKS if attack.flag])
def test_what_was_tried_is_in_the_integrity_log(graded, name):
    assert re.search(re.escape(ALL[name].flag) if ALL[name].flag != "." else ".", graded.told.get(name, "")), (
        graded.told.get(name)
    )


@pytest.mark.parametrize("name", [*(attack.name for attack in HONEST), *NEIGHBOURS])
def test_nothing_is_said_of_an_honest_learner(graded, name):
    assert graded.told.get(name) is None


def test_nothing_outside_scratch_has_changed(graded):
    assert graded.fingerprint() == graded.before
    places = (Path("/tmp"), Path("/usr"), ROOT, graded.course)
    assert [place for place in places if (place / CANARY).exists()] == []


def test_no_process_survives(graded):
    assert survivors() == []


def test_nobody_called_the_host(graded):
    for listener in (graded.listener, graded.abstract):
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("name", ["reads_course", "imports_references", "network", "abstract_socket", "writes_course"])
def test_nothing_leaks_into_the_outputs(graded, name):
    notebook = nbformat.reads(graded.read("autograded", name), as_version=4)
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    secret = (graded.course / ".grading" / "secret").read_bytes()
    assert "LEAK" not in shown
    assert repr(secret)[2:40] not in shown
    assert "gradebook" not in shown
    assert "BEGIN SOLUTION" not in shown


def test_outputs_stay_small(graded):
    for name in ("long_line", "endless_output", "displays", "large_message", "many_frames", "many_changed"):
        assert len(graded.read("autograded", name)) < 4_000_000


def test_every_autograded_notebook_is_valid(graded):
    for name in graded.earned:
        nbformat.validate(nbformat.reads(graded.read("autograded", name), as_version=4))


@pytest.fixture(scope="module")
def feedback(graded):
    """The course with feedback for those of whom a reader could be harmed, or would want to know why."""
    for name in ("scripts", *(attack.name for attack in NOTEBOOKS)):
        done = graded.command("nbgrader", "generate_feedback", SLUG, f"--student={name}")
        assert done.returncode == 0, done.stderr[-3000:]
    return graded


@pytest.mark.parametrize("name", ["scripts", *(attack.name for attack in NOTEBOOKS)])
def test_feedback_runs_no_script_and_needs_no_network(feedback, name):
    html = feedback.read("feedback", name)
    body = html[html.index("<body") :]
    assert "<script" not in html
    assert not re.search(r"<(iframe|svg)", body)
    assert not re.search(r"<[a-z]+[^<>]*\son[a-z]+=", body)
    assert not re.search(r"""href=["'](?!#|https?:|mailto:)""", body)
    assert not re.search(r"""<([a-z]+[^<>]*\ssrc|link[^<>]*\shref)=["']?(https?:|//)""", html)
    assert "<math" in body
    assert len(html) < 1_000_000


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("syntax", "its cell is no Python: SyntaxError in line 1"),
        ("endless", "is there a loop that does not end?"),
        ("renamed", "its cell defines no softmax"),
        ("borrowed_split", "what is not written yet: <code>merge_heads</code>, <code>split_heads</code>"),
        ("question_below", "This stood in another cell of the notebook"),
        ("picture", f"data:image/png;base64,{PICTURE}"),
        ("picture", "the picture lost.png was not handed in"),
    ],
)
def test_feedback_says_what_happened(feedback, name, told):
    assert told in feedback.read("feedback", name)


@pytest.mark.parametrize("name", ["question_below", "question_pasted", "picture", "honest_right"])
def test_a_person_is_asked_wherever_a_question_is_answered(graded, name):
    assert (name, QUESTION) in graded.asked()


def test_nobody_is_asked_where_nothing_was_answered(graded):
    assert ("honest_stubs", QUESTION) not in graded.asked()


def test_a_new_attempt_replaces_the_old_score(tmp_path):
    """A learner whose first attempt was right sends one that ends its kernel: the second counts."""
    room = Classroom(tmp_path)
    try:
        room.submit(ALL["honest_right"], "somebody")
        assert room.command("nbgrader", "generate_assignment", SLUG).returncode == 0
        assert room.command("nbgrader", "autograde", SLUG).returncode == 0
        assert room.points()["somebody"][CHECK] > 0
        room.submit(ALL["segfaults"], "somebody")
        assert room.command("nbgrader", "autograde", SLUG, "--force").returncode == 0
        assert set(room.points()["somebody"].values()) == {0.0}
    finally:
        room.close()
