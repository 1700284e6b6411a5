"""Who handed in what and when: graded again it is the same hand-in, changed it is another."""

from datetime import UTC, datetime

from grader.grading import attempts
from grader.grading.intake import Taken
from grader.grading.pipeline import Job
from grader.grading.rebuilding import Rebuilt

SLUG = "02_attention"
MONDAY, TUESDAY = (datetime(2026, 9, day, 8, tzinfo=UTC) for day in (7, 8))


def job(key, content=b"{}", handed=MONDAY, student="ada"):
    return Job(SLUG, student, key, 0, Rebuilt(None, (), "", ()), Taken(content, "", (), handed), frozenset())


def keys(course, student="ada"):
    return [note.key for note in attempts.read(course, SLUG).get(student, [])]


def test_graded_again_it_is_the_same_hand_in_with_another_result(tmp_path):
    attempts.write(tmp_path, job("old"))
    attempts.write(tmp_path, job("new"))
    assert keys(tmp_path) == ["new"]


def test_another_notebook_or_another_time_is_another_hand_in_in_the_order_of_handing_in(tmp_path):
    attempts.write(tmp_path, job("third", b"[]", TUESDAY))
    attempts.write(tmp_path, job("first"))
    attempts.write(tmp_path, job("second", handed=TUESDAY.replace(hour=7)))
    assert keys(tmp_path) == ["first", "second", "third"]
    assert attempts.read(tmp_path, SLUG)["ada"][0].handed == "2026-09-07T08:00:00+00:00"


def test_learners_and_assignments_are_told_apart(tmp_path):
    attempts.write(tmp_path, job("a"))
    attempts.write(tmp_path, job("b", student="../ben\n"))
    assert (keys(tmp_path), keys(tmp_path, "../ben\n")) == (["a"], ["b"])
    assert attempts.read(tmp_path, "03_bert") == {}
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path / ".grading" / "attempts" / SLUG}


def test_without_a_notebook_or_a_time_it_is_noted_all_the_same(tmp_path):
    attempts.write(tmp_path, job("k", None, None))
    [note] = attempts.read(tmp_path, SLUG)["ada"]
    assert (note.content, note.handed, note.when) == ("", "", note.graded)


def test_a_damaged_note_and_one_that_was_cut_off_are_passed_over(tmp_path):
    attempts.write(tmp_path, job("k"))
    [path] = tmp_path.rglob("*.json")
    (path.parent / "ab.json").write_text('{"student": "ada"')
    (path.parent / "cd.json").write_text('{"student": "ada"}')
    (path.parent / f".{path.name}-x").write_text("{")
    assert keys(tmp_path) == ["k"]
