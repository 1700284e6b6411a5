"""Chapter 01: an epoch, byte pairs and reverse mode beside other libraries' and a plain loop, in one run."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bench.speeds import rows, taking_turns
from coursekit.material.handwriting import digits

MEASURED = ("core.loop", "core.autograd", "core.bpe")
WIDTH, BATCH, RATE = 64, 32, 1e-3
CHARACTERS, MERGES = 200_000, 1_000
IMAGES, HIDDEN, PIXELS = 16, 16, 784  # of one batch of digits, 200,000 products in an engine of single numbers
Rows = list[tuple[str, float, float]]


def chapter_names() -> dict[str, Any]:
    """What the set-up and the solutions of the chapter define that is measured here."""
    from prepare.cells import CHAPTERS, names_of

    return names_of(CHAPTERS / "01_core_concepts.py", lambda cell: cell.keys.get("exercise") in MEASURED)


class _Scored(nn.Module):
    """A network as transformers' Trainer asks for it: it computes its own loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.network(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))


def _trainer(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Any:
    from transformers import Trainer, TrainingArguments

    pairs = [{"x": x, "labels": y} for x, y in zip(images, labels, strict=True)]
    settings: dict[str, Any] = {"per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": RATE}
    settings |= {"weight_decay": 0.0, "max_grad_norm": 1.0, "lr_scheduler_type": "constant", "logging_strategy": "no"}
    settings |= {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "use_cpu": True, "optim": "adamw_torch"}
    return Trainer(model=model, args=TrainingArguments(tempfile.mkdtemp(), **settings), train_dataset=pairs)


def epochs() -> Rows:
    """Images a second of one epoch at equal batches, optimiser, rate and clipping."""
    train_epoch = chapter_names()["train_epoch"]
    training, _ = digits()
    loader = DataLoader(TensorDataset(training.images, training.labels), batch_size=BATCH, shuffle=True)
    model, other, third = _network(), _network(), _network()
    tools = [torch.optim.AdamW(one.parameters(), lr=RATE, weight_decay=0.0) for one in (model, other)]
    trainer = _trainer(_Scored(third), training.images, training.labels)

    def plain() -> None:
        for x, y in loader:
            tools[1].zero_grad()
            F.cross_entropy(other(x), y).backward()
            nn.utils.clip_grad_norm_(other.parameters(), 1.0)
            tools[1].step()

    def theirs() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()

    ways: dict[str, Callable[[], object]] = {
        "the chapter's epoch": lambda: train_epoch(model, loader, tools[0], lambda step: RATE, 0, 1.0, "cpu"),
        "transformers' Trainer": theirs,
        "a plain PyTorch loop": plain,
    }
    return rows(taking_turns(ways), len(training))


def byte_pairs() -> Rows:
    """Characters a second of learning merges. Raises AssertionError where the first two learn other merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from coursekit.material.data import prose_texts
    from grader.exercises import trusted

    text = "\n".join(prose_texts()[0])[:CHARACTERS]
    recounting = chapter_names()["train"]
    incremental, _, _ = trusted("core.bpe").alternatives["incremental"]

    def theirs() -> None:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=256 + MERGES, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator([text], trainer)

    assert incremental(text, 50) == recounting(text, 50), "the two ways learn other merges"
    ways: dict[str, Callable[[], object]] = {
        "counts kept up to date": lambda: incremental(text, MERGES),
        "counted anew for each merge": lambda: recounting(text, MERGES),
        "tokenizers": theirs,
    }
    return rows(taking_turns(ways), CHARACTERS)


class _Number:
    """An engine of single numbers, as micrograd has it: every number is a node."""

    def __init__(self, data: float, parents: tuple = (), slopes: tuple = ()) -> None:
        self.data, self.grad, self.parents, self.slopes = data, 0.0, parents, slopes

    def __add__(self, other: _Number) -> _Number:
        return _Number(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: _Number) -> _Number:
        return _Number(self.data * other.data, (self, other), (other.data, self.data))

    def relu(self) -> _Number:
        return _Number(max(self.data, 0.0), (self,), (float(self.data > 0),))

    def backward(self) -> None:
        order: list[_Number] = []
        seen, stack = set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack += [(node, True), *((parent, False) for parent in node.parents)]
        self.grad = 1.0
        for node in reversed(order):
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                parent.grad += slope * node.grad


def engines() -> Rows:
    """Gradients of one batch through one hidden layer, batches a second. Raises AssertionError where they differ."""
    Value = chapter_names()["Value"]
    g = torch.Generator().manual_seed(0)
    X, W = torch.randn(IMAGES, PIXELS, generator=g), torch.randn(PIXELS, HIDDEN, generator=g)

    def ours() -> torch.Tensor:
        weights = Value(W)
        (Value(X) @ weights).relu().sum().backward()
        return weights.grad

    def single() -> torch.Tensor:
        x = [[_Number(n) for n in row] for row in X.tolist()]
        w = [[_Number(n) for n in row] for row in W.tolist()]
        total = _Number(0.0)
        for row in x:
            for k in range(HIDDEN):
                h = _Number(0.0)
                for one, weight in zip(row, w, strict=True):
                    h = h + one * weight[k]
                total = total + h.relu()
        total.backward()
        return torch.tensor([[n.grad for n in row] for row in w])

    torch.testing.assert_close(ours(), single())
    return rows(taking_turns({"the chapter's Value": ours, "an engine of single numbers": single}), 1)


def main() -> None:
    for title, unit, found in (
        ("an epoch of 4,000 digits", "images/s", epochs()),
        (f"{MERGES:,} merges from {CHARACTERS:,} characters", "characters/s", byte_pairs()),
        ("gradients of one batch", "batches/s", engines()),
    ):
        print(f"\n{title:<42} {unit:>14} {'the first is':>14}")
        for name, speed, times in found:
            print(f"{name:<42} {speed:>14,.1f} {times:>8.2f} times")


if __name__ == "__main__":
    main()
