"""Public reference tensors: cases, expected outputs and what known mistakes do, one safetensors file a chapter."""

from __future__ import annotations

import json
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
from coursekit.exercises import chapter_of

FOLDER = Path(coursekit.__file__).parent / "generated" / "reference"


PAIRS = " (complex)"


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
            notes = json.loads((file.metadata() or {}).get("coursekit", "{}"))
            if exercise_id not in notes:
                raise StoreError(f"{path.name} holds nothing for {exercise_id}: run `make tensors`")
            names = {*file.keys()}
            return _unpack(
                exercise_id, json.loads(notes[exercise_id]), lambda name: _complex(name, names, file.get_tensor)
            )
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"the reference tensors {path.name} cannot be read ({error}): reinstall coursekit, or run `make tensors`"
        ) from error


def dump(known: dict[str, Known]) -> bytes:
    """A chapter's public tensors as the bytes of a safetensors file: same content, same bytes."""
    tensors: dict[str, Tensor] = {}
    # Each exercise's notes as a text of its own: who asks for one need not read the others'. Several entries of
    # safetensors' metadata would do as well, but are written in a random order.
    notes = {id: json.dumps(_pack(id, item, tensors), sort_keys=True) for id, item in known.items()}
    return save(storable(tensors), {"coursekit": json.dumps(notes)})


def _pack(exercise_id: str, known: Known, tensors: dict[str, Tensor]) -> dict[str, Any]:
    def keep(prefix: str, named: Outputs) -> list[str]:
        for name, value in named.items():
            tensors[f"{exercise_id}/{prefix}/{name}"] = value.clone(memory_format=torch.contiguous_format)
        return list(named)

    cases = []
    for i, (case, expected) in enumerate(zip(known.cases, known.expected, strict=True)):
        given = {n: v for n, v in case.inputs.items() if isinstance(v, Tensor)}
        plain = {n: v for n, v in case.inputs.items() if n not in given}
        cases.append(
            {
                "part": case.part,
                "label": case.label,
                "again": case.again,
                "order": list(case.inputs),
                "tensors": keep(f"{i}/in", given),
                "strides": {n: v.stride() for n, v in given.items() if not v.is_contiguous()},
                "plain": plain,
                "expected": keep(f"{i}/out", expected),
            }
        )
    mistakes = []
    for mistake in known.mistakes:
        outcomes: list[dict[str, Any] | None] = []
        for i, outcome in enumerate(mistake.outcomes):
            # An output equal to the expected one is not stored twice.
            right = known.expected[i]
            own = {n: v for n, v in (outcome.outputs or {}).items() if n not in right or not _equal(v, right[n])}
            same_names = outcome.outputs is not None and list(outcome.outputs) == list(right)
            if same_names and not own and not outcome.changed and not outcome.left:
                outcomes.append(None)  # most mistakes are right on most cases
                continue
            note: dict[str, Any] = {"kind": outcome.kind, "changed": outcome.changed, "left": outcome.left}
            if outcome.outputs is not None:
                note |= {"own": keep(f"{i}/{mistake.name}", own), "names": list(outcome.outputs)}
            outcomes.append(note)
        mistakes.append({"name": mistake.name, "sentence": mistake.sentence, "outcomes": outcomes})
    return {"cases": cases, "mistakes": mistakes}


def _unpack(exercise_id: str, note: dict[str, Any], get) -> Known:
    def fetch(prefix: str, names: list[str]) -> Outputs:
        return {name: get(f"{exercise_id}/{prefix}/{name}") for name in names}

    cases, expected = [], []
    for i, c in enumerate(note["cases"]):
        given = fetch(f"{i}/in", c["tensors"])
        given |= {name: _laid_out(given[name], strides) for name, strides in c["strides"].items()}
        given |= c["plain"]
        cases.append(Case(c["part"], c["label"], {name: given[name] for name in c["order"]}, again=c["again"]))
        expected.append(fetch(f"{i}/out", c["expected"]))
    mistakes = []
    for m in note["mistakes"]:
        outcomes = []
        for i, o in enumerate(m["outcomes"]):
            if o is None:
                outcomes.append(Outcome(dict(expected[i])))
                continue
            outputs: Outputs | None = None
            if "own" in o:
                own = fetch(f"{i}/{m['name']}", o["own"])
                outputs = {name: own[name] if name in own else expected[i][name] for name in o["names"]}
            outcomes.append(Outcome(outputs, o["kind"], changed=tuple(o["changed"]), left=tuple(o["left"])))
        mistakes.append(KnownMistake(m["name"], m["sentence"], tuple(outcomes)))
    return Known(tuple(cases), tuple(expected), tuple(mistakes))


def _laid_out(x: Tensor, strides: list[int]) -> Tensor:
    """The same numbers with these distances in memory, also where entries share a place or places lie between them."""
    once = x[tuple(slice(1) if stride == 0 else slice(None) for stride in strides)]
    return torch.empty_strided(once.shape, strides, dtype=x.dtype).copy_(once).expand(x.shape)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def storable(tensors: Outputs) -> Outputs:
    """The tensors, complex ones as pairs of real numbers under a name that says so: safetensors has no complex128."""
    return {
        name + PAIRS if x.is_complex() else name: torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        for name, x in tensors.items()
    }


def restored(tensors: Outputs) -> Outputs:
    """The tensors as they were before `storable`. Raises RuntimeError where what is named so is no pair of numbers."""
    return {
        name.removesuffix(PAIRS): torch.view_as_complex(x) if name.endswith(PAIRS) else x for name, x in tensors.items()
    }


def _complex(name: str, names: set[str], get: Callable[[str], Tensor]) -> Tensor:
    return get(name) if name in names else torch.view_as_complex(get(name + PAIRS))
