"""What a learner is to find out, texts and training runs: the answers stand here, and not in the notebook."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coursekit.material.clinic import Run, train_with
from coursekit.material.decoders import Decoder

SETTINGS = {"text A": {"temperature": 0.7, "top_p": 0.8}, "text B": {"temperature": 1.0}}
SEED, TOKENS = 3, 14
RUNS = {
    "A": "labels leak",
    "B": "rate too low",
    "C": "healthy",
    "D": "gradients not zeroed",
    "E": "rate too high",
    "F": "labels mixed up",
}
RUNS_SEED = 11


@torch.no_grad()
def two_texts(decoder: Decoder, prompt: str) -> dict[str, list[tuple[str, float]]]:
    """Two continuations of a prompt, drawn with different settings: each token and its unfiltered probability."""
    texts = {}
    exactly = {"do_sample": True, "top_k": 0, "max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "pad_token_id": 0}
    for name, settings in SETTINGS.items():
        torch.manual_seed(SEED)
        given = decoder.tokenizer(prompt, return_tensors="pt").to(decoder.model.device)["input_ids"]
        write: Callable[..., Tensor] = decoder.model.generate  # type: ignore[assignment] # torch's stubs hide it
        ids = write(given, attention_mask=torch.ones_like(given), **exactly, **settings)
        p = decoder.model(ids).logits[0].softmax(-1)
        new = range(given.shape[1], ids.shape[1])
        texts[name] = [(decoder.tokenizer.decode(ids[0, i]), p[i - 1, ids[0, i]].item()) for i in new]
    return texts


def six_runs() -> dict[str, Run]:
    """Six training runs by letter, one recipe with one illness or none; `named_again` tells which."""
    return {letter: train_with(illness, RUNS_SEED) for letter, illness in RUNS.items()}


def named_again() -> dict[str, str]:
    """What each of `six_runs` has, by letter."""
    return dict(RUNS)
