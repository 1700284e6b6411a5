"""What is counted, and what an anonymous report keeps to itself."""

import pytest
from builders import FIRST, RIGHT, SECOND, STUB, attempt, gathered, learner, nameless, refused, slip

from grader.grading.outlining import LONGEST
from grader.reporting.collecting import NOT_KEPT
from grader.reporting.states import PASSED, UNJUDGED, UNTOUCHED, WRONG, state
from grader.reporting.summarising import ALONE, summarise
from grader.reporting.words import overview


def names(who):
    return who.count, who.names


@pytest.mark.parametrize(
    ("outline", "reason", "expected"),
    [
        (RIGHT, "", PASSED),
        (slip(earned=1), "", "in part"),
        (slip(), "", WRONG),
        (STUB, "", UNTOUCHED),
        (refused("f takes (x), but is called as f(x, dim)"), "", WRONG),  # the check refused what was tried
        (refused("the kernel died"), "the kernel died", UNJUDGED),  # it was not reached
        (refused("x" * LONGEST), "x" * (LONGEST + 9), UNJUDGED),  # what is kept of a long reason is the same reason
        (refused(NOT_KEPT), "", UNJUDGED),
    ],
)
def test_a_state_says_what_became_of_an_exercise(outline, reason, expected):
    assert state(attempt(outline, reason=reason), FIRST.id) == expected


def test_an_exercise_that_came_into_the_release_later_has_no_verdict():
    assert state(attempt(), "some.new") == UNJUDGED


def test_tried_passed_and_points_are_counted_of_those_who_tried():
    outlines = (RIGHT, slip(earned=1), STUB, nameless())
    learners = (learner(name, attempt(outline)) for name, outline in zip("abcd", outlines, strict=True))
    one = summarise(gathered(*learners)).exercises[0]
    assert (one.tried, one.states[PASSED].count, one.points) == (3, 1, {0: 1, 1: 1, 2: 1})
    assert one.mean == 1
    assert names(one.states[UNTOUCHED]) == (1, ("c",))


def test_an_exercise_that_nobody_tried_has_no_mean():
    summary = summarise(gathered(learner("a", attempt(RIGHT))))
    assert summary.exercises[1].mean is None
    assert "Tried by nobody: 1.2 and 1.3." in list(overview(summary))


def test_a_mistake_with_one_sentence_is_one_misconception_in_whatever_exercise():
    hand_ins = (attempt(slip(), slip()), attempt(RIGHT, slip()), attempt(slip(sentence="Another.")))
    first, other = summarise(gathered(*map(learner, "abc", hand_ins))).discuss
    assert (first.sentence, names(first.who), first.exercises) == ("Do not slip.", (2, ("a", "b")), (SECOND, FIRST))
    assert first.section == "2. Section"  # that of the exercise in which most made it
    assert other.sentence == "Another."


def test_three_are_discussed_of_equals_those_that_cost_more():
    made = [("cheap", 1), ("dear", 0), ("dearer", 0), ("cheaper", 1)]
    learners = [learner(n, attempt(slip(n, e, n), *([slip(n, 0, n)] if n == "dearer" else []))) for n, e in made]
    assert [one.name for one in summarise(gathered(*learners)).discuss] == ["dearer", "dear", "cheap"]


def test_an_earlier_hand_in_does_not_count():
    summary = summarise(gathered(learner("a", attempt(slip()), attempt(RIGHT))))
    assert (summary.discuss, summary.totals) == ((), (2,))


def test_what_nobody_can_name_is_grouped_without_its_numbers():
    summary = summarise(
        gathered(
            learner("a", attempt(nameless("out differs in 3 of 60 entries, most at [0, 2]: 1.5, expected -2e-07"))),
            learner("b", attempt(nameless("out differs in 60 of 60 entries, most at [1]: nan, expected 4"))),
            learner("c", attempt(refused("f takes (x), but is called as f(x, dim)"))),
        )
    )
    assert [(one.finding, names(one.who)) for one in summary.exercises[0].unnamed] == [
        ("out differs in # of # entries, most at [#]: #, expected #", (2, ("a", "b"))),
        ("f takes (x), but is called as f(x, dim)", (1, ("c",))),
    ]
    assert (summary.named, summary.unnamed) == (0, 3)


def test_a_named_mistake_is_not_among_what_nobody_can_name():
    summary = summarise(gathered(learner("a", attempt(slip()))))
    assert summary.exercises[0].unnamed == ()
    assert (summary.named, summary.unnamed) == (1, 0)


def test_who_could_not_be_graded_is_told_and_not_counted():
    broken = attempt(*(refused("not JSON"),) * 3, reason="not JSON", flags=("not JSON",))
    summary = summarise(gathered(learner("a", broken), learner("b", attempt(RIGHT))))
    assert (names(summary.unreadable), summary.totals) == ((1, ("a",)), (2,))
    assert summary.exercises[0].states[UNJUDGED].count == 0
    assert names(summary.flagged) == (1, ("a",))


def test_the_median_is_that_of_the_totals():
    learners = (learner(str(i), attempt(*(RIGHT,) * i)) for i in range(4))
    assert summarise(gathered(*learners)).median == 3
    assert (
        summarise(gathered(learner("a", attempt(refused("r"), refused("r"), refused("r"), reason="r")))).median is None
    )


def test_an_anonymous_summary_holds_no_name_no_time_and_no_flag():
    last = attempt(nameless("QUIMBY's fault"), flags=("quimby.ipynb is a file",))
    quimby = learner("quimby", attempt(slip(), nameless("I am quimby")), last)
    wexford = learner("wexford", attempt(nameless("quimby's fault")))
    others = {"waiting": ("magrath",), "again": ("wexford",), "lost": ("vogon",)}
    summary = summarise(gathered(quimby, wexford, **others), anonymous=True)
    told = repr(summary).lower()
    assert [name for name in ("quimby", "wexford", "magrath", "vogon", "2026") if name in told] == []
    assert (summary.waiting.count, summary.again.count, summary.lost.count, summary.flagged.count) == (1, 1, 1, 1)
    assert summary.rows == ()


def test_an_anonymous_report_shows_a_finding_only_where_two_share_it():
    shared, alone = "shapes 3 and 4 differ", "I am the one with the red hat"
    learners = (learner(n, attempt(nameless(told))) for n, told in zip("abc", (shared, shared, alone), strict=True))
    found = summarise(gathered(*learners), anonymous=True).exercises[0].unnamed
    assert [(one.finding, one.example, one.who.count) for one in found] == [
        ("shapes # and # differ", "", 2),
        (ALONE, "", 1),
    ]


def test_a_name_with_numbers_is_hidden_before_numbers_are():
    learners = [learner(name, attempt(nameless("ada01 and (x+y)* did it"))) for name in ("ada01", "(x+y)*")]
    [found] = summarise(gathered(*learners), anonymous=True).exercises[0].unnamed
    assert found.finding == "… and … did it"
