"""Attention explorer: one head of a real encoder, on a sentence that the learner types."""

from __future__ import annotations

import functools
import math
from typing import Any

import ipywidgets
from jaxtyping import Float
from torch import Tensor

from coursekit.figures import Picture, heatmap, picture
from coursekit.material.models import Encoder, attentions
from coursekit.widgets.controls import Notice, labelled, live, whole

SENTENCE = "The keys were lost, so the child looked for them."
LONGEST = 400  # characters; more would not fit the picture in any language
MOST_TOKENS = 40
COLDEST, HOTTEST = 0.05, 20.0


def attention_explorer(encoder: Encoder, sentence: str = SENTENCE) -> None:
    """Display a head's heat map with controls for the sentence, the layer, the head and the temperature."""
    config = encoder.model.config
    later = {"continuous_update": False}
    read = functools.lru_cache(maxsize=8)(functools.partial(attentions, encoder))
    live(
        functools.partial(draw_attention, read),
        {
            "sentence": ipywidgets.Text(sentence, **labelled("sentence", **later)),
            "layer": ipywidgets.IntSlider(3, 0, config.num_hidden_layers - 1, **labelled("layer")),
            "head": ipywidgets.IntSlider(1, 0, config.num_attention_heads - 1, **labelled("head")),
            "temperature": ipywidgets.FloatLogSlider(1.0, min=-1, max=1, step=0.1, **labelled("temperature", **later)),
        },
    )


def draw_attention(read: Any, sentence: Any, layer: Any, head: Any, temperature: Any) -> Picture | Notice:
    """One head's weights on `sentence`, its scores divided by `temperature`; a Notice for bad values.

    `read(sentence)` returns tokens and A (L H T T), as `coursekit.material.models.attentions` does.
    """
    if wrong := wrong_sentence(sentence) or _wrong_temperature(temperature):
        return Notice(wrong)
    tokens, A = read(sentence.strip())
    if len(tokens) > MOST_TOKENS:
        return Notice(f"The sentence has {len(tokens)} tokens; the picture has room for {MOST_TOKENS}. Shorten it.")
    for name, value, count in (("layer", layer, len(A)), ("head", head, A.shape[1])):
        if whole(value) is None or not 0 <= value < count:
            return Notice(f"There is no {name} {value!r}: choose a whole number from 0 to {count - 1}.")
    weights = at_temperature(A[int(layer), int(head)], float(temperature))
    figure = heatmap(
        {f"layer {layer}, head {head}, temperature {temperature:.2g}": weights},
        row_labels=tokens,
        column_labels=tokens,
        limits=(0, 1),
    )
    i, j = divmod(int(weights.argmax()), len(tokens))
    return picture(
        figure,
        f"Attention of layer {layer}, head {head} at temperature {temperature:.2g} on: {sentence.strip()} "
        f"The largest weight is {weights[i, j]:.2f}, from {tokens[i]} to {tokens[j]}.",
    )


def at_temperature(A: Float[Tensor, "T S"], temperature: float) -> Float[Tensor, "T S"]:
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
