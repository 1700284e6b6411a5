"""Decoders: a text's tokens and logits as the widgets read them, with a small random GPT-2."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit.material.data import END_OF_TEXT, byte_pairs
from coursekit.material.decoders import Decoder, score, vocabulary

TEXT = "We  the people,\n – 你好 –"


@pytest.fixture(scope="module")
def decoder():
    tokenizer = byte_pairs()
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer) + 2, n_positions=32, n_embd=8, n_layer=1, n_head=2)
    return Decoder(tokenizer, GPT2LMHeadModel(config).eval())


def test_the_logits_are_the_models_own(decoder):
    ids, logits = score(decoder, TEXT)
    torch.testing.assert_close(logits, decoder.model(ids[None]).logits[0].detach())


def test_the_ids_are_the_texts_behind_the_one_that_begins_it(decoder):
    ids, _ = score(decoder, TEXT)
    assert decoder.tokenizer.decode(ids) == END_OF_TEXT + TEXT


def test_a_text_that_fills_the_model_is_read(decoder):
    assert len(score(decoder, "." + " the" * 30)[0]) == 32


def test_a_text_that_is_too_long_is_refused_with_both_numbers(decoder):
    with pytest.raises(ValueError, match="the text has 32 tokens; the model reads at most 31"):
        score(decoder, "." + " the" * 31)


def test_every_token_has_its_text(decoder):
    texts, tokenizer = vocabulary(decoder), decoder.tokenizer
    decoded = [tokenizer.decode([i]) for i in range(len(tokenizer))]
    assert [(a, b) for a, b in zip(texts, decoded, strict=False) if a != b and "�" not in b] == []


def test_half_a_character_is_its_bytes(decoder):
    texts, tokenizer = vocabulary(decoder), decoder.tokenizer
    (first, *_) = tokenizer("你")["input_ids"]
    assert texts[first] == "\\xe4"


def test_a_logit_without_a_token_has_an_empty_text(decoder):
    assert vocabulary(decoder)[-2:] == ["", ""]
