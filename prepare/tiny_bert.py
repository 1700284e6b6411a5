"""`python -m prepare.tiny_bert FOLDER [CHAPTER]` trains chapter 3's tiny BERT for longer than a learner would wait.

It runs the chapter's own cells with their solutions: the exercises that pretraining needs, and the cells that define
the names below. Each epoch has a seed of its own, and FOLDER keeps what the next one needs, so that a run that was
stopped goes on where it was. Writes embedded/tiny_bert.safetensors (float16) and tiny_bert.json: sizes,
seed, seconds and the curve on the held-out documents.
"""

from __future__ import annotations

import ast
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from coursekit.material.assets import FOLDER
from grader.authoring.chapter import Cell
from prepare.cells import CHAPTERS, names_of

EXERCISES = {"batches", "embeddings", "encoder_layer", "mask_tokens", "mlm_head", "sentence_pairs"}
NAMES = {"TinyBert", "Pretraining", "pair_batches", "pretrain", "scores", "documents"}
# How the chapter calls an answer once it has passed its check.
SHORT = {"padded": "pad", "by_length": "batches_by_length", "masked": "mask_tokens", "paired": "sentence_pairs"}
SIZES = {"D": 128, "L": 3, "H": 4}
SEED, EPOCHS, SIZE, RATE = 0, 14, 32, 2e-3


def chapter_names(path: Path = CHAPTERS / "03_bert.py") -> dict[str, Any]:
    """What the cells of the chapter's pretraining define."""
    return names_of(path, wanted, solved)


def solved(names: dict[str, Any]) -> None:
    """The solutions stand in for a learner's answers, which pass their checks."""
    names["profile"] = "fast"  # all of the text, whatever the environment says
    names["use"] = lambda _, *objects: objects[0] if len(objects) == 1 else objects
    names |= {short: names[long] for short, long in SHORT.items() if long in names}


def wanted(cell: Cell) -> bool:
    """Whether pretraining needs the cell: its exercises, and the cells that define its names."""
    if "exercise" in cell.keys:
        return cell.keys["exercise"].removeprefix("bert.") in EXERCISES
    return bool(NAMES & set(defined(cell.source)))


def defined(source: str) -> list[str]:
    """The names that the top level of a cell's code defines."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.append(node.name)
        if isinstance(node, ast.Assign):
            found += [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return found


def train(chapter: dict[str, Any], folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights after EPOCHS, and the run's report; goes on from what `folder` holds."""
    torch.manual_seed(SEED)
    model = chapter["Pretraining"](chapter["V"], **SIZES, longest=chapter["longest"])
    steps = EPOCHS * sum(1 for _ in chapter["pair_batches"](chapter["training"], SIZE, seeded(0)))
    optimizer, schedule = chapter["with_warm_up"](model, RATE, steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    state = folder / "state.pt"
    done: dict[str, Any] = {"epochs": 0, "seconds": 0.0, "tokens": 0, "curve": []}
    if state.exists():
        saved = torch.load(state, weights_only=True)
        done = saved.pop("done")
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for epoch in range(done["epochs"], EPOCHS):
        started, losses = time.perf_counter(), []
        batches = list(chapter["pair_batches"](chapter["training"], SIZE, seeded(epoch)))
        losses = list(chapter["pretrain"](model, optimizer, schedule, batches))
        word, follows = torch.tensor(losses).mean(0).tolist()
        done["seconds"] += time.perf_counter() - started
        done["tokens"] += sum(int(real.sum()) for _, _, real, _, _ in batches)
        done["epochs"] = epoch + 1
        held = chapter["scores"](model, chapter["riddles"])
        names = ("step", "word_loss", "next_loss", "held_out_word_loss", "words_right", "pairs_right")
        row = (len(batches) * (epoch + 1), *(round(x, 4) for x in (word, follows, *held)))
        done["curve"].append(dict(zip(names, row, strict=True)))
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"done": done}, state)
        print(f"{done['seconds']:.0f} s", done["curve"][-1], flush=True)
    report = {"V": chapter["V"], **SIZES, "longest": chapter["longest"], "seed": SEED, "batch": SIZE, "rate": RATE}
    report |= {"steps": steps, "tokens": done["tokens"], "seconds": round(done["seconds"]), "curve": done["curve"]}
    return model.state_dict(), report | {"unigram": round(chapter["unigram"], 4)}


def seeded(epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * SEED + epoch)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    chapter = chapter_names(*map(Path, sys.argv[2:3]))
    weights, report = train(chapter, folder)
    # The decoder's weight is the embedding: one of the two names is enough.
    small = {name: w.half().contiguous() for name, w in weights.items() if name != "words.decoder.weight"}
    save_file(small, FOLDER / "tiny_bert.safetensors")
    (FOLDER / "tiny_bert.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
