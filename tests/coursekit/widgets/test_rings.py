"""Ring, step by step: what is drawn is what the library's ring sends, from nothing to the whole sum."""

import math
import sys

import pytest
import torch

from coursekit.figures import STRICT
from coursekit.widgets import rings
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.rings import FEWEST, MOST, Sent, draw_ring, held, listen, rounds, step_the_ring

BAD_RANKS = [None, "4", "", 0, 1, -1, 2.5, True, math.nan, math.inf, [4], MOST + 1]
BAD_STEPS = [None, "1", "", -1, 0.5, True, math.nan, math.inf, [1], 7]
RANKS = range(FEWEST, MOST + 1)


@pytest.fixture
def hidden(monkeypatch):
    """The library as it is while grading: not there."""
    monkeypatch.setitem(sys.modules, "coursekit.library.distributed.ring", None)
    rounds.cache_clear()
    yield
    rounds.cache_clear()


def shown(monkeypatch):
    """What the widget displays: its callback and its controls."""
    found = {}
    monkeypatch.setattr(rings, "live", lambda draw, controls: found.update(draw=draw, **controls))
    step_the_ring()
    return found


@pytest.mark.parametrize("n", RANKS)
def test_a_ring_has_as_many_steps_as_the_slider(n):
    assert len(rounds(n)) == 2 * (n - 1)


@pytest.mark.parametrize("n", RANKS)
def test_in_the_end_every_rank_holds_the_whole_sum(n):
    assert held(n, rounds(n)) == [[2**n - 1] * n] * n


@pytest.mark.parametrize("n", RANKS)
def test_before_the_first_step_every_rank_holds_its_own_numbers(n):
    assert held(n, []) == [[2**rank] * n for rank in range(n)]


@pytest.mark.parametrize("n", RANKS)
def test_when_adding_ends_every_rank_holds_one_whole_part(n):
    who = held(n, rounds(n)[: n - 1])
    assert [row.count(2**n - 1) for row in who] == [1] * n


@pytest.mark.parametrize("n", RANKS)
def test_every_step_sends_one_part_to_the_next_rank(n):
    assert all((sent.to, sent.share) == ((sent.sender + 1) % n, 1 / n) for step in rounds(n) for sent in step)


def test_no_two_ranks_send_the_same_part_in_a_step():
    assert all(sorted(sent.part for sent in step) == list(range(5)) for step in rounds(5))


def test_nobody_is_added_twice():
    """A sum that holds a rank twice would be another number, and so other bits."""
    steps = rounds(4)
    before = [held(4, steps[:k]) for k in range(3)]
    assert all(
        not sent.who & who[sent.to][sent.part] for who, step in zip(before, steps, strict=False) for sent in step
    )


def test_another_ring_is_read_as_it_is():
    """Whole steps of a ring that goes the other way and sends its parts in another order."""

    def leftwards(comm, x):
        parts = list(torch.tensor_split(x, comm.size))
        comm.send(parts[comm.rank], (comm.rank - 1) % comm.size)
        comm.recv((comm.rank + 1) % comm.size)
        return x

    assert listen(leftwards, 3) == [[Sent(rank, (rank - 1) % 3, rank, 1 << rank, 1 / 3) for rank in range(3)]]


def test_the_cells_are_told_by_rank():
    assert "rank 0: 0, 0, 0, 0+3; rank 1: 0+1, 1, 1, 1; rank 2: 2, 1+2, 2, 2; rank 3" in draw_ring(4, 1).alt


def test_what_is_sent_is_told():
    assert "Just sent: part 0 from rank 0 to rank 1; part 1 from rank 1 to rank 2" in draw_ring(4, 1).alt


def test_nothing_is_sent_in_step_0():
    drawn = draw_ring(4, 0)
    assert "nothing is sent yet" in drawn.alt
    assert "Just sent" not in drawn.alt


def test_a_whole_sum_is_told_in_a_word():
    assert "rank 2: all 4, all 4, all 4, all 4" in draw_ring(4, 6).alt


@pytest.mark.parametrize(("step", "phase"), [(1, "adding"), (3, "adding"), (4, "handing on"), (6, "handing on")])
def test_the_phase_is_told(step, phase):
    assert f"Step {step} of 6, {phase}:" in draw_ring(4, step).alt


def test_the_share_that_was_sent_is_told():
    assert "each rank: 3, each 1/4, so 0.75 of its tensor" in draw_ring(4, 3).alt


@pytest.mark.parametrize("n", RANKS)
def test_at_the_end_the_share_is_the_one_of_the_formula(n):
    assert f"2(n − 1)/n = {2 * n - 2}/{n} = {2 * (n - 1) / n:.2f} of its tensor" in draw_ring(n, 2 * n - 2).alt


def test_the_sentences_stand_below_the_picture():
    html = draw_ring(4, 1).html
    assert html.index("<img") < html.index(">Step 1 of 6") < html.index(">Parts sent so far")


@pytest.mark.parametrize(("n", "step"), [(2, 0), (2, 2), (3, 1), (5, 4), (6, 9), (8, 4), (8, 11), (8, 14)])
def test_each_figure_can_be_read(n, step, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    assert isinstance(draw_ring(n, step), Page)


def test_without_the_library_there_is_a_sentence(hidden):
    drawn = draw_ring(4, 1)
    assert isinstance(drawn, Notice)
    assert "not here while an answer is graded" in drawn.text


@pytest.mark.parametrize("ranks", BAD_RANKS)
def test_ranks_that_do_not_work_are_told(ranks):
    assert "choose a whole number from 2 to 8" in draw_ring(ranks, 0).text


@pytest.mark.parametrize("step", BAD_STEPS)
def test_a_step_that_does_not_exist_is_told(step):
    assert "choose a whole number from 0 to 6" in draw_ring(4, step).text


def test_the_first_values_are_drawn(monkeypatch):
    found = shown(monkeypatch)
    assert found["draw"](found["ranks"].value, found["step"].value) == draw_ring(4, 1)


@pytest.mark.parametrize("n", RANKS)
def test_the_slider_of_the_step_follows_the_ranks(n, monkeypatch):
    found = shown(monkeypatch)
    found["ranks"].value = n
    assert found["step"].max == 2 * (n - 1)


def test_a_step_beyond_a_smaller_ring_becomes_its_last(monkeypatch):
    found = shown(monkeypatch)
    found["ranks"].value = 8
    found["step"].value = 14
    found["ranks"].value = 3
    assert found["step"].value == 4
