"""Decoders: the course's own and the assistant, and a text's tokens and logits as the widgets read them."""

import pytest
import torch
import transformers
from transformers import GPT2Config, GPT2LMHeadModel

from coursekit.material import decoders
from coursekit.material.assets import AssetError
from coursekit.material.data import END_OF_TEXT, byte_pairs, prose_texts
from coursekit.material.decoders import (
    Decoder,
    decoder_weights,
    gpt_run,
    load_assistant,
    load_decoder,
    score,
    vocabulary,
)
from grader.exercises import trusted

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


def test_the_courses_gpt_is_the_same_in_the_chapters_names_and_in_transformers():
    run, carried = gpt_run(), load_decoder()
    own = trusted("gpt.decoder").reference[0](*(run[size] for size in "VTDHL"))
    own.load_state_dict(decoder_weights(carried))
    ids = torch.tensor([carried.tokenizer("The whale and the Congress")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(own(ids), carried.model(ids).logits, rtol=1e-4, atol=1e-4)


def test_the_courses_gpt_has_learned_the_curve_that_its_run_reports():
    """On one held-out document; 0.5 nats for its difference from all of them."""
    run, carried = gpt_run(), load_decoder()
    ids = torch.tensor(carried.tokenizer(prose_texts()[1][0])["input_ids"][: 4 * run["T"]]).view(4, -1)
    with torch.no_grad():
        loss = carried.model(ids, labels=ids).loss.item()
    assert loss == pytest.approx(min(row["loss"] for row in run["addresses"]["curve"]), abs=0.5)


def test_the_run_tells_each_checkpoint_of_both_texts():
    for name in ("addresses", "prose"):
        run = gpt_run()[name]
        assert [row["step"] for row in run["curve"]] == [sample["step"] for sample in run["samples"]]
        assert all(len(sample["texts"]) == len(gpt_run()["prompts"]) for sample in run["samples"])


def test_a_missing_network_is_told_for_gpt2(monkeypatch):
    def nothing(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'\nmore")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", nothing)
    with pytest.raises(AssetError, match=r"^gpt2 could not be loaded from the Hugging Face hub .*; connect"):
        load_decoder("full")


def test_the_assistant_is_unpacked_once(tmp_path, monkeypatch):
    """The second load finds the folder; what a run that was cut off left behind is no folder of that name."""
    made = []

    def convert(source, name, target):
        made.append(name)
        target.mkdir()

    monkeypatch.setenv(decoders.CACHE, str(tmp_path))
    monkeypatch.setattr(decoders, "_convert", convert)
    monkeypatch.setattr(decoders, "checked_folder", lambda package: tmp_path)
    assert decoders._assistant_folder() == decoders._assistant_folder()
    assert made == ["SmolLM2-135M-Instruct.Q4_1.gguf"]


def test_the_assistant_names_a_capital():
    assistant = load_assistant()
    ids = torch.tensor([assistant.tokenizer("The capital of France is")["input_ids"]])
    with torch.no_grad():
        assert assistant.tokenizer.decode(assistant.model(ids).logits[0, -1].argmax()) == " Paris"
