"""Plans on a clock: who waits for whom, how long it takes, and what is alive."""

import pytest

from coursekit.world import Deadlock
from coursekit.world.schedules import HALVES, WHOLE, Span, most_alive, timetable

ALL_FORWARD = [("F", 0), ("F", 1), ("B", 0), ("B", 1)]
IN_TURNS = [("F", 0), ("B", 0), ("F", 1), ("B", 1)]


def test_a_stage_begins_when_the_one_before_it_has_ended():
    spans = timetable([[("F", 0), ("B", 0)]] * 2, WHOLE).spans
    assert sorted(spans, key=lambda span: span.began) == [
        Span(0, "F", 0, 0.0, 1.0),
        Span(1, "F", 0, 1.0, 2.0),
        Span(1, "B", 0, 2.0, 4.0),
        Span(0, "B", 0, 4.0, 6.0),
    ]


def test_a_message_takes_its_time_in_both_directions_and_none_inside_of_a_stage():
    assert timetable([[("F", 0), ("B", 0)]] * 2, WHOLE, message=0.5).makespan == 7.0
    assert timetable([[("F", 0), ("B", 0)]], WHOLE, message=0.5).makespan == 3.0


def test_only_the_first_half_of_a_backward_pass_is_waited_for():
    plan = [("F", 0), ("B", 0), ("W", 0)]
    assert timetable([plan, plan], HALVES).makespan == 5.0


def test_chunks_follow_each_other_through_all_stages():
    plan = [("F", 0, 0), ("F", 0, 1), ("B", 0, 1), ("B", 0, 0)]
    found = timetable([plan, plan], WHOLE)
    assert (found.makespan, found.alive) == (12.0, (1.0, 1.0))


@pytest.mark.parametrize(("plan", "most"), [(ALL_FORWARD, 2), (IN_TURNS, 1), ([*ALL_FORWARD, ("W", 0), ("W", 1)], 2)])
def test_a_micro_batch_is_alive_until_its_last_step(plan, most):
    assert most_alive(plan) == most


def test_the_idle_share_is_that_of_all_stages_until_the_last_one_ends():
    assert timetable([IN_TURNS] * 2, WHOLE).idle == pytest.approx(1 / 2)


def test_a_deadlock_says_who_waits_for_what():
    told = r"stage 0 waits with B0 for B0 of stage 1; stage 1 waits with F1 for F1 of stage 0"
    with pytest.raises(Deadlock, match=told):
        timetable([IN_TURNS, ALL_FORWARD], WHOLE)


def test_a_step_before_what_it_needs_is_told():
    with pytest.raises(Deadlock, match="stage 0 cannot do B0, since its own F0 comes later in its plan"):
        timetable([[("B", 0), ("F", 0)]], WHOLE)


@pytest.mark.parametrize(
    ("plans", "told"),
    [
        ([[("F", 0), ("B", 0)], [("F", 0)]], "stage 1 leaves out B0"),
        ([[("F", 0), ("B", 0), ("W", 0)], [("F", 0), ("B", 0)]], "stage 1 leaves out W0"),
        ([[("F", 0), ("F", 0), ("B", 0)]], "stage 0 does F0 twice"),
        ([[("X", 0)]], "stage 0 has a step of the kind 'X', expected one of F, B, W"),
        ([ALL_FORWARD, [("F", 1), ("F", 0), ("B", 0), ("B", 1)]], "stage 0 does F0 where stage 1 does F1"),
        ([ALL_FORWARD, [("F", 0), ("F", 1), ("B", 1), ("B", 0)]], "stage 0 does B0 where stage 1 does B1"),
        ([[], []], "all plans are empty"),
    ],
)
def test_plans_that_do_not_fit_together_are_told(plans, told):
    with pytest.raises(ValueError, match=told):
        timetable(plans, WHOLE)
