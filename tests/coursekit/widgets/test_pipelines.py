"""Pipeline player: plans that go on to the end, idle shares by the formulas, and what is kept, also while it plays."""

import html
import math
import re
import sys

import pytest

from coursekit.library.distributed import pipeline as library
from coursekit.widgets import pipelines
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.pipelines import (
    ALL_FORWARD,
    INTERLEAVED,
    MOST_MICRO_BATCHES,
    MOST_STAGES,
    ONE_ONE,
    SCHEDULES,
    ZERO,
    Played,
    draw_pipeline,
    play_the_pipeline,
    run,
)

SETTINGS = {"stages": 4, "micro_batches": 8, "schedule": ONE_ONE, "position": 99}
BAD = {
    "stages": [0, 2.5, None, "4", True, math.nan, MOST_STAGES + 1],
    "micro_batches": [0, 2.5, None, "8", True, math.nan, MOST_MICRO_BATCHES + 1],
    "schedule": [None, "", 1, []],
    "position": [-1, None, "3", True, math.nan],
}
SIZES = [(p, m) for p in (1, 2, 3, 5, MOST_STAGES) for m in (1, 2, 3, 5, 8, 11, MOST_MICRO_BATCHES)]


def draw(**settings):
    return draw_pipeline(**SETTINGS | settings)


def played(now, schedule=ONE_ONE, p=4, m=8):
    return Played(schedule, {name: run(p, m, name) for name in SCHEDULES}, m, now)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("p", range(1, MOST_STAGES + 1))
def test_every_plan_goes_on_to_the_end_and_does_all_of_its_work(p, schedule):
    for m in range(1, MOST_MICRO_BATCHES + 1):
        table = run(p, m, schedule)
        assert sum(span.ended - span.began for span in table.spans) == pytest.approx(3 * p * m)


@pytest.mark.parametrize(("p", "m"), SIZES)
@pytest.mark.parametrize("schedule", [ALL_FORWARD, ONE_ONE])
def test_all_forward_first_and_1f1b_idle_alike(p, m, schedule):
    assert run(p, m, schedule).idle == pytest.approx((p - 1) / (m + p - 1))


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_1f1b_saves_memory(p, m):
    assert run(p, m, ALL_FORWARD).alive == (m,) * p
    assert run(p, m, ONE_ONE).alive == tuple(min(p - stage, m) for stage in range(p))


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_the_zero_bubble_is_no_longer_than_it_must_be_and_keeps_no_more_than_stages(p, m):
    table = run(p, m, ZERO)
    assert table.makespan == max(3 * m + p - 1, 2 * m + 2 * p - 1)
    assert max(table.alive) <= p


@pytest.mark.parametrize(("p", "m"), [(p, m) for p, m in SIZES if m >= p])
def test_two_chunks_halve_the_idle_time(p, m):
    assert run(p, m, INTERLEAVED).makespan == 3 * m + 3 * (p - 1) / 2


@pytest.mark.parametrize(("p", "m"), SIZES)
def test_two_chunks_are_never_slower(p, m):
    assert run(p, m, INTERLEAVED).makespan <= run(p, m, ONE_ONE).makespan


def test_each_schedule_is_told_with_time_idle_share_and_memory():
    rows = re.findall(r"<tr><th scope=\"row\".*?</tr>", draw().html)
    told = [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows
    ]
    assert told == [
        [ALL_FORWARD, "33", "27%", "8"],
        [ONE_ONE, "33", "27%", "4"],
        [INTERLEAVED, "28.5", "16%", "5.5"],
        [ZERO, "27", "11%", "4"],
    ]


def test_the_schedule_that_is_drawn_is_bold():
    assert re.findall(r"font-weight:bold\">([^<]*)</th>", draw(schedule=ZERO).html) == [ZERO]


def test_the_description_tells_each_stages_order():
    assert "stage 3: F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7." in draw().alt
    assert "stage 1: F0 F0′ B0′ B0." in draw(stages=2, micro_batches=1, schedule=INTERLEAVED).alt


def test_the_description_tells_what_each_stage_keeps():
    assert "The most micro-batches kept, by stage: 4, 3, 2, 1." in draw().alt


def test_a_moment_is_told_stage_by_stage():
    idle, busy = "stage 0 idles, keeps 4; stage 1 idles, keeps 3", "stage 2 does B0, keeps 2; stage 3 does F1, keeps 1"
    told, drawn = f"After 6 units: {idle}; {busy}.", draw(position=6)
    assert told in drawn.alt
    assert told in html.unescape(drawn.html)


def test_in_the_middle_of_a_step_it_is_done_in_part():
    at = played(6.5)
    assert [at.doing(stage) for stage in at.stages] == ["", "", "B0", "F1"]


def test_what_is_kept_is_never_more_than_the_most_and_nothing_in_the_end():
    for schedule in SCHEDULES:
        table = run(4, 8, schedule)
        for now in (t / 2 for t in range(2 * math.ceil(table.makespan))):
            at = played(now, schedule)
            assert all(0 <= at.kept(stage) <= most for stage, most in enumerate(table.alive))
        assert [played(table.makespan, schedule).kept(stage) for stage in range(4)] == [0, 0, 0, 0]


def test_each_stage_keeps_its_most_at_some_time():
    for schedule in SCHEDULES:
        table = run(4, 8, schedule)
        times = [played(span.began, schedule) for span in table.spans]
        assert tuple(max(at.kept(stage) for at in times) for stage in range(4)) == table.alive


def test_behind_the_end_it_is_the_whole_run():
    assert draw(position=33) == draw(position=1000)
    assert "After 33 units all stages have ended." in draw(position=33).alt


def test_where_1f1b_saves_nothing_that_is_told():
    assert "It saves memory, not time." in draw().alt
    assert "keeps all of 3 as well" in draw(micro_batches=3).alt
    assert "It saves memory, not time." in draw(stages=1).alt


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stages", [1, MOST_STAGES])
@pytest.mark.parametrize("micro_batches", [1, MOST_MICRO_BATCHES])
@pytest.mark.parametrize("position", [5, 999])
def test_each_figure_can_be_read(schedule, stages, micro_batches, position, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw_pipeline(stages, micro_batches, schedule, position), Page)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    assert isinstance(draw(**{name: value}), Notice)


@pytest.fixture
def hidden(monkeypatch):
    """As in a kernel that is graded."""
    run.cache_clear()
    monkeypatch.setitem(sys.modules, library.__name__, None)
    yield
    run.cache_clear()


def test_nothing_is_drawn_while_an_answer_is_graded(hidden):
    assert "not here while an answer is graded" in draw().text


@pytest.fixture
def shown(monkeypatch):
    found = {}
    monkeypatch.setattr(pipelines, "live", lambda draw, controls: found.update(draw=draw, controls=controls))
    return found


def test_the_first_values_are_drawn(shown):
    play_the_pipeline()
    assert shown["draw"](**{name: control.value for name, control in shown["controls"].items()}) == draw()


def test_the_cell_runs_while_an_answer_is_graded(shown, hidden):
    play_the_pipeline()
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Notice)


def test_the_time_reaches_as_far_as_the_run(shown):
    play_the_pipeline()
    controls = shown["controls"]
    controls["schedule"].value = INTERLEAVED
    assert (controls["position"].max, controls["position"].value) == (29, 29)


def test_a_time_in_the_middle_stays_when_the_schedule_changes(shown):
    play_the_pipeline()
    controls = shown["controls"]
    controls["position"].value = 10
    controls["schedule"].value = ZERO
    assert (controls["position"].max, controls["position"].value) == (27, 10)
