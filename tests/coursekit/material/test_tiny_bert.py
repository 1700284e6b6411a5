"""The carried checkpoint: loaded by name into transformers' BERT and into the chapter's own classes."""

import math

import pytest
import torch

from coursekit.material import assets
from coursekit.material.assets import AssetError, checked_file
from coursekit.material.models import (
    TINY_BERT,
    TINY_BERT_RUN,
    attentions,
    load_tiny_bert,
    masked_words,
    tiny_bert_run,
    tiny_bert_weights,
)
from grader.exercises import trusted

TEXT = "The president of the united [MASK] and the [MASK]."


@pytest.fixture(scope="module")
def tiny():
    return load_tiny_bert()


class OwnBert(torch.nn.Module):
    """The chapter's model from the references, with the names that the chapter gives its parts."""

    def __init__(self, V, D, L, H, longest):
        super().__init__()
        (embeddings,), (layer,), (head, _) = (
            trusted(f"bert.{name}").reference for name in ("embeddings", "encoder_layer", "mlm_head")
        )
        self.bert = torch.nn.Module()
        self.bert.embeddings = embeddings(V, D, longest)
        self.bert.layers = torch.nn.ModuleList([layer(D, H, 4 * D) for _ in range(L)])
        self.words = head(self.bert.embeddings.token)
        self.pool, self.next = torch.nn.Linear(D, D), torch.nn.Linear(D, 2)

    def forward(self, ids, segments, real):
        X = self.bert.embeddings(ids, segments)
        for layer in self.bert.layers:
            X = layer(X, real)
        return self.words(X), self.next(torch.tanh(self.pool(X[:, 0])))


def test_transformers_and_the_chapters_classes_agree(tiny):
    run = tiny_bert_run()
    own = OwnBert(*(run[name] for name in ("V", "D", "L", "H", "longest")))
    own.load_state_dict(tiny_bert_weights())
    inputs = tiny.tokenizer(
        ["We choose the [MASK].", "Why?"], ["Again.", "The whale!"], padding=True, return_tensors="pt"
    )
    real = inputs["attention_mask"].bool()
    with torch.no_grad():
        theirs = tiny.model(**inputs)
        words, follows = own(inputs["input_ids"], inputs["token_type_ids"], real)
    torch.testing.assert_close(words[real], theirs.prediction_logits[real], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(follows.flip(-1), theirs.seq_relationship_logits, rtol=1e-4, atol=1e-4)


def test_the_decoder_is_tied(tiny):
    weights = tiny_bert_weights()
    assert weights["words.decoder.weight"] is weights["bert.embeddings.token.weight"]
    assert tiny.model.cls.predictions.decoder.weight is tiny.model.bert.embeddings.word_embeddings.weight


def test_probabilities_fall_and_do_not_exceed_one(tiny):
    found = masked_words(tiny, TEXT, 7)
    assert [len(words) for words in found] == [7, 7]
    for words in found:
        shares = [share for _, share in words]
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1


def test_it_has_learned_a_phrase(tiny):
    assert masked_words(tiny, TEXT, 1)[0][0][0] == "states"


@pytest.mark.parametrize(("text", "says"), [("no gap", "has no \\[MASK\\]"), ("[MASK] " * 80, "reads at most 64")])
def test_a_text_that_cannot_be_filled_is_told(tiny, text, says):
    with pytest.raises(ValueError, match=says):
        masked_words(tiny, text)


def test_its_attention_can_be_looked_at(tiny):
    tokens, A = attentions(tiny, "the white whale")
    assert A.shape == (tiny_bert_run()["L"], tiny_bert_run()["H"], len(tokens), len(tokens))


def test_the_run_says_how_it_went():
    run = tiny_bert_run()
    first, last = run["curve"][0], run["curve"][-1]
    assert last["step"] == run["steps"]
    assert last["held_out_word_loss"] < first["held_out_word_loss"] < math.log(run["V"])
    assert last["words_right"] > first["words_right"] > run["unigram"]
    assert last["pairs_right"] > 0.5


def test_the_checkpoint_is_small():
    assert checked_file(TINY_BERT).stat().st_size < 8e6


@pytest.mark.parametrize("file", [TINY_BERT, TINY_BERT_RUN])
def test_an_altered_checkpoint_is_told(tmp_path, monkeypatch, file):
    for name in (TINY_BERT.name, TINY_BERT_RUN.name):
        (tmp_path / name).write_bytes((assets.FOLDER / name).read_bytes())
    (tmp_path / file.name).write_bytes(b"{}")
    monkeypatch.setattr(checked_file, "__defaults__", (tmp_path,))
    with pytest.raises(AssetError, match=file.name):
        load_tiny_bert()
