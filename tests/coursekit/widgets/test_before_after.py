"""before_and_after: both heads are drawn, what changed is told, and bad values are answered with a sentence."""

import copy

import ipywidgets
import pytest
import torch

from coursekit.figures import Picture
from coursekit.material.models import load_encoder
from coursekit.widgets import before_after, before_and_after
from coursekit.widgets.before_after import draw_before_and_after, most_changed
from coursekit.widgets.controls import Notice


def reader(seed):
    """A stand-in for an encoder: 2 layers of 3 heads."""

    def read(sentence):
        tokens = ["[CLS]", *sentence.split(), "[SEP]"]
        g = torch.Generator().manual_seed(seed)
        return tokens, torch.randn(2, 3, len(tokens), len(tokens), generator=g).softmax(-1)

    return read


def draw(sentence="never seen before", layer=0, head=0, after=1):
    return draw_before_and_after(reader(0), reader(after), sentence, layer, head)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("head", [0, 2])
def test_every_layer_and_head_is_drawn(layer, head):
    drawn = draw(layer=layer, head=head)
    assert isinstance(drawn, Picture)
    assert f"layer {layer}, head {head}" in drawn.alt


def test_the_description_tells_the_weight_that_changed_most():
    A = torch.zeros(1, 1, 3, 3)
    B = A.clone()
    B[0, 0, 1, 2] = 0.5
    drawn = draw_before_and_after(lambda s: (list("abc"), A), lambda s: (list("abc"), B), "a b c", 0, 0)
    assert "from b to c: 0.00 before, 0.50 after" in drawn.alt


@pytest.mark.parametrize("sentence", ["", "  ", None, 7, "x" * 500, "a " * 50])
def test_a_sentence_that_cannot_be_drawn_is_told(sentence):
    assert isinstance(draw(sentence), Notice)


@pytest.mark.parametrize("value", [-1, 3, 1.5, "0", None, True, float("nan")])
@pytest.mark.parametrize("name", ["layer", "head"])
def test_an_unknown_layer_or_head_is_told(name, value):
    assert draw(**{name: value}).text.startswith(f"There is no {name}")


def test_it_begins_with_the_head_that_changed_most():
    A = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    B = A.clone()
    B[1, 0] += 1
    assert most_changed(A, B) == (1, 0)


def test_it_is_displayed_for_a_real_encoder_whose_changed_head_comes_first(monkeypatch):
    encoder = load_encoder("smoke")
    tuned = copy.deepcopy(encoder.model).train()
    with torch.no_grad():
        tuned.encoder.layer[4].attention.self.query.weight[2 * 32 : 3 * 32] *= -1
    shown = {}
    monkeypatch.setattr(before_after, "live", lambda draw, controls: shown.update(draw=draw, **controls))
    before_and_after(encoder, tuned, "A joy to watch.")
    assert (shown["layer"].value, shown["head"].value) == (4, 2)
    assert isinstance(shown["sentence"], ipywidgets.Text)
    assert isinstance(shown["draw"]("A joy to watch.", 4, 2), Picture)
    assert not tuned.training
