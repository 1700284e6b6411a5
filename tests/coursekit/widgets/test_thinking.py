"""Watch it think: each token has its probability, its shade and its alternatives, by hover, click and keyboard."""

import html
import math
import re

import pytest
import torch

from coursekit.widgets import thinking
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.thinking import MOST_NAMED, MOST_TOKENS, SHADES, draw_thought, guesses, watch_it_think

VOCABULARY = ["<begin>", " the", "\n", "$x_{", "<b>", '" onload="x']
HOSTILE = [*VOCABULARY, "\x00", "\u202e", "\u0301", "&amp;", "<script>alert(1)</script>", "''"]


def score(text, vocabulary=VOCABULARY):
    """A stand-in for a model: a token for each word, and one more at the beginning."""
    ids = torch.arange(len(text.split()) + 1) % len(vocabulary)
    g = torch.Generator().manual_seed(0)
    return ids, 3 * torch.randn(len(ids), len(vocabulary), generator=g)


def draw(text="a b c", vocabulary=VOCABULARY):
    return draw_thought(lambda text: score(text, vocabulary), vocabulary, text)


def certain(p):
    """Logits of a text of two tokens, the second of which has probability `p`."""
    return lambda text: (torch.tensor([0, 1]), torch.tensor([[1 - p, p], [0.5, 0.5]]).log())


def test_a_guess_is_of_the_token_that_follows():
    ids, logits = score("a b c")
    p = logits.softmax(-1)
    found = [guess.p for guess in guesses(ids, logits, VOCABULARY)]
    assert found == pytest.approx([float(p[t, t + 1]) for t in range(3)])


def test_surprise_is_in_bits():
    (guess,) = guesses(*certain(0.125)(""), ["a", "b"])
    assert guess.surprise == pytest.approx(3)


def test_entropy_is_the_surprise_that_is_expected():
    (guess,) = guesses(torch.tensor([0, 1]), torch.zeros(2, 8), list("abcdefgh"))
    assert guess.entropy == pytest.approx(3)


def test_entropy_of_a_sure_model_is_none():
    logits = torch.tensor([[-math.inf, 0.0], [0.0, 0.0]])
    (guess,) = guesses(torch.tensor([0, 1]), logits, ["a", "b"])
    assert guess.entropy == 0


def test_the_likeliest_has_rank_one():
    (guess,) = guesses(*certain(0.6)(""), ["a", "b"])
    assert guess.rank == 1


def test_the_three_likeliest_others_are_told_without_the_token_itself():
    logits = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log().expand(2, 5)
    (guess,) = guesses(torch.tensor([0, 1]), logits, list("abcde"))
    assert guess.instead == "a 40.0%, c 15.0%, d 10.0%"


@pytest.mark.parametrize(("p", "shade"), [(0.9, 0), (0.3, 1), (0.1, 2), (0.02, 3), (0.002, 4), (1e-6, 5)])
def test_the_shade_says_how_probable_a_token_is(p, shade):
    drawn = draw_thought(certain(p), ["a", "b"], "x")
    assert re.findall(r'<label [^>]*style="background:(#\w+)', drawn.html) == [SHADES[shade][1]]


@pytest.mark.parametrize("logits", [[0.0, -math.inf], [9e4, 0.0]])
def test_a_token_that_was_held_impossible_is_drawn(logits):
    drawn = draw_thought(lambda text: (torch.tensor([0, 1]), torch.tensor([logits, logits])), ["a", "b"], "x")
    assert "perplexity inf" in drawn.alt


def test_every_token_but_the_first_is_a_button_of_one_group():
    names = re.findall(r'<input type="radio" name="(.*?)"', draw("a b c d").html)
    assert (len(names), len(set(names))) == (4, 1)


def test_what_stands_on_hover_is_what_the_keyboard_reads_and_a_click_opens():
    drawn = draw()
    hover = re.findall(r'<label [^>]*title="(.*?)"', drawn.html)
    read = re.findall(r'<input [^>]*aria-label="(.*?)"', drawn.html)
    opened = re.findall(r'<div class="t\d">(.*?)</div>', drawn.html)
    assert hover == read == opened
    assert len(hover) == 3


def test_the_text_alternative_tells_the_same():
    drawn = draw()
    told = [html.unescape(one) for one in re.findall(r'<label [^>]*title="(.*?)"', drawn.html)]
    assert [one for one in told if one not in drawn.alt] == []


def test_two_texts_on_one_page_do_not_share_their_buttons():
    names = {re.search(r'name="(.*?)"', draw(text).html)[1] for text in ("a b c", "a b c d")}
    assert len(names) == 2


def test_a_line_ends_where_a_token_ends_one():
    labels = re.findall(r"<bdi>([^<]*)</bdi></label>(<\w+>)", draw("a b c").html)
    assert labels == [("␣the", "<wbr>"), ("↵", "<br>"), ("$x_{", "<wbr>")]


def test_no_token_is_parsed():
    found = draw("a " * (len(HOSTILE) - 1), HOSTILE).html
    assert [part for part in ("<script>", "<b>", '" onload="', "\x00", "\u202e") if part in found] == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script> b", "$\\foo{$ 你好", '" onload="x'])
def test_what_is_typed_is_never_run(text):
    assert "<script>" not in draw(text).html


@pytest.mark.parametrize("tokens", [1, MOST_NAMED, MOST_NAMED + 1, MOST_TOKENS - 1])
def test_a_text_of_every_length_is_drawn_so_that_it_can_be_read(tokens, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw("a " * tokens), Page)


@pytest.mark.parametrize("text", ["", "  ", "\n", None, 7, "x" * 500])
def test_a_text_that_cannot_be_read_is_told(text):
    assert isinstance(draw(text), Notice)


def test_too_many_tokens_are_told_with_the_limit():
    assert draw("a " * MOST_TOKENS).text.startswith(
        f"The text has {MOST_TOKENS + 1} tokens; the picture has room for 2"
    )


def test_a_single_token_leaves_nothing_to_guess():
    assert isinstance(draw_thought(lambda text: (torch.tensor([0]), torch.zeros(1, 6)), VOCABULARY, "x"), Notice)


def test_what_the_model_refuses_is_told():
    def refuse(text):
        raise ValueError("the text has 200 tokens; the model reads at most 127")

    assert draw_thought(refuse, VOCABULARY, "a").text == "The text has 200 tokens; the model reads at most 127."


def test_logits_that_say_nothing_are_told():
    ids, logits = score("a b")
    assert "NaN" in draw_thought(lambda text: (ids, logits * math.nan), VOCABULARY, "a b").text


def test_logits_may_keep_their_gradients():
    ids, logits = score("a b")
    assert isinstance(draw_thought(lambda text: (ids, logits.requires_grad_()), VOCABULARY, "a b"), Page)


def test_the_first_text_is_drawn(monkeypatch):
    shown = {}
    monkeypatch.setattr(thinking, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    watch_it_think(score, VOCABULARY)
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Page)
