"""`python -m prepare.masking FOLDER` measures what the share of hidden tokens and their three fates are good for.

The tiny BERT of chapter 3 goes on from its committed weights for 400 steps of 16 pairs, the same pairs in the same order
for each seed: with 15% of the tokens hidden in BERT's way (80/10/10), with 15% that all become [MASK], and with 40% in
BERT's way. Told are the loss at [MASK] on the held-out riddles, how often a token that stands there is taken for itself,
and what a linear classifier makes of the frozen vectors of film reviews (4,000 to learn from; the validation split).
Writes embedded/masking.json.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.material.assets import FOLDER
from coursekit.material.controls import standardised
from coursekit.material.data import movie_snippets, prose_tokenizer
from coursekit.material.models import tiny_bert_weights
from prepare.filling_in import Mean, by_ours, encoded, read_by_a_line
from prepare.tiny_bert import ROOT, chapter_names, seeded

WAYS = {"15%, 80/10/10": (0.15, 0.8, 0.1), "15%, all [MASK]": (0.15, 1.0, 0.0), "40%, 80/10/10": (0.4, 0.8, 0.1)}
SEEDS, STEPS, SIZE, RATE = (0, 1), 400, 16, 1e-3


def hiding(share: float, masked: float, random: float):
    """The chapter's mask_tokens with other shares."""

    def mask_tokens(ids: Tensor, real: Tensor, special: list[int], mask_id: int, V: int, g: torch.Generator):
        word = real & ~torch.isin(ids, torch.tensor(special))
        chosen = word & (torch.rand(ids.shape, generator=g) < share)
        fate = torch.rand(ids.shape, generator=g)
        other = torch.randint(V, ids.shape, generator=g)
        hidden = torch.where(chosen & (fate < masked), mask_id, ids)
        hidden = torch.where(chosen & (fate >= masked) & (fate < masked + random), other, hidden)
        return hidden, torch.where(chosen, ids, -100)

    return mask_tokens


@torch.no_grad()
def at_masks(model: Any, riddles: list, mask_id: int) -> dict[str, float]:
    """Loss and share of right tokens where [MASK] stands, and how often a token that stands there is left standing."""
    losses, kept = [], []
    model.eval()
    for ids, segments, real, labels, _ in riddles:
        X, _ = model(ids, segments, real)
        hidden = (labels != -100) & (ids == mask_id)
        losses.append(F.cross_entropy(model.words(X[hidden]), labels[hidden], reduction="none"))
        shown = real & (labels == -100) & (torch.rand(ids.shape, generator=seeded(3)) < 0.1)
        kept.append(model.words(X[shown]).argmax(-1) == ids[shown])
    return {"loss": torch.cat(losses).mean().item(), "kept": torch.cat(kept).float().mean().item()}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "masking.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = {(row["way"], row["seed"]) for row in rows}
    chapter = chapter_names(ROOT / "chapters" / "03_bert.py")
    tokenizer, movies = prose_tokenizer(), movie_snippets()
    parts = {"train": movies.train[:4000], "validation": movies.validation}
    reviews = {name: encoded(tokenizer, part) for name, part in parts.items()}
    labels = {name: part.labels for name, part in parts.items()}
    riddles = chapter["riddles"]
    for seed, (way, shares) in itertools.product(SEEDS, WAYS.items()):
        if (way, seed) in done:
            continue
        began = time.perf_counter()
        chapter["masked"] = hiding(*shares)
        torch.manual_seed(seed)
        model = chapter["Pretraining"](chapter["V"], 128, 3, 4, chapter["longest"])
        model.load_state_dict(tiny_bert_weights())
        optimizer, schedule = chapter["with_warm_up"](model, RATE, STEPS)
        epochs = (
            chapter["pair_batches"](chapter["training"], SIZE, seeded(1000 * seed + e)) for e in itertools.count()
        )
        batches = itertools.islice(itertools.chain.from_iterable(epochs), STEPS)
        for _ in chapter["pretrain"](model, optimizer, schedule, batches):
            pass
        found = at_masks(model, riddles, tokenizer.mask_token_id)
        reader = Mean(by_ours, model.bert)
        vectors = (pooled(reader, reviews[name], tokenizer.pad_token_id) for name in ("train", "validation"))
        learned, new = standardised(*vectors)
        # The test split is not read: the validation split stands in its place.
        right = read_by_a_line(
            {"train": learned, "validation": new, "test": new}, labels | {"test": labels["validation"]}
        )
        row = {
            "way": way,
            "seed": seed,
            **found,
            "reviews": right["validation"],
            "seconds": round(time.perf_counter() - began),
        }
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        rows.append(row)
        print(row, flush=True)
    report = {"command": "python -m prepare.masking run", "steps": STEPS, "batch": SIZE, "rate": RATE, "rows": rows}
    (FOLDER / "masking.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
