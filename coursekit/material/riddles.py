"""Two texts whose settings a learner is to find out: the settings stand here, and not in the notebook."""

from __future__ import annotations

import torch

from coursekit.material.decoders import Decoder

SETTINGS = {"text A": {"temperature": 0.7, "top_p": 0.8}, "text B": {"temperature": 1.0}}
SEED, TOKENS = 3, 14


@torch.no_grad()
def two_texts(decoder: Decoder, prompt: str) -> dict[str, list[tuple[str, float]]]:
    """Two continuations of a prompt by name, drawn with different settings: each token and its unfiltered probability."""
    texts = {}
    for name, settings in SETTINGS.items():
        torch.manual_seed(SEED)
        given = decoder.tokenizer(prompt, return_tensors="pt").to(decoder.model.device)
        ids = decoder.model.generate(
            given["input_ids"], do_sample=True, top_k=0, max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0, **settings
        )
        logits = decoder.model(ids).logits[0, :-1]
        new = range(len(given["input_ids"][0]), len(ids[0]))
        texts[name] = [(decoder.tokenizer.decode(ids[0, i]), logits[i - 1].softmax(-1)[ids[0, i]].item()) for i in new]
    return texts
