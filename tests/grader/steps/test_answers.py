"""The words of an answer in steps: what they are, and that each slip shows in them and has a sentence."""

import inspect

import pytest

from grader.steps import answers

SLIPS = [steps for _, steps in inspect.getmembers(answers, inspect.isclass) if hasattr(steps, "sentence")]
TEXT = 'The U.S. "river-bank", a weather  another\tParis!'


def test_words_are_lowered_without_punctuation_and_articles():
    assert answers.Words()(TEXT) == ["us", "riverbank", "weather", "another", "paris"]


@pytest.mark.parametrize("steps", SLIPS, ids=lambda steps: steps.__name__)
def test_a_slip_shows(steps):
    assert steps()(TEXT) != answers.Words()(TEXT)
    assert steps.sentence.endswith(".")


def test_no_two_slips_give_the_same():
    assert len({tuple(steps()(TEXT)) for steps in SLIPS}) == len(SLIPS)
