"""Chapter 04: training and generation of the course's code beside transformers' and a plain loop, in one run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.speeds import ROUNDS, rows, taking_turns

MEASURED = ("gpt.decoder", "gpt.train_step", "gpt.cache")
V, T, D, H, L = 3072, 128, 192, 6, 6
ROWS, STEPS, TOKENS = 8, 4, 64
Logits = Callable[[torch.Tensor], torch.Tensor]


def chapter_names() -> dict[str, Any]:
    """What the set-up and the solutions of the chapter define that is measured here."""
    from prepare.cells import CHAPTERS, names_of

    return names_of(CHAPTERS / "04_gpt.py", lambda cell: cell.keys.get("exercise") in MEASURED)


def _theirs() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {"vocab_size": V, "n_positions": T, "n_embd": D, "n_layer": L, "n_head": H}
    sizes |= {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))


class _Block(nn.Module):
    """A block as minimal trainers write it: heads written out, a mask in a buffer, GELU in its exact form."""

    past: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.register_buffer("past", torch.tril(torch.ones(T, T)).view(1, 1, T, T))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, n, _ = x.shape
        q, k, v = (part.view(B, n, H, D // H).transpose(1, 2) for part in self.qkv(self.ln_1(x)).split(D, 2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(D // H)
        weights = scores.masked_fill(self.past[:, :, :n, :n] == 0, float("-inf")).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).contiguous().view(B, n, D))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class Minimal(nn.Module):
    """A decoder of such blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe, self.ln_f = nn.Embedding(V, D), nn.Embedding(T, D), nn.LayerNorm(D)
        self.h = nn.ModuleList(_Block() for _ in range(L))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


def training() -> list[tuple[str, float, float]]:
    """Training tokens a second at equal sizes, precision, optimiser and batches."""
    names = chapter_names()
    course, step = names["GPT"], names["train_step"]
    g = torch.Generator().manual_seed(0)
    batches = [torch.randint(V, (2, ROWS, T), generator=g) for _ in range(STEPS)]
    models: dict[str, nn.Module] = {
        "the chapter's GPT and step": course(V, T, D, H, L),
        "transformers' GPT-2": _theirs(),
        "a minimal trainer": Minimal(),
    }
    tools = {name: torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True) for name, model in models.items()}

    def ours(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
        for x, y in batches:
            step(model, optimizer, schedule, [(x, y)], 1.0)

    def plain(logits: Logits, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for x, y in batches:
            F.cross_entropy(logits(x).flatten(0, 1), y.flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    for model in models.values():
        model.train()
    first, second, third = models
    ways = {
        first: lambda: ours(models[first], tools[first]),
        second: lambda: plain(lambda x: models[second](x).logits, models[second], tools[second]),
        third: lambda: plain(models[third], models[third], tools[third]),
    }
    return rows(taking_turns(ways), STEPS * ROWS * T)


def _generate(model: Any, prompt: torch.Tensor, **drafting: int) -> torch.Tensor:
    """transformers' greedy text of exactly TOKENS tokens more."""
    model.generation_config.eos_token_id = None  # no end of text ends it
    exactly = {"max_new_tokens": TOKENS, "do_sample": False, "pad_token_id": 0}
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), **exactly, **drafting)


def generation() -> list[tuple[str, float, float]]:
    """Tokens a second of greedy generation by the course's GPT. Raises AssertionError where tokens differ."""
    from coursekit.material.decoders import decoder_weights, load_decoder

    names, decoder = chapter_names(), load_decoder()
    course = names["GPT"](V, T, D, H, L).eval()
    course.load_state_dict(decoder_weights(decoder))
    Cache, forward_cached = names["Cache"], names["forward_cached"]
    prompt = torch.tensor([decoder.tokenizer("My fellow Americans, the state of our Union")["input_ids"]])

    @torch.no_grad()
    def ours() -> torch.Tensor:
        cache = Cache(L, 1, H, T, D // H, torch.float32, prompt.device)
        ids, text = prompt, prompt
        for _ in range(TOKENS):
            ids = forward_cached(course, ids, cache, torch.ones_like(text, dtype=torch.bool))[:, -1:].argmax(-1)
            text = torch.cat([text, ids], 1)
        return text

    @torch.no_grad()
    def theirs() -> torch.Tensor:
        return _generate(decoder.model, prompt)

    assert torch.equal(ours(), theirs())
    return rows(taking_turns({"the chapter's cache": ours, "transformers' generate": theirs}), TOKENS)


def _lookup(ids: list[int], k: int) -> list[int]:
    """At most k tokens that followed the last two when they were last seen."""
    places = [i for i in range(len(ids) - 2) if ids[i : i + 2] == ids[-2:]]
    return ids[places[-1] + 2 :][:k] if places else []


def drafts(k: int = 8) -> list[tuple[str, float, float]]:
    """Tokens a second of greedy SmolLM2 on a line that repeats itself. Raises AssertionError where tokens differ."""
    from transformers import DynamicCache

    from coursekit.material.decoders import load_assistant

    assistant = load_assistant()
    model, text = assistant.model, " ".join(["One if by land, two if by sea."] * 6)
    prompt = assistant.tokenizer(text)["input_ids"]

    @torch.no_grad()
    def ours(k: int) -> list[int]:
        ids, new, past = list(prompt), list(prompt), DynamicCache(config=model.config)
        while len(ids) < len(prompt) + TOKENS:
            drafted = _lookup(ids, k) if k else []
            z = model(torch.tensor([new + drafted]), past_key_values=past, logits_to_keep=len(drafted) + 1).logits
            found = z[0].argmax(-1).tolist()
            agree = next((i for i, token in enumerate(drafted) if token != found[i]), len(drafted))
            if agree < len(drafted):
                past.crop(agree - len(drafted))
            new = [found[agree]]
            ids += drafted[:agree] + new
        return ids[: len(prompt) + TOKENS]

    @torch.no_grad()
    def theirs(**drafting: int) -> list[int]:
        return _generate(model, torch.tensor([prompt]), **drafting)[0].tolist()

    ways: dict[str, Callable[[], object]] = {
        "looked up, the chapter's way": lambda: ours(k),
        "looked up, transformers": lambda: theirs(prompt_lookup_num_tokens=k, max_matching_ngram_size=2),
        "a plain loop with a cache": lambda: ours(0),
        "transformers' generate": theirs,
    }
    for name, way in ways.items():
        assert way() == ours(0), f"{name} wrote other tokens than a plain loop"
    return rows(taking_turns(ways), TOKENS)


def at_once() -> list[tuple[int, float]]:
    """Milliseconds in which SmolLM2 reads k tokens behind 256 that are cached: it decides when a draft pays."""
    from transformers import DynamicCache

    from coursekit.material.decoders import load_assistant

    model = load_assistant().model
    found = []
    for k in (1, 2, 4, 8, 16, 32):
        past, took = DynamicCache(config=model.config), []
        ids = torch.arange(256 + k)[None]
        with torch.no_grad():
            model(ids[:, :256], past_key_values=past)
            for _ in range(ROUNDS + 1):
                started = time.perf_counter()
                model(ids[:, 256:], past_key_values=past)
                took.append(time.perf_counter() - started)
                past.crop(-k)
        found.append((k, 1000 * statistics.median(took[1:])))
    return found


def matrix_rate() -> float:
    """GFLOP/s of a product of the size that a training step multiplies most."""
    x, w = torch.randn(ROWS * T, D), torch.randn(D, 4 * D)
    seconds = taking_turns({"product": lambda: [x @ w for _ in range(20)]})["product"]
    return 20 * 2 * x.shape[0] * D * 4 * D / statistics.median(seconds) / 1e9


def main() -> None:
    print(f"\n{'GPT of 3.3 million, training':<32} {'tokens/s':>12} {'the course is faster by':>24}")
    table = training()
    for name, speed, ratio in table:
        print(f"{name:<32} {speed:>12.0f} {'x' + format(ratio, '.2f'):>24}")
    rate, used = matrix_rate(), table[0][1] * 6 * (V * D + 12 * L * D * D) / 1e9
    print(f"a step computes at {used:.0f} GFLOP/s, a product of its size at {rate:.0f} ({used / rate:.0%})")
    print(f"\n{'GPT of 3.3 million, writing':<32} {'tokens/s':>12} {'the course is faster by':>24}")
    for name, speed, ratio in generation():
        print(f"{name:<32} {speed:>12.0f} {'x' + format(ratio, '.2f'):>24}")
    print(f"\n{'SmolLM2, a line that repeats':<32} {'tokens/s':>12} {'the first is faster by':>24}")
    for name, speed, ratio in drafts():
        print(f"{name:<32} {speed:>12.1f} {'x' + format(ratio, '.2f'):>24}")
    print("\nSmolLM2, k tokens at once:", *(f"{k}: {ms:.0f} ms" for k, ms in at_once()), sep="   ")
