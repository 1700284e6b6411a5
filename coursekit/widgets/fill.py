"""Fill in the mask: what a model with a masked-word head expects in the places of a typed sentence."""

from __future__ import annotations

import functools
import re
from typing import Any

import ipywidgets
from matplotlib import rc_context
from matplotlib.figure import Figure

from coursekit.figures import COLOURS, STYLE, Picture, picture
from coursekit.language import translated
from coursekit.material.models import Encoder, masked_words
from coursekit.widgets.controls import Notice, labelled, live, refusal, whole
from coursekit.widgets.explorer import wrong_sentence

SENTENCE = "Tonight I ask the [MASK] to pass this [MASK]."
MOST_MASKS = 4
MOST_WORDS = 20


def fill_the_mask(encoder: Encoder, sentence: str = SENTENCE) -> None:
    """Display the likeliest words for each [MASK] of a sentence, with controls for the sentence and their number."""
    guess = functools.lru_cache(maxsize=32)(functools.partial(masked_words, encoder))
    live(
        functools.partial(draw_guesses, guess),
        {
            "sentence": ipywidgets.Text(sentence, **labelled("sentence", continuous_update=False)),
            "k": ipywidgets.IntSlider(8, 1, MOST_WORDS, **labelled("words")),
        },
    )


def draw_guesses(guess: Any, sentence: Any, k: Any) -> Picture | Notice:
    """Bars of the k likeliest words for each [MASK]; a Notice for bad values.

    `guess(sentence, k)` returns a list of (word, probability) for each [MASK], as `material.models.masked_words` does.
    """
    if wrong := wrong_sentence(sentence):
        return Notice(wrong)
    if whole(k) is None or not 1 <= k <= MOST_WORDS:
        return Notice(f"{k!r} words do not work here: choose a whole number from 1 to {MOST_WORDS}.")
    text = re.sub(r"\[mask\]|_+", "[MASK]", sentence.strip(), flags=re.IGNORECASE)
    if not 1 <= text.count("[MASK]") <= MOST_MASKS:
        return Notice(f"The sentence has {text.count('[MASK]')} gaps: write [MASK] or _ in 1 to {MOST_MASKS} places.")
    try:
        found = guess(text, int(k))
    except ValueError as error:
        return refusal(error)
    words = [", ".join(f"{word} {share:.0%}" for word, share in likeliest) for likeliest in found]
    told = "; ".join(f"{translated(f'gap {n:d}')}: {listed}" for n, listed in enumerate(words, 1))
    return picture(bars(found), f"The likeliest words for: {text!s} {told!s}.")


def bars(found: list[list[tuple[str, float]]]) -> Figure:
    """One panel for each gap, on one scale: the words from the likeliest down, their probabilities as bars."""
    most = max(share for words in found for _, share in words)
    with rc_context(STYLE):
        fig = Figure(figsize=(max(4.5, 2.6 * len(found)), 1 + 0.24 * len(found[0])), layout="constrained")
        for n, (ax, words) in enumerate(zip(fig.subplots(1, len(found), squeeze=False)[0], found, strict=True), 1):
            ax.barh(range(len(words)), [share for _, share in words], color=COLOURS[1])
            ax.set(title=f"gap {n}", xlabel="probability", xlim=(0, 1.05 * most))
            ax.set_yticks(range(len(words)), labels=[word for word, _ in words])
            for label in ax.get_yticklabels():
                label.set_parse_math(False)
            ax.grid(axis="y", visible=False)
            ax.invert_yaxis()
    return fig
