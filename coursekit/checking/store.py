"""Public reference tensors: cases, expected outputs and what known mistakes do, one safetensors file a chapter."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import coursekit
from coursekit.checking.contract import Case, Outputs
from coursekit.checking.judging import KnownMistake
from coursekit.checking.observing import Outcome
from coursekit.checking.packing import Rows, restored, storable, taken
from coursekit.exercises import chapter_of

NOTES = "notes"  # beside the rows of numbers: which of them is what

FOLDER = Path(coursekit.__file__).parent / "generated" / "reference"


class StoreError(RuntimeError):
    """The reference tensors cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Known:
    """What is publicly known of one exercise: cases, the expected outputs of each, and known mistakes."""

    cases: tuple[Case, ...]
    expected: tuple[Outputs, ...]
    mistakes: tuple[KnownMistake, ...]


def load(exercise_id: str, folder: Path | None = None) -> Known:
    """The public tensors of one exercise. Raises StoreError where the file is missing or damaged."""
    return read((folder or FOLDER) / f"{chapter_of(exercise_id).slug}.safetensors", exercise_id)


def read(path: Path, exercise_id: str) -> Known:
    """What one file holds of an exercise. Raises StoreError."""
    try:
        with safe_open(path, framework="pt") as file:
            own = [name for name in file.keys() if name.startswith(f"{exercise_id}/")]  # noqa: SIM118 (no dict)
            rows = restored({name.removeprefix(f"{exercise_id}/"): file.get_tensor(name) for name in own})
            if NOTES not in rows:
                raise StoreError(f"{path.name} holds nothing for {exercise_id}: run `make tensors`")
            return _unpack(_from_bytes(rows[NOTES]), rows.__getitem__)
    except (OSError, SafetensorError, zlib.error) as error:
        raise StoreError(
            f"the reference tensors {path.name} cannot be read ({error}): reinstall coursekit, or run `make tensors`"
        ) from error


def dump(known: dict[str, Known]) -> bytes:
    """A chapter's public tensors as the bytes of a safetensors file: same content, same bytes."""
    tensors: Outputs = {}
    for id, item in known.items():
        rows = Rows()
        # Each exercise's notes by themselves: who asks for one need not read the others'.
        tensors[f"{id}/{NOTES}"] = _as_bytes(_pack(item, rows))
        tensors |= rows.whole(id)
    return save(storable(tensors))


def _as_bytes(notes: dict[str, Any]) -> Tensor:
    """Compressed, for names and places repeat themselves: they took more room than the numbers."""
    return torch.frombuffer(
        bytearray(zlib.compress(json.dumps(notes, separators=(",", ":")).encode(), 9)), dtype=torch.uint8
    )


def _from_bytes(notes: Tensor) -> dict[str, Any]:
    return json.loads(zlib.decompress(notes.numpy().tobytes()))


def _pack(known: Known, rows: Rows) -> dict[str, Any]:
    def keep(named: Outputs) -> dict[str, list]:
        return {name: rows.put(value) for name, value in named.items()}

    cases = []
    for case, expected in zip(known.cases, known.expected, strict=True):
        given = {n: v for n, v in case.inputs.items() if isinstance(v, Tensor)}
        plain = {n: v for n, v in case.inputs.items() if n not in given}
        cases.append(
            {
                "part": case.part,
                "label": case.label,
                "again": case.again,
                "order": list(case.inputs),
                "tensors": keep(given),
                "strides": {n: v.stride() for n, v in given.items() if not v.is_contiguous()},
                "plain": plain,
                "expected": keep(expected),
            }
        )
    mistakes = []
    for mistake in known.mistakes:
        outcomes = [_differing(o, right, keep) for o, right in zip(mistake.outcomes, known.expected, strict=True)]
        mistakes.append({"name": mistake.name, "sentence": mistake.sentence, "outcomes": outcomes})
    return {"cases": cases, "mistakes": mistakes}


def _differing(outcome: Outcome, right: Outputs, keep: Callable[[Outputs], dict]) -> dict[str, Any]:
    """What tells an outcome from a right one, and nothing else: most mistakes are right on most cases."""
    said = {"kind": outcome.kind, "changed": outcome.changed, "left": outcome.left}
    note: dict[str, Any] = {name: value for name, value in said.items() if value}
    if outcome.outputs is None:
        return note | {"own": None}
    if own := {n: v for n, v in outcome.outputs.items() if n not in right or not _equal(v, right[n])}:
        note["own"] = keep(own)
    if list(outcome.outputs) != list(right):
        note["names"] = list(outcome.outputs)
    return note


def _unpack(note: dict[str, Any], row: Callable[[str], Tensor]) -> Known:
    def fetch(places: dict[str, list]) -> Outputs:
        return {name: taken(place, row) for name, place in places.items()}

    cases, expected = [], []
    for c in note["cases"]:
        given = fetch(c["tensors"])
        given |= {name: _laid_out(given[name], strides) for name, strides in c["strides"].items()}
        given |= c["plain"]
        cases.append(Case(c["part"], c["label"], {name: given[name] for name in c["order"]}, again=c["again"]))
        expected.append(fetch(c["expected"]))
    mistakes = []
    for m in note["mistakes"]:
        outcomes = [_outcome(o, right, fetch) for o, right in zip(m["outcomes"], expected, strict=True)]
        mistakes.append(KnownMistake(m["name"], m["sentence"], tuple(outcomes)))
    return Known(tuple(cases), tuple(expected), tuple(mistakes))


def _outcome(note: dict[str, Any], right: Outputs, fetch: Callable[[dict], Outputs]) -> Outcome:
    outputs = None
    if (places := note.get("own", {})) is not None:
        own = fetch(places)
        outputs = {name: own[name] if name in own else right[name] for name in note.get("names", right)}
    changed, left = (tuple(note.get(name, ())) for name in ("changed", "left"))
    return Outcome(outputs, note.get("kind", ""), changed=changed, left=left)


def _laid_out(x: Tensor, strides: list[int]) -> Tensor:
    """The same numbers with these distances in memory, also where entries share a place or places lie between them."""
    once = x[tuple(slice(1) if stride == 0 else slice(None) for stride in strides)]
    return torch.empty_strided(once.shape, strides, dtype=x.dtype).copy_(once).expand(x.shape)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
