"""`make tensors`: run reference and mistakes on the public cases and store what learners may compare with."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch

from coursekit.checking import store
from coursekit.checking.comparing import close
from coursekit.checking.contract import Exercise
from coursekit.exercises import chapter_of, chapters, find
from grader.contract import Trusted
from grader.drawing import draw, known_mistakes
from grader.exercises import trusted
from grader.proving.processes import each
from grader.proving.seeds import PUBLIC


def public(exercise: Exercise, secret: Trusted) -> store.Known:
    """Cases from the public seed, the reference's outputs, and what the mistakes do on them. Raises RuntimeError."""
    drawn = draw(exercise, secret, PUBLIC)
    return store.Known(drawn.cases, drawn.expected, tuple(known_mistakes(exercise, secret, drawn.cases)))


def write(ids: Collection[str] = (), folder: Path = store.FOLDER, jobs: int = 1) -> list[Path]:
    """Write the files of all chapters, or of those with the given exercises; returns the paths.

    With `ids` only these are computed: the others in a file stay what they are, to the byte. Raises UnknownExercise,
    StoreError where one that stays is not there, RuntimeError where a reference fails.
    """
    wanted = {id: chapter_of(id) for id in ids or [id for chapter in chapters() for id in chapter.exercises]}
    made = {id: pickle.loads(data) for id, data in each(_pickled, wanted, jobs)}
    contents = {}
    for chapter in dict.fromkeys(wanted.values()):
        known = {id: made[id] if id in made else store.load(id, folder) for id in chapter.exercises}
        contents[folder / f"{chapter.slug}.safetensors"] = store.dump(known)
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in contents.items():
        path.write_bytes(data)
    return list(contents)


def _pickled(exercise_id: str) -> bytes:
    """As bytes, for between processes torch would put every tensor into a file of shared memory."""
    return pickle.dumps(public(find(exercise_id), trusted(exercise_id)))


def differences(committed: store.Known, made: store.Known, exercise: Exercise) -> Iterator[str]:
    """A sentence for each way in which the committed tensors are not those that `make tensors` makes now.

    Inputs are drawn, so they are equal to the bit, unless they are trained; outputs may differ in the last bit between
    processors.
    """
    for kind, names in (("mistakes", _mistakes), ("cases", _cases)):
        if (old := names(committed)) != (new := names(made)):
            changed = sorted({str(x[:2]) for x in {*old} ^ {*new}}) or ["their order"]
            yield f"the committed tensors have other {kind} ({', '.join(changed)}): run `make tensors`"
            return
    for was, case in zip(committed.cases, made.cases, strict=True):
        changed = [name for name in case.inputs if not _equal(was.inputs[name], case.inputs[name])]
        if changed and not exercise.trained:
            yield f"the committed inputs of {case.label!r} are others ({', '.join(changed)}): run `make tensors`"
    for case, known, right in zip(made.cases, committed.expected, made.expected, strict=True):
        if changed := [name for name in known | right if not _close(known.get(name), right.get(name), exercise)]:
            yield f"the committed answers to {case.label!r} are others ({', '.join(changed)}): run `make tensors`"


def _mistakes(known: store.Known) -> list[tuple[str, ...]]:
    return [(mistake.name, mistake.sentence) for mistake in known.mistakes]


def _cases(known: store.Known) -> list[tuple[str, ...]]:
    return [(case.part, case.label, *case.inputs) for case in known.cases]


def _equal(old: Any, new: Any) -> bool:
    """Equal numbers in the same places of memory."""
    if not torch.is_tensor(new):
        # As it comes back from a file, where a tuple is a list. By its text, for NaN equals no number.
        return repr(old) == repr(json.loads(json.dumps(new)))
    return torch.is_tensor(old) and torch.equal(old, new) and (old.dtype, old.stride()) == (new.dtype, new.stride())


def _close(old: torch.Tensor | None, new: torch.Tensor | None, exercise: Exercise) -> bool:
    if old is None or new is None or (old.shape, old.dtype) != (new.shape, new.dtype):
        return False
    return bool(close(old, new, exercise.tolerance.get(new.dtype)).all())
