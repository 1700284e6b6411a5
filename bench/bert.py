"""Chapter 03: the course's loops against transformers', on the same model and data, in one run."""

from __future__ import annotations

import contextlib
import copy
import io
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bench.speeds import ROUNDS, rows

ROOT = Path(__file__).parents[1]
PAIRS = 20  # batches of pairs
SENTENCES, BATCH = 192, 32


class _Reader(nn.Module):
    """transformers' BertModel, called as the course's classifier calls an encoder."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, ids, real):
        return self.bert(ids, attention_mask=real).last_hidden_state


def _examples():
    """Film snippets as lists of ids with their labels, a classifier for them, and the same in batches by length."""
    from coursekit.material.data import movie_snippets
    from coursekit.material.models import load_encoder
    from grader.exercises import trusted

    encoder, part = load_encoder("fast"), movie_snippets().train[:SENTENCES]
    sentences = encoder.tokenizer(part.texts, truncation=True, max_length=48)["input_ids"]
    pad, by_length, _ = trusted("bert.batches").reference
    rows = by_length([len(sentence) for sentence in sentences], BATCH)
    batches = [(*pad([sentences[i] for i in row], 0), part.labels[row]) for row in rows]
    torch.manual_seed(0)
    model = trusted("bert.classifier").alternatives["FromTorch"][0](_Reader(encoder.model), _mean, 384, 2, 0.1)
    model.encoder.bert.embeddings.requires_grad_(False)
    single = [{"ids": torch.tensor(s), "labels": label} for s, label in zip(sentences, part.labels, strict=True)]
    return model, batches, single


def _mean(X, real):
    return (X * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)


def _tools(model, fused=True):
    """AdamW as the chapter and Trainer have it: one kernel for all weights."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=fused)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def _course(model, batches, fused=True):
    from grader.exercises.bert.fine_tuning import train_as_in_the_chapter

    train_as_in_the_chapter(model, batches, *_tools(model, fused), 1.0, torch.device("cpu"))


def _trainer(model, data, collate, size):
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        "/tmp/coursekit-bench",
        num_train_epochs=1,
        per_device_train_batch_size=size,
        max_grad_norm=1.0,
        use_cpu=True,
        label_names=["labels"],
        remove_unused_columns=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )

    def loss(logits, labels, **_):
        return nn.functional.cross_entropy(logits, labels)

    trainer = Trainer(model, arguments, collate, data, compute_loss_func=loss, optimizers=_tools(model))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its own summary
        trainer.train()


def _padded(examples):
    """One batch as a collator of transformers makes it: filled up to its longest sentence."""
    ids = nn.utils.rnn.pad_sequence([e["ids"] for e in examples], batch_first=True)
    return {"ids": ids, "real": ids != 0, "labels": torch.stack([e["labels"] for e in examples])}


def fine_tuning() -> list[tuple[str, float, float]]:
    """Sentences per second of one epoch: median over rounds, in which the ways take turns."""
    model, batches, single = _examples()
    as_they_come = [tuple(_padded(single[i : i + BATCH]).values()) for i in range(0, SENTENCES, BATCH)]
    ready = [dict(zip(("ids", "real", "labels"), batch, strict=True)) for batch in batches]
    ways = {
        "the course's train": lambda m: _course(m, batches),
        "the same, AdamW not fused": lambda m: _course(m, batches, fused=False),
        "the same, batches as they come": lambda m: _course(m, as_they_come),
        "Trainer, the same batches": lambda m: _trainer(m, ready, lambda one: one[0], 1),
        "Trainer, its own batches": lambda m: _trainer(m, single, _padded, BATCH),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            fresh = copy.deepcopy(model)
            started = time.perf_counter()
            way(fresh)
            seconds[name].append(time.perf_counter() - started)
    return rows(seconds, SENTENCES)


def pretraining() -> list[tuple[str, float, float]]:
    """Tokens per second of pretraining steps: the chapter's cells against transformers' model, taking turns."""
    from prepare.tiny_bert import SIZE, SIZES, chapter_names, seeded

    names = chapter_names()
    batches = list(names["pair_batches"](names["held_out"], SIZE, seeded(0)))[:PAIRS]
    torch.manual_seed(0)
    course = names["Pretraining"](names["V"], **SIZES, longest=names["longest"])
    theirs = _for_pretraining(names["V"], names["longest"], **SIZES)
    tools = {model: names["with_warm_up"](model, 1e-4, 10 * ROUNDS * PAIRS) for model in (course, theirs)}
    ways: dict[str, Callable[[], object]] = {
        "the chapter's pretrain": lambda: list(names["pretrain"](course, *tools[course], batches)),
        "transformers' model, same loop": lambda: _pretrain(theirs, tools[theirs], batches),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    tokens = sum(int(real.sum()) for _, _, real, _, _ in batches)
    return rows(seconds, tokens)


def _for_pretraining(V, longest, D, L, H):
    """transformers' BERT with both heads, as large as the chapter's, without dropout like it."""
    from transformers import BertConfig, BertForPreTraining

    sizes = {"vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": H}
    sizes |= {"intermediate_size": 4 * D, "max_position_embeddings": longest}
    return BertForPreTraining(BertConfig(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))


def _pretrain(model, tools, batches):
    optimizer, schedule = tools
    model.train()
    for ids, segments, real, labels, is_next in batches:
        inputs = {"input_ids": ids, "token_type_ids": segments, "attention_mask": real, "labels": labels}
        loss = model(**inputs, next_sentence_label=1 - is_next).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()


def main() -> None:
    print(f"\nfine-tuning, batches of {BATCH}{'':9} {'sentences/s':>12} {'the course is faster by':>24}")
    for name, speed, ratio in fine_tuning():
        print(f"{name:<32} {speed:>12.1f} {'x' + format(ratio, '.2f'):>24}")
    print(f"\n{'pretraining, tiny BERT':<32} {'tokens/s':>12} {'the course is faster by':>24}")
    for name, speed, ratio in pretraining():
        print(f"{name:<32} {speed:>12.0f} {'x' + format(ratio, '.2f'):>24}")
