"""A model's tokens as they can be shown: what an eye would miss has a sign, and none can break what is around it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from torch import Tensor

SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "\\r"}
LONGEST = 24  # characters of a token; a row of dashes or dots is longer in some vocabularies


def visible(text: str, longest: int = LONGEST, kept: str = "") -> str:
    """`text` with a sign for each space, end of line and control character, all but those that are `kept`.

    What exceeds `longest` characters is cut. A mark that would sit on the character before it gets a circle to sit on.
    """
    shown = "".join(c if c in kept else _sign(c) for c in text)
    if text and unicodedata.category(text[0]).startswith("M"):
        shown = f"◌{shown}"
    return (shown if len(shown) <= longest else shown[: longest - 1] + "…") or "∅"


def _sign(c: str) -> str:
    """Control and format characters, which may turn the direction of a line, and spaces of other widths by number."""
    unseen = unicodedata.category(c)[0] in "CZ"
    return SIGNS.get(c) or (f"⟨U+{ord(c):04X}⟩" if unseen else c)


def percent(p: float) -> str:
    """A probability with one decimal, and never as a zero that it is not."""
    return f"{p:.1%}" if p >= 0.0005 or p == 0 else "<0.1%"


def listed(vocabulary: Sequence[str], ids: Sequence[int], p: Tensor) -> str:
    """The tokens with their probabilities: "␣the 12.0%, ␣a 3.1%"."""
    return ", ".join(f"{visible(vocabulary[i])} {percent(float(p[i]))}" for i in ids)


def wrong_logits(logits: Tensor, V: int) -> str:
    """Why `logits` (..., V) do not say what comes next; empty where they do. -inf is a token that never comes."""
    if logits.shape[-1] != V:
        return f"The model gives {logits.shape[-1]} logits and the vocabulary has {V} tokens: hand in the model's own."
    largest = logits.amax(-1)
    if bool((logits.isnan().any()) | ~largest.isfinite().all()):
        return "The model's logits hold NaN or infinity, so that nothing can be drawn: train it with a smaller rate."
    return ""


def bits(nats: float) -> float:
    return nats / math.log(2)
