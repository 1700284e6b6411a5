"""What a graded notebook hands over: a safetensors file for each exercise, written by `check`, judged elsewhere.

The kernel that writes it is not trusted, so whoever reads it believes nothing: no pickle, no size, no name.
"""

from __future__ import annotations

import builtins
import functools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.observing import PRINT_LIMIT, Outcome, observe_all
from coursekit.checking.packing import restored, storable
from coursekit.checking.store import read as read_known
from coursekit.checking.surroundings import LEFT_BEHIND
from kernelkit.files import replace as replace_file

# Folders that the grader names in the kernel's environment: what to ask, and where the answers go.
QUESTIONS, ANSWERS = "COURSEKIT_QUESTIONS", "COURSEKIT_ANSWERS"
CHECK = "coursekit_check"  # in the metadata of the request that runs a check cell: its exercise
HEADER_LIMIT = 1 << 20  # bytes of names, shapes and notes
TEXT_LIMIT = 2_000  # characters of one error message
TOO_LONG = "the check took longer than a cell may take and was interrupted: is there a loop that does not end?"


class Unreadable(ValueError):
    """The file is not what `check` writes; the message says in what respect."""


@dataclass(frozen=True)
class Handed:
    """What one check cell handed over: an outcome for each case, or the sentence with which the call was refused."""

    outcomes: tuple[Outcome, ...]
    refused: str = ""


def asked() -> bool:
    """Whether this process runs for a grader, which wants outcomes in place of a verdict."""
    return QUESTIONS in os.environ and ANSWERS in os.environ


def wanted(exercise_id: str) -> bool:
    """Whether the cell that runs now is the exercise's check cell, and not a trial of the learner's."""
    from IPython import get_ipython

    request: dict = getattr(get_ipython(), "get_parent", dict)()
    return request.get("metadata", {}).get(CHECK) == exercise_id


def question_files(exercise_id: str) -> tuple[str, str]:
    """Where the public cases of an exercise lie, and the secret ones: in files of their own, which are read quickly."""
    return f"{exercise_id}.public.safetensors", f"{exercise_id}.secret.safetensors"


def hand_over(exercise: Exercise, objects: tuple[Any, ...], refused: str = "") -> None:
    """Run the grader's cases on `objects` and leave what happened where the grader looks for it."""
    files = () if refused else [Path(os.environ[QUESTIONS]) / name for name in question_files(exercise.id)]
    cases = [case for file in files for case in read_known(file, exercise.id).cases]
    try:
        outcomes = observe_all(exercise, objects, cases)
    except KeyboardInterrupt:  # the grader's: a check cell has only so much time
        outcomes, refused = [], TOO_LONG
    # A kernel that is killed while it writes leaves no half file.
    replace_file(Path(os.environ[ANSWERS]) / f"{exercise.id}.safetensors", dump(Handed(tuple(outcomes), refused)))


def dump(handed: Handed) -> bytes:
    """The bytes of one exercise's file."""
    tensors = {
        f"{i}/{name}": value.cpu().clone(memory_format=torch.contiguous_format)
        for i, outcome in enumerate(handed.outcomes)
        for name, value in (outcome.outputs or {}).items()
    }
    notes = [
        {
            "names": None if o.outputs is None else list(o.outputs),
            "kind": o.kind[:TEXT_LIMIT],
            "problem": o.problem[:TEXT_LIMIT],
            "changed": o.changed,
            "printed": o.printed,
            "left": o.left,
        }
        for o in handed.outcomes
    ]
    return save_tensors(storable(tensors), {"coursekit": json.dumps({"outcomes": notes, "refused": handed.refused})})


def read(data: bytes, cases: Sequence[Case], wanted: Callable[[int], Outputs]) -> Handed:
    """What is handed over in `data`: one outcome for each of `cases`.

    `wanted(i)` gives tensors by the names that case i must have; it is asked only where the case claims to have
    any. Raises Unreadable where the file is not a safetensors file of that many outcomes. A case whose tensors are
    missing becomes an outcome without outputs: it is wrong, and says so.
    """
    notes, tensors = _parsed(data)
    if refused := _text(notes.get("refused")):
        return Handed((), refused)
    found = notes.get("outcomes")
    if not isinstance(found, list) or len(found) != len(cases):
        raise Unreadable(f"it holds {len(found) if isinstance(found, list) else 'no'} cases, expected {len(cases)}")
    pairs = enumerate(zip(cases, found, strict=True))
    return Handed(tuple(_outcome(i, case, note, wanted, tensors) for i, (case, note) in pairs))


def _parsed(data: bytes) -> tuple[dict[str, Any], Outputs]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(HEADER_LIMIT, len(data) - 8):
        raise Unreadable(f"{len(data)} bytes with a header of {size} are not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + size])
        notes = json.loads(header["__metadata__"]["coursekit"])
        # The format's own reader proves that shapes, dtypes and offsets fit the bytes before it makes a tensor.
        tensors = restored(load_tensors(data))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        raise Unreadable(f"it is not what check writes ({type(error).__name__})") from error
    if not isinstance(notes, dict):
        raise Unreadable("its notes are not an object")
    return notes, tensors


def _outcome(i: int, case: Case, note: Any, wanted: Callable[[int], Outputs], tensors: Outputs) -> Outcome:
    note = note if isinstance(note, dict) else {}
    changed, left = note.get("changed"), note.get("left")
    told = Outcome(
        None,
        _named(_text(note.get("kind"))) if case.hidden else _text(note.get("kind")),
        _text(note.get("problem")) or "the check handed over no result",
        # Of any length and with any text it could say a hidden input: only what the case is made of has a name.
        tuple(name for name in case.inputs if name in changed) if isinstance(changed, list) else (),
        _text(note.get("printed"))[:PRINT_LIMIT],
        tuple(name for name in LEFT_BEHIND if isinstance(left, list) and name in left),
    )
    if note.get("names") is None:
        return told
    rights = wanted(i)
    outputs = {name: tensors[f"{i}/{name}"] for name in rights if f"{i}/{name}" in tensors}
    if missing := [name for name in rights if name not in outputs]:
        return replace(told, kind="missing", problem=f"the check handed over no {' and no '.join(missing)}")
    for name, right in rights.items():
        if name.startswith("_") and not _like(outputs[name], right):
            return replace(told, kind="measurement", problem=f"the measurement {name} is not one")
    return replace(told, outputs=outputs, problem="")


def _like(value: torch.Tensor, right: torch.Tensor) -> bool:
    """Laws compute with measurements: they must be finite numbers of the expected shape."""
    same = value.shape == right.shape and value.is_floating_point() == right.is_floating_point()
    return same and not value.is_complex() and bool(torch.isfinite(value.double()).all())


def _named(kind: str) -> str:
    """A kind of problem under a name that the learner's code did not make up: it could spell a hidden input."""
    name, colon, rest = kind.partition(":")
    return kind if not kind or name in _known_kinds() else f"{Exception.__name__}{colon}{rest}"


@functools.cache
def _known_kinds() -> frozenset[str]:
    """The kinds that are coursekit's own, and the names of Python's and torch's exceptions."""
    places = (builtins, torch, torch.cuda, torch.linalg)
    found = (value for place in places for value in vars(place).values() if isinstance(value, type))
    return frozenset({"Wrong", "missing", *(kind.__name__ for kind in found if issubclass(kind, BaseException))})


def _text(value: Any) -> str:
    """Text from the learner's process: bounded, and without what cannot be encoded."""
    text = value if isinstance(value, str) else ""
    return text[:TEXT_LIMIT].encode("utf-8", "replace").decode("utf-8")
