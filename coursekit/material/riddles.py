"""Two texts whose settings a learner is to find out: the settings stand here, and not in the notebook."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from coursekit.material.decoders import Decoder

SETTINGS = {"text A": {"temperature": 0.7, "top_p": 0.8}, "text B": {"temperature": 1.0}}
SEED, TOKENS = 3, 14


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
