"""Tokens as they are shown: nothing is unseen, nothing is parsed."""

import math

import pytest
import torch

from coursekit.widgets.tokens import LONGEST, bits, percent, visible, wrong_logits


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" the", "␣the"),
        ("  ", "␣␣"),
        ("\n", "↵"),
        ("\t", "⇥"),
        ("\r", "\\r"),
        ("\x00", "⟨U+0000⟩"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("\u00a0", "⟨U+00A0⟩"),
        ("\u0301", "◌\u0301"),
        ("", "∅"),
        ("$x_{", "$x_{"),
        ("你好", "你好"),
    ],
)
def test_what_would_not_be_seen_has_a_sign(token, shown):
    assert visible(token) == shown


def test_what_is_kept_stays_as_it_is():
    assert visible("a b\n\x07", kept=" \n") == "a b\n⟨U+0007⟩"


def test_a_long_token_is_cut():
    assert visible("-" * 99) == "-" * (LONGEST - 1) + "…"


@pytest.mark.parametrize(
    ("p", "told"), [(0.0, "0.0%"), (1e-9, "<0.1%"), (0.0005, "0.1%"), (0.1234, "12.3%"), (1, "100.0%")]
)
def test_a_small_probability_is_not_told_as_none(p, told):
    assert percent(p) == told


def test_logits_for_another_vocabulary_are_told():
    assert "4 logits and the vocabulary has 5 tokens" in wrong_logits(torch.zeros(2, 4), 5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_told(bad):
    assert "NaN or infinity" in wrong_logits(torch.tensor([[0.0, 1.0], [bad, 0.0]]), 2)


def test_logits_that_leave_no_token_are_told():
    assert "NaN or infinity" in wrong_logits(torch.full((2,), -math.inf), 2)


def test_a_token_that_never_comes_is_no_fault():
    assert wrong_logits(torch.tensor([0.0, -math.inf]), 2) == ""


def test_a_bit_halves():
    assert bits(math.log(8)) == pytest.approx(3)
