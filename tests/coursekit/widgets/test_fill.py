"""Fill in the mask: bars for each gap, and a sentence for what cannot be drawn."""

import pytest

from coursekit.figures import Picture
from coursekit.widgets.controls import Notice
from coursekit.widgets.fill import MOST_MASKS, MOST_WORDS, draw_guesses, fill_the_mask

BAD_NUMBERS = [None, "8", 0, -1, 2.5, True, float("nan"), MOST_WORDS + 1]


def guess(text, k):
    """A stand-in for the model: the same words for each gap."""
    if "too long" in text:
        raise ValueError("the text has 99 tokens; the encoder reads at most 64")
    return [[(f"word{i}", 0.5 / 2**i) for i in range(k)]] * text.count("[MASK]")


@pytest.mark.parametrize("gaps", range(1, MOST_MASKS + 1))
@pytest.mark.parametrize("k", [1, 5, MOST_WORDS])
def test_every_gap_has_its_words_in_the_description(gaps, k):
    drawn = draw_guesses(guess, "We [MASK] and " + "[MASK] " * (gaps - 1), k)
    assert isinstance(drawn, Picture)
    assert drawn.alt.count("word0 50%") == gaps
    assert drawn.alt.count("gap") == gaps


@pytest.mark.parametrize("gap", ["[MASK]", "[mask]", "_", "___"])
def test_a_gap_may_be_written_in_short(gap):
    asked = []
    draw_guesses(lambda text, k: asked.append(text) or guess(text, k), f"We {gap} you.", 3)
    assert asked == ["We [MASK] you."]


@pytest.mark.parametrize("sentence", ["", "  ", None, 7])
def test_an_empty_sentence_is_told(sentence):
    assert "empty" in draw_guesses(guess, sentence, 5).text


@pytest.mark.parametrize("gaps", [0, MOST_MASKS + 1])
def test_a_sentence_with_too_few_or_too_many_gaps_is_told(gaps):
    drawn = draw_guesses(guess, "words " + "[MASK] " * gaps, 5)
    assert isinstance(drawn, Notice)
    assert f"{gaps} gaps" in drawn.text


@pytest.mark.parametrize("k", BAD_NUMBERS)
def test_an_impossible_number_of_words_is_told(k):
    assert "whole number" in draw_guesses(guess, "a [MASK]", k).text


def test_what_the_model_refuses_is_told():
    assert draw_guesses(guess, "too long [MASK]", 5).text == "The text has 99 tokens; the encoder reads at most 64."


@pytest.mark.parametrize("markup", ["<script>alert(1)</script> [MASK]", "$\\foo{$ [MASK] 你好"])
def test_what_a_learner_types_is_shown_and_never_run(markup):
    html = draw_guesses(lambda text, k: [[("$x_{", 0.5), ("<b>", 0.25)]], markup, 2)._repr_mimebundle_()["text/html"]
    assert "<script>" not in html
    assert "<b>" not in html


def test_the_widget_draws_at_once(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("coursekit.widgets.fill.live", lambda draw, controls: shown.append((draw, controls)))
    monkeypatch.setattr("coursekit.widgets.fill.masked_words", lambda encoder, text, k: guess(text, k))
    fill_the_mask(encoder=None)
    (draw, controls), *_ = shown
    drawn = draw(**{name: control.value for name, control in controls.items()})
    assert isinstance(drawn, Picture)
