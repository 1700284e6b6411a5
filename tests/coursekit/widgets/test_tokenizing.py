"""Token explorer: every tokenizer's pieces are told and shown, cut characters as bytes, and nothing typed is run."""

import itertools
import math
import re

import ipywidgets
import pytest

from coursekit.material.data import byte_pairs
from coursekit.widgets import tokenizing
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.tokenizing import SAMPLES, UTF_8, as_text, draw_tokens, of_transformers, token_explorer


@pytest.fixture(scope="module")
def pairs():
    return of_transformers(byte_pairs())


def pieces_of(html):
    return re.findall(r"<bdi>(.*?)</bdi>", html)


@pytest.mark.parametrize("text", [*SAMPLES.values(), "a<|endoftext|>b", "\x00\u202eé日\u0301"])
def test_the_bytes_of_both_tokenizers_are_those_of_the_text(pairs, text):
    for encode, decode_one in (pairs, UTF_8):
        assert b"".join(map(decode_one, encode(text))) == text.encode()
    assert "not those" not in draw_tokens({"pairs": pairs, "bytes": UTF_8}, text).alt


def test_special_text_that_is_typed_is_text(pairs):
    assert len(pairs[0]("<|endoftext|>")) > 1


def test_tokens_are_counted_and_so_are_their_bytes(pairs):
    told = draw_tokens({"pairs": pairs, "bytes": UTF_8}, "the whale").alt
    assert "pairs: tokens: 2, bytes a token: 4.50: the | ␣whale." in told
    assert "bytes: tokens: 9, bytes a token: 1.00: t | h | e | ␣ | w | h | a | l | e." in told


def test_characters_and_bytes_of_the_text_are_told():
    assert draw_tokens({"bytes": UTF_8}, "né").alt.startswith("characters: 2, bytes in UTF-8: 3.")


@pytest.mark.parametrize(
    ("piece", "shown"),
    [(b" the", "␣the"), (b"\n", "↵"), ("日".encode(), "日"), (b"\xe6\x97", "E6 97"), (b" \xe6", "20 E6"), (b"", "∅")],
)
def test_a_cut_character_is_shown_as_its_bytes(piece, shown):
    assert as_text(piece) == shown


def test_a_cut_character_is_dashed():
    html = draw_tokens({"bytes": UTF_8}, "aé").html
    assert [("dashed" in look) for look in re.findall(r'<span style="(.*?)"', html)] == [False, True, True]


def test_neighbours_have_different_shades():
    looks = re.findall(r'<span style="(.*?)"', draw_tokens({"bytes": UTF_8}, "abcd").html)
    assert all(one != other for one, other in itertools.pairwise(looks))


def test_each_token_tells_its_id_and_bytes_on_hover():
    assert re.findall(r'title="(id.*?)"', draw_tokens({"bytes": UTF_8}, "aé").html) == [
        "id 97, bytes 61",
        "id 195, bytes C3",
        "id 169, bytes A9",
    ]


def test_a_tokenizer_that_loses_bytes_is_told():
    told = draw_tokens({"lower": (lambda text: [*text.lower().encode()], lambda i: bytes([i]))}, "The")
    assert "their bytes are not those of the text" in told.alt


def test_what_one_tokenizer_refuses_is_told_and_the_others_are_drawn():
    def refuse(text):
        raise ValueError("an id is missing")

    told = draw_tokens({"mine": (refuse, None), "bytes": UTF_8}, "ab").alt
    assert "mine: An id is missing." in told
    assert "a | b" in told


@pytest.mark.parametrize("text", ["", "  ", "\n", None, 7, "x" * 500, "a\ud800b", math.nan])
def test_a_text_that_cannot_be_cut_is_told(text):
    assert isinstance(draw_tokens({"bytes": UTF_8}, text), Notice)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '" onmouseover="x', "$\\foo{$ 你好 🙂"])
def test_what_is_typed_is_shown_and_never_run(text):
    whole = (lambda text: [0], lambda i: text.encode())
    html = draw_tokens({"<b>": whole, "bytes": UTF_8}, text)._repr_mimebundle_()["text/html"]
    assert [part for part in ("<script>", "<b><b>", '" onmouseover') if part in html] == []


def test_two_views_on_one_page_do_not_share_their_style():
    names = [re.search(r'<div id="(.*?)"', draw_tokens({"bytes": UTF_8}, text).html)[1] for text in ("a", "b")]
    assert names[0] != names[1]


@pytest.fixture
def controls(monkeypatch):
    shown = {}
    monkeypatch.setattr(tokenizing, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    return shown


def drawn(shown):
    return shown["draw"](**{name: control.value for name, control in shown["controls"].items()})


def test_the_first_values_give_a_page(controls):
    token_explorer({"bytes": UTF_8})
    assert isinstance(drawn(controls), Page)


def test_a_sample_goes_into_the_box_where_it_can_be_changed(controls):
    token_explorer({"bytes": UTF_8})
    box = controls["controls"]["text"]
    controls["controls"]["sample"].value = SAMPLES["Chinese text"]
    assert box.value == SAMPLES["Chinese text"]
    box.value = "zz"
    assert drawn(controls).alt.startswith("characters: 2")


def test_a_text_of_the_chapters_own_comes_first(controls):
    token_explorer({"bytes": UTF_8}, "My own.")
    assert isinstance(controls["controls"]["text"], ipywidgets.Textarea)
    assert controls["controls"]["text"].value == "My own."
    assert pieces_of(drawn(controls).html)[0] == "M"
