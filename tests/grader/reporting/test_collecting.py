"""What is found in a course's folder: present results, earlier hand-ins, and what is missing."""

import os
import shutil

import pytest
from stored import SDPA, SLUG, course_in, day, grade, key_of, show, submit

from coursekit.exercises import chapter_of
from grader.grading.intake import write_time
from grader.reporting.collecting import NothingGraded, assignments, gather
from grader.reporting.states import UNJUDGED, state


@pytest.fixture
def course(tmp_path):
    return course_in(tmp_path)


def earned(learner):
    return [attempt.exercises[SDPA].earned for attempt in learner.attempts]


def test_exercises_come_from_the_release_with_number_points_and_section(course):
    grade(course, "ada", "x")
    found = gather(course, SLUG)
    sdpa = found.exercises[1]
    assert (sdpa.id, sdpa.name, sdpa.points) == (SDPA, "2.2 Scaled dot-product attention", 2)
    assert (sdpa.section, len(found.exercises)) == ("3. Scaled dot-product attention", len(chapter_of(SDPA).exercises))
    assert found.title == "Attention"


def test_hand_ins_of_a_learner_are_in_order_and_the_one_that_is_shown_is_last(course):
    grade(course, "ada", "second", day(2), 1)
    grade(course, "ada", "first", day(1), 0)
    grade(course, "ada", "third", day(3), 2)
    [ada] = gather(course, SLUG).learners
    assert (earned(ada), ada.present.handed[:10]) == ([0, 1, 2], "2026-09-03")


def test_the_same_notebook_handed_in_again_is_one_hand_in(course):
    grade(course, "ada", "one", day(1), 0)
    grade(course, "ada", "two", day(2), 1)
    grade(course, "ada", "two", day(3), 1, key=key_of("after a new release"))
    [ada] = gather(course, SLUG).learners
    assert earned(ada) == [0, 1]


def test_graded_again_under_another_key_it_is_one_hand_in(course):
    grade(course, "ada", "one", day(1), 0)
    grade(course, "ada", "one", day(1), 2, key=key_of("graded by a newer version"))
    [ada] = gather(course, SLUG).learners
    assert earned(ada) == [2]


def test_a_class_that_was_graded_before_hand_ins_were_noted_is_read(course):
    grade(course, "ada", "x", exercises={}, mistakes={"attention.softmax": "dim_ignored"})
    shutil.rmtree(course / ".grading" / "attempts")
    [ada] = gather(course, SLUG).learners
    assert (ada.present.exercises[SDPA].earned, ada.present.handed) == (1, "")
    assert ada.present.exercises["attention.softmax"].mistake == "dim_ignored"
    assert state(ada.present, "attention.heads") == UNJUDGED  # nobody knows whether it was tried


def test_what_is_not_graded_not_graded_again_and_no_longer_stored_is_told(course):
    for student in ("ada", "ben", "eve", "zoe"):
        submit(course, student, write_time(day(5)))
    grade(course, "ada", "x", day(1))
    grade(course, "ben", "x", day(5))
    show(course, "eve", key_of("gone"))
    found = gather(course, SLUG)
    assert (found.waiting, found.again, found.lost) == (("zoe",), ("ada",), ("eve",))


@pytest.mark.parametrize("timestamp", ["", "yesterday", "9999-99-99 00:00:00 UTC", "2026-09-05" * 100])
def test_a_timestamp_that_is_none_says_nothing(course, timestamp):
    submit(course, "ada", timestamp)
    grade(course, "ada", "x", day(1))
    assert gather(course, SLUG).again == ()


def test_a_timestamp_that_is_a_link_or_a_pipe_is_not_read(course, tmp_path):
    submit(course, "ada", write_time(day(5)))
    grade(course, "ada", "x", day(1))
    path = course / "submitted" / "ada" / SLUG / "timestamp.txt"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert gather(course, SLUG).again == ()
    path.unlink()
    os.mkfifo(path)
    assert gather(course, SLUG).again == ()


def test_without_grades_it_says_what_to_do(course):
    with pytest.raises(NothingGraded, match="collect submissions and grade them first"):
        gather(course, SLUG)
    submit(course, "ada", "")
    with pytest.raises(NothingGraded, match=f"run `python -m grader grade {SLUG}` first"):
        gather(course, SLUG)
    with pytest.raises(NothingGraded, match="run this in the course's folder"):
        gather(course / "course", SLUG)


def test_a_release_that_is_gone_is_told(course):
    grade(course, "ada", "x")
    shutil.rmtree(course / "course")
    with pytest.raises(NothingGraded, match=f"no release of {SLUG}"):
        gather(course, SLUG)


def test_only_assignments_with_grades_have_a_report(course):
    assert assignments(course) == {}
    grade(course, "ada", "x")
    (course / "course" / "03_other").mkdir()
    assert assignments(course) == {SLUG: "Attention"}


def test_odd_names_of_folders_are_read_as_names(course):
    odd = ("[a]*?", "two\nlines", "=1+1")
    for name in odd:
        grade(course, name, "x")
    assert {learner.name for learner in gather(course, SLUG).learners} == set(odd)
