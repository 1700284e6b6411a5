"""Find the deadlock: each program does what it is there for, its source is what runs, and nothing is told too early."""

import html
import math

import pytest
import torch

from coursekit.widgets import deadlocks
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.deadlocks import (
    APART,
    GIVEN,
    PROGRAMS,
    RIGHT,
    WAITS,
    WRONG,
    draw_program,
    find_the_deadlock,
    happens,
    outcomes,
)
from coursekit.world import Deadlock, World
from coursekit.world.simulated import OutOfStep

ALL = range(1, len(PROGRAMS) + 1)
FOUND = [RIGHT, WAITS, WRONG, WAITS, APART, WAITS]
BAD = [None, "", "1", 0, -1, 1.5, True, math.nan, math.inf, [1], len(PROGRAMS) + 1]


def controls(monkeypatch):
    found = {}
    monkeypatch.setattr(deadlocks, "live", lambda draw, controls: found.update(draw=draw, **controls))
    find_the_deadlock()
    return found


@pytest.mark.parametrize(("program", "expected"), list(zip(PROGRAMS, FOUND, strict=True)))
def test_each_program_does_what_it_is_there_for(program, expected):
    assert happens(program)[0] == expected


def test_each_outcome_happens():
    assert {*FOUND} == {*outcomes()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_short_and_narrow(program):
    lines = program.source.splitlines()
    assert 4 <= len(lines) <= 8
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_shown_is_what_runs(program):
    names = {}
    exec(program.source, names)
    assert names[program.run.__name__].__code__.co_code == program.run.__code__.co_code


@pytest.mark.parametrize("number", ALL)
def test_the_source_is_shown_at_once(number):
    assert f"def {PROGRAMS[number - 1].run.__name__}(comm, x):" in draw_program(number).html


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize(("guess", "run"), [(None, False), (WAITS, False), (None, True)])
def test_nothing_is_told_before_a_guess_is_run(number, guess, run):
    drawn = draw_program(number, guess, run)
    assert PROGRAMS[number - 1].why not in drawn.alt
    assert not any(told in drawn.alt for told in outcomes().values())


def test_who_runs_without_a_guess_is_asked_for_one():
    assert "Choose first what will happen" in draw_program(1, None, True).html


@pytest.mark.parametrize(("number", "found"), list(zip(ALL, FOUND, strict=True)))
def test_a_right_guess_is_told(number, found):
    assert f"You were right: {outcomes()[found]}." in draw_program(number, found, True).alt


@pytest.mark.parametrize(("number", "found"), list(zip(ALL, FOUND, strict=True)))
def test_a_wrong_guess_is_told_with_what_happened(number, found):
    guess = next(other for other in outcomes() if other != found)
    assert f"Not what you said: {outcomes()[found]}." in draw_program(number, guess, True).alt


@pytest.mark.parametrize("number", [k for k, found in zip(ALL, FOUND, strict=True) if found in (WAITS, APART)])
def test_the_worlds_diagnosis_is_shown_word_for_word(number):
    with pytest.raises((Deadlock, OutOfStep)) as raised:
        World(3).run(PROGRAMS[number - 1].run, [torch.tensor(x) for x in GIVEN])
    drawn = draw_program(number, RIGHT, True)
    assert f"{raised.type.__name__}: {raised.value}" in drawn.alt
    assert f"{raised.type.__name__}: {raised.value}" in html.unescape(drawn.html)


def test_values_are_shown_beside_what_was_meant():
    assert "Ranks 0, 1 and 2 return 31, 13, 31; right would be 4, 4, 4." in draw_program(3, WRONG, True).alt


def test_a_deadlock_shows_no_values():
    assert "right would be" not in draw_program(2, WAITS, True).alt


@pytest.mark.parametrize("number", ALL)
def test_the_reason_is_told_after_the_run(number):
    assert PROGRAMS[number - 1].why in draw_program(number, WAITS, True).alt


def test_nothing_is_printed_by_a_program(capsys):
    for program in PROGRAMS:
        happens(program)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", BAD)
def test_a_program_that_does_not_exist_is_told(number):
    drawn = draw_program(number)
    assert isinstance(drawn, Notice)
    assert drawn.text.startswith("There is no program")


@pytest.mark.parametrize("guess", ["", "hang", 1, [], True])
def test_an_unknown_guess_is_told_with_those_on_offer(guess):
    assert "ends right, ends wrong, waits for ever, out of step" in draw_program(1, guess, True).text


def test_the_first_page_has_no_guess_and_no_run(monkeypatch):
    found = controls(monkeypatch)
    drawn = found["draw"](found["program"].value, found["guess"].value, found["run"].value)
    assert isinstance(drawn, Page)
    assert drawn == draw_program(1)


def test_another_program_forgets_guess_and_run(monkeypatch):
    found = controls(monkeypatch)
    found["guess"].value, found["run"].value = WAITS, True
    found["program"].value = 2
    assert (found["guess"].value, found["run"].value) == (None, False)


def test_another_guess_has_to_be_run_again(monkeypatch):
    found = controls(monkeypatch)
    found["guess"].value, found["run"].value = WAITS, True
    found["guess"].value = RIGHT
    assert found["run"].value is False
