"""What changed between the first and the last hand-in."""

from builders import RIGHT, attempt, gathered, learner, refused, slip

from grader.reporting.changing import changes
from grader.reporting.summary import Who


def who(names):
    found = sorted(names)
    return Who(len(found), tuple(found))


def moved(found):
    return [(one.label, one.better.names, one.worse.names) for one in found]


def test_points_and_mistakes_are_told_for_whom_they_got_better_and_worse():
    found = changes(
        gathered(
            learner("a", attempt(slip(sentence="x")), attempt(RIGHT, slip(sentence="y"))),
            learner("b", attempt(RIGHT), attempt(slip(sentence="x", earned=1))),
        ),
        who,
    )
    assert found.learners == 2
    assert moved(found.exercises) == [("1.1 One", ("a",), ("b",))]
    assert moved(found.mistakes) == [("x", ("a",), ("b",)), ("y", (), ("a",))]


def test_who_handed_in_once_changed_nothing():
    assert changes(gathered(learner("a", attempt(slip()))), who).learners == 0


def test_a_mistake_that_stays_in_another_exercise_did_not_go_away():
    found = changes(gathered(learner("a", attempt(slip(), slip()), attempt(RIGHT, slip()))), who)
    assert moved(found.mistakes) == []
    assert moved(found.exercises) == [("1.1 One", ("a",), ())]


def test_a_hand_in_that_could_not_be_graded_is_not_compared():
    broken = attempt(*(refused("r"),) * 3, reason="r")
    assert changes(gathered(learner("a", broken, attempt(RIGHT))), who).learners == 0
    assert changes(gathered(learner("a", attempt(slip()), broken)), who).learners == 0
    assert changes(gathered(learner("a", attempt(slip()), attempt(RIGHT), broken)), who).learners == 0
    assert changes(gathered(learner("a", attempt(slip()), broken, attempt(RIGHT))), who).learners == 1
