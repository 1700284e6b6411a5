"""Synthetic questions: every answer stands where it is said to stand, and the test asks about other things."""

import pytest
import torch

from coursekit.material.passages import FACTS, TOLD, synthetic_questions, things


def drawn(n=400, seed=0, **options):
    return synthetic_questions(n, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("distract", [False, True])
@pytest.mark.parametrize("test", [False, True])
def test_every_answer_stands_at_its_place(test, distract):
    for q in drawn(test=test, distract=distract):
        assert q.passage[q.first : q.first + len(q.answer)] == q.answer
        assert q.question.endswith("?")


def test_a_quarter_has_no_answer():
    # 5 sigma of a share of 0.25 among 2,000
    assert abs(sum(not q.answer for q in drawn(2000)) / 2000 - 0.25) < 0.05


def test_training_and_test_share_no_thing():
    for kind in FACTS:
        learned, tested = ({thing["name"] for thing in things(test)[kind]} for test in (False, True))
        assert learned
        assert len(tested) >= 3
        assert not learned & tested


def test_every_thing_has_every_fact():
    for kind in FACTS:
        for thing in things(False)[kind] + things(True)[kind]:
            assert list(thing) == ["name", *TOLD[kind]]
            assert all(thing.values())


def test_sentences_begin_with_capitals_and_are_filled():
    for q in drawn(distract=True):
        assert q.passage[0].isupper() or q.passage[0].isdigit()
        assert "{" not in q.passage + q.question


def test_a_distraction_tells_the_same_of_another_thing():
    plain, distracted = drawn(100), drawn(100, distract=True)
    assert sum(len(q.passage) for q in distracted) > 1.3 * sum(len(q.passage) for q in plain)


def test_the_same_seed_gives_the_same_questions():
    assert drawn(20) == drawn(20)
    assert drawn(20) != drawn(20, seed=1)
