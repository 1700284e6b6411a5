"""Before and after: one head of the same encoder as it was pretrained and as it was fine-tuned, on a typed sentence."""

from __future__ import annotations

import functools
from typing import Any

import ipywidgets
from jaxtyping import Float
from torch import Tensor

from coursekit.figures import Picture, heatmap, picture
from coursekit.material.models import Encoder, attentions
from coursekit.widgets.controls import Notice, labelled, live, whole
from coursekit.widgets.explorer import MOST_TOKENS, wrong_sentence

SENTENCE = "You will love it, if you have never seen a good film before."


def before_and_after(encoder: Encoder, tuned: Any, sentence: str = SENTENCE) -> None:
    """Display a head's heat map in both encoders, with controls for the sentence, the layer and the head.

    `tuned` is a model of the encoder's architecture; it is put into evaluation mode. It begins with the head that
    changed most on `sentence`.
    """
    config = encoder.model.config
    pair = encoder, Encoder(encoder.tokenizer, tuned.eval())
    before, after = (functools.lru_cache(maxsize=8)(functools.partial(attentions, one)) for one in pair)
    layer, head = most_changed(before(sentence)[1], after(sentence)[1])
    live(
        functools.partial(draw_before_and_after, before, after),
        {
            "sentence": ipywidgets.Text(sentence, **labelled("sentence", continuous_update=False)),
            "layer": ipywidgets.IntSlider(layer, 0, config.num_hidden_layers - 1, **labelled("layer")),
            "head": ipywidgets.IntSlider(head, 0, config.num_attention_heads - 1, **labelled("head")),
        },
    )


def draw_before_and_after(before: Any, after: Any, sentence: Any, layer: Any, head: Any) -> Picture | Notice:
    """One head's weights on `sentence` in both encoders, on one colour scale; a Notice for bad values.

    `before(sentence)` and `after(sentence)` return tokens and A (L H T T), as `material.models.attentions` does.
    """
    if wrong := wrong_sentence(sentence):
        return Notice(wrong)
    tokens, A = before(sentence.strip())
    if len(tokens) > MOST_TOKENS:
        return Notice(f"The sentence has {len(tokens)} tokens; the picture has room for {MOST_TOKENS}. Shorten it.")
    for name, value, count in (("layer", layer, len(A)), ("head", head, A.shape[1])):
        if whole(value) is None or not 0 <= value < count:
            return Notice(f"There is no {name} {value!r}: choose a whole number from 0 to {count - 1}.")
    was, now = A[int(layer), int(head)], after(sentence.strip())[1][int(layer), int(head)]
    figure = heatmap(
        {f"layer {layer}, head {head}, pretrained": was, "fine-tuned": now},
        row_labels=tokens,
        column_labels=tokens,
        limits=(0, 1),
    )
    i, j = divmod((now - was).abs().argmax().item(), len(tokens))
    return picture(
        figure,
        f"Attention of layer {layer}, head {head} before and after fine-tuning on: {sentence.strip()!s} "
        f"The weight that changed most is that from {tokens[i]!s} to {tokens[j]!s}: {was[i, j]:.2f} before, "
        f"{now[i, j]:.2f} after.",
    )


def most_changed(A: Float[Tensor, "L H T T"], B: Float[Tensor, "L H T T"]) -> tuple[int, int]:
    """The layer and the head whose weights differ most between A and B, summed over all pairs of tokens."""
    return divmod(int((A - B).abs().sum((-2, -1)).argmax()), A.shape[1])
