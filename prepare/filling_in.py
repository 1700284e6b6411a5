"""`python -m prepare.filling_in FOLDER` measures when filling in tokens helps to judge film reviews: chapter 3.

The tiny BERT of the chapter from three starts (random; after the prose; after the prose and then the reviews, without
their labels), frozen, with a linear classifier on the mean of the last layer, beside counting words and the packaged
encoder, with 100 to 6,400 labels; and fine-tuned as a whole with 400. Three draws of the labels each. Every choice
(strength of the penalty, best step) is made on the validation split, and the test split is read once for each row.
FOLDER keeps each row as it comes, so that a run that was stopped goes on where it was. Writes embedded/filling_in.json.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.material.assets import FOLDER
from coursekit.material.controls import counted_words, linear_classifier, standardised
from coursekit.material.data import Movies, Rated, movie_snippets, prose_tokenizer
from coursekit.material.models import load_encoder, tiny_bert_weights
from prepare.tiny_bert import chapter_names, seeded

LABELS, SEEDS = (100, 400, 1600, 6400), (0, 1, 2)
SIZE = 32
ADAPT: dict[str, Any] = {"epochs": 15, "rate": 2e-3}  # filling in tokens of the reviews
TUNE: dict[str, Any] = {"labels": 400, "rate": 5e-4, "steps": 120}
LONGEST = 64
SPLITS = ("train", "validation", "test")
COUNTED, PACKAGED = "counted words", "packaged encoder"

Rows = list[tuple[list[int], int]]


def batches(rows: Rows, size: int, pad: int, g: torch.Generator | None) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(ids, real, labels) of rows of like length, filled up to the longest; shuffled where `g` is given."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    for k in torch.randperm(len(groups), generator=g).tolist() if g else range(len(groups)):
        some = [rows[i] for i in groups[k]]
        T = max(len(ids) for ids, _ in some)
        ids = torch.tensor([ids + [pad] * (T - len(ids)) for ids, _ in some])
        real = torch.arange(T) < torch.tensor([[len(ids)] for ids, _ in some])
        yield ids, real, torch.tensor([label for _, label in some])


def encoded(tokenizer: Any, part: Rated) -> Rows:
    ids = tokenizer(part.texts, truncation=True, max_length=LONGEST)["input_ids"]
    return list(zip(ids, part.labels.tolist(), strict=True))


class Mean(nn.Module):
    """The mean of an encoder's real tokens."""

    def __init__(self, read: Callable[[nn.Module, Tensor, Tensor], Tensor], encoder: nn.Module):
        super().__init__()
        self.encoder, self.read = encoder, read

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        X = self.read(self.encoder, ids, real)
        return (X * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)


def by_ours(bert: nn.Module, ids: Tensor, real: Tensor) -> Tensor:
    return bert(ids, torch.zeros_like(ids), real)


def by_theirs(bert: nn.Module, ids: Tensor, real: Tensor) -> Tensor:
    return bert(ids, attention_mask=real).last_hidden_state


def read_by_a_line(features: dict[str, Tensor], labels: dict[str, Tensor]) -> dict[str, float]:
    """A linear classifier on the training features, with the penalty that does best on the validation split."""
    parts = {name: (features[name], labels[name]) for name in ("validation", "test")}
    return linear_classifier(features["train"], labels["train"], parts)


def counting(parts: dict[str, Rated]) -> dict[str, float]:
    """Which words and pairs of words a text holds, and a linear classifier."""
    features, _ = counted_words(parts["train"].texts, {name: part.texts for name, part in parts.items()})
    return read_by_a_line(features, {name: part.labels for name, part in parts.items()})


@torch.no_grad()
def pooled(model: Mean, rows: Rows, pad: int) -> Tensor:
    """The mean of each row's real tokens, in the order of the rows."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    Y = torch.cat([model.eval()(ids, real) for ids, real, _ in batches(rows, 128, pad, None)])
    return torch.empty_like(Y).index_copy_(0, torch.tensor(order), Y)


def fine_tuned(model: Mean, D: int, rows: dict[str, Rows], pad: int, rate: float, steps: int, g) -> dict[str, Any]:
    """Every weight learns; the weights that do best on the validation split, looked at four times."""
    head = nn.Linear(D, 2)
    drop = nn.Dropout(0.1)
    weights = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=0.01)

    def share(step: int) -> float:
        return min((step + 1) / max(steps // 10, 1), (steps - step) / (steps - steps // 10))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    best: dict[str, Any] = {"validation": -1.0}
    step = 0
    while step < steps:
        for ids, real, labels in batches(rows["train"], SIZE, pad, g):
            model.train()
            F.cross_entropy(head(drop(model(ids, real))), labels).backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step % max(steps // 4, 1) == 0 or step == steps:
                right = accuracy(model, head, rows["validation"], pad)
                if right > best["validation"]:
                    best = {"validation": right, "step": step}
                    kept = copy.deepcopy((model.state_dict(), head.state_dict()))
            if step == steps:
                break
    model.load_state_dict(kept[0])
    head.load_state_dict(kept[1])
    return best | {"test": accuracy(model, head, rows["test"], pad)}


@torch.no_grad()
def accuracy(model: Mean, head: nn.Module, rows: Rows, pad: int) -> float:
    model.eval()
    right = [(head(model(ids, real)).argmax(-1) == y).sum().item() for ids, real, y in batches(rows, 128, pad, None)]
    return sum(right) / len(rows)


def adapted(
    chapter: dict[str, Any], start: dict[str, Tensor] | None, rows: Rows, epochs: int, say
) -> dict[str, Tensor]:
    """The weights after filling in tokens of the reviews, whose labels nobody reads."""
    tokenizer = prose_tokenizer()
    special = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    torch.manual_seed(0)
    model = chapter["Pretraining"](chapter["V"], 128, 3, 4, LONGEST)
    if start:
        model.load_state_dict(start)
    g = seeded(7)
    steps = epochs * -(-len(rows) // SIZE)
    optimizer, schedule = chapter["with_warm_up"](model, ADAPT["rate"], steps)
    for epoch in range(epochs):
        total, count = 0.0, 0
        for ids, real, _ in batches(rows, SIZE, tokenizer.pad_token_id, g):
            model.train()
            hidden, labels = chapter["mask_tokens"](ids, real, special, tokenizer.mask_token_id, chapter["V"], g)
            X, _ = model(hidden, torch.zeros_like(ids), real)
            loss = chapter["masked_word_loss"](model.words, X, labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            total, count = total + loss.item(), count + 1
        if epoch % 5 == 4:
            say(f"epoch {epoch + 1}: loss {total / count:.3f}")
    return model.state_dict()


def tiny_starts(chapter: dict[str, Any], folder: Path, rows: Rows, say) -> dict[str, dict[str, Tensor] | None]:
    """The weights of each start of the tiny BERT; None is a random one."""
    prose = tiny_bert_weights()
    starts: dict[str, dict[str, Tensor] | None] = {"random": None, "prose": prose}
    for name, start in (("prose, reviews", prose),):
        path = folder / f"{name.replace(', ', '_')}.pt"
        if not path.exists():
            began = time.perf_counter()
            torch.save(adapted(chapter, start, rows, ADAPT["epochs"], say), path)
            say(f"{name}: {time.perf_counter() - began:.0f} s")
        starts[name] = torch.load(path, weights_only=True)
    return starts


@dataclass(eq=False)
class Experiment:
    """What all measurements share: the chapter's names, the splits as each tokenizer cuts them, where rows are kept."""

    folder: Path
    chapter: dict[str, Any] = field(default_factory=chapter_names)
    movies: Movies = field(default_factory=movie_snippets)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "rows.jsonl"
        self.tiny, self.encoder = prose_tokenizer(), load_encoder("fast")
        self.rows = {name: encoded(self.tiny, getattr(self.movies, name)) for name in SPLITS}
        self.theirs = {name: encoded(self.encoder.tokenizer, getattr(self.movies, name)) for name in SPLITS}
        self.starts = tiny_starts(self.chapter, self.folder, self.rows["train"], say)

    def measured(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def measure(self, model: str, read: str, n: int, seed: int) -> None:
        """A row of the table, unless it is there already."""
        if any((r["model"], r["read"], r["labels"], r["seed"]) == (model, read, n, seed) for r in self.measured()):
            return
        began = time.perf_counter()
        torch.manual_seed(seed)
        row = {"model": model, "read": read, "labels": n, "seed": seed} | self.result(model, read, n, seed)
        row["seconds"] = round(time.perf_counter() - began, 1)
        with self.log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(row)

    def result(self, model: str, read: str, n: int, seed: int) -> dict[str, float]:
        order = torch.randperm(len(self.movies.train), generator=seeded(seed))[:n].tolist()
        if model == COUNTED:
            train = Rated([self.movies.train.texts[i] for i in order], self.movies.train.ratings[order])
            return counting({"train": train, "validation": self.movies.validation, "test": self.movies.test})
        packaged = model == PACKAGED
        rows, tokenizer = (self.theirs, self.encoder.tokenizer) if packaged else (self.rows, self.tiny)
        rows = rows | {"train": [rows["train"][i] for i in order]}
        if read == "frozen":
            labels = {name: torch.tensor([y for _, y in part]) for name, part in rows.items()}
            vectors = self.vectors(model, seed if model == "random" else 0)
            learned, *others = standardised(vectors["train"][order], vectors["validation"], vectors["test"])
            return read_by_a_line(dict(zip(SPLITS, (learned, *others), strict=True)), labels)
        reader = self.tiny_bert(model, seed)
        return fine_tuned(reader, 128, rows, tokenizer.pad_token_id, TUNE["rate"], TUNE["steps"], seeded(seed))

    @functools.cache  # noqa: B019 # there is one experiment, which lives as long as the process
    def vectors(self, model: str, seed: int) -> dict[str, Tensor]:
        """The frozen vectors of every sentence of each split."""
        reader = self.packaged() if model == PACKAGED else self.tiny_bert(model, seed)
        rows, tokenizer = (self.theirs, self.encoder.tokenizer) if model == PACKAGED else (self.rows, self.tiny)
        return {name: pooled(reader, part, tokenizer.pad_token_id) for name, part in rows.items()}

    def tiny_bert(self, start: str, seed: int) -> Mean:
        torch.manual_seed(seed)
        model = self.chapter["Pretraining"](self.chapter["V"], 128, 3, 4, LONGEST)
        if weights := self.starts[start]:
            model.load_state_dict(weights)
        return Mean(by_ours, model.bert)

    def packaged(self) -> Mean:
        """The packaged encoder, whose embeddings stay frozen as in the chapter."""
        model = Mean(by_theirs, copy.deepcopy(self.encoder.model))
        model.encoder.embeddings.requires_grad_(False)
        return model


def say(line: Any) -> None:
    print(line, flush=True)


def main() -> None:
    experiment = Experiment(Path(sys.argv[1]))
    for n, seed in itertools.product(LABELS, SEEDS):
        experiment.measure(COUNTED, "linear", n, seed)
        for model in (*experiment.starts, PACKAGED):
            experiment.measure(model, "frozen", n, seed)
    for seed, model in itertools.product(SEEDS, experiment.starts):
        experiment.measure(model, "fine-tuned", TUNE["labels"], seed)
    report: dict[str, Any] = {
        "command": "python -m prepare.filling_in run",
        "torch": torch.__version__,
        "adapt": ADAPT,
        "tune": TUNE,
    }
    report["rows"] = experiment.measured()
    (FOLDER / "filling_in.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
