"""Phrases to translate, as CLDR has them."""

import pytest

from coursekit.material.translation import KINDS, phrase_pairs


@pytest.mark.parametrize("kind", KINDS)
def test_phrases_are_different_and_the_same_for_a_seed(kind):
    pairs = phrase_pairs(kind, 200, 0)
    assert len({english for english, _ in pairs}) == 200
    assert phrase_pairs(kind, 200, 0) == pairs
    assert phrase_pairs(kind, 200, 1) != pairs


@pytest.mark.parametrize("kind", KINDS)
def test_a_phrase_has_one_translation(kind):
    told = {}
    for english, french in phrase_pairs(kind, 500, 0) + phrase_pairs(kind, 500, 1):
        assert told.setdefault(english, french) == french


def test_spaces_and_apostrophes_are_plain():
    every = "".join(a + b for kind in KINDS for a, b in phrase_pairs(kind, 500, 0))
    assert not {"\u00a0", "\u202f", "\u2019"} & set(every)


def test_a_span_keeps_its_unit():
    assert any(
        english == "in 90 minutes" or "minutes" in english for english, _ in phrase_pairs("span of time", 300, 0)
    )
    for english, french in phrase_pairs("span of time", 300, 0):
        assert [n for n in english.split() if n.isdigit()] == [n for n in french.split() if n.isdigit()]


def test_another_kind_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="a kind is one of date, amount, span of time, countries: found 'names'"):
        phrase_pairs("names", 3, 0)
