"""Attention explorer: the heads of a real encoder, on a sentence that the learner types."""

from __future__ import annotations

import functools
import math
from typing import Any

import ipywidgets
from jaxtyping import Float
from torch import Tensor

from coursekit.material.models import Encoder, attentions
from coursekit.widgets.controls import Notice, labelled, live, whole
from coursekit.widgets.heads import Heads

SENTENCE = "The keys were lost, so the child looked for them."
LONGEST = 400  # characters; more would not fit the picture in any language
MOST_TOKENS = 40
COLDEST, HOTTEST = 0.05, 20.0


def attention_explorer(encoder: Encoder, sentence: str = SENTENCE) -> None:
    """Display all heads of a layer with controls for the sentence, the layer and the temperature."""
    config = encoder.model.config
    later = {"continuous_update": False}
    read = functools.lru_cache(maxsize=8)(functools.partial(attentions, encoder))
    live(
        functools.partial(draw_attention, read),
        {
            "sentence": ipywidgets.Text(sentence, **labelled("sentence", **later)),
            "layer": ipywidgets.IntSlider(3, 0, config.num_hidden_layers - 1, **labelled("layer")),
            "temperature": ipywidgets.FloatLogSlider(1.0, min=-1, max=1, step=0.1, **labelled("temperature", **later)),
        },
    )


def draw_attention(read: Any, sentence: Any, layer: Any, temperature: Any) -> Heads | Notice:
    """The heads' weights on `sentence`, their scores divided by `temperature`; a Notice for bad values.

    `read(sentence)` returns tokens and A (L H T T), as `coursekit.material.models.attentions` does.
    """
    if wrong := wrong_sentence(sentence) or _wrong_temperature(temperature):
        return Notice(wrong)
    tokens, A = read(sentence.strip())
    if len(tokens) > MOST_TOKENS:
        return Notice(f"The sentence has {len(tokens)} tokens; the picture has room for {MOST_TOKENS}. Shorten it.")
    if whole(layer) is None or not 0 <= layer < len(A):
        return Notice(f"There is no layer {layer!r}: choose a whole number from 0 to {len(A) - 1}.")
    title = f"Attention of layer {layer} at temperature {temperature:.2g} on: {sentence.strip()!s}"
    return Heads(tokens, at_temperature(A[int(layer)], float(temperature)), title)


def at_temperature(A: Float[Tensor, "... T S"], temperature: float) -> Float[Tensor, "... T S"]:
    """softmax(Z / temperature) from A = softmax(Z): log A and Z differ by a constant in each row only."""
    return (A.clamp_min(1e-30).log() / temperature).softmax(-1)


def wrong_sentence(sentence: Any) -> str:
    """Why `sentence` cannot be drawn; empty where it can."""
    if not isinstance(sentence, str) or not sentence.strip():
        return "The sentence is empty: type a few words."
    if len(sentence) > LONGEST:
        return f"The sentence has {len(sentence)} characters; the picture has room for {LONGEST}. Shorten it."
    return ""


def _wrong_temperature(temperature: Any) -> str:
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if number and math.isfinite(temperature) and COLDEST <= temperature <= HOTTEST:
        return ""
    return f"The temperature {temperature!r} does not work here: choose a number from {COLDEST} to {HOTTEST:g}."
