"""`make tensors`: run reference and mistakes on the public cases and store what learners may compare with."""

from __future__ import annotations

from pathlib import Path

from coursekit.checking import store
from coursekit.checking.contract import Chapter
from coursekit.exercises import chapters, find
from grader.drawing import draw, known_mistakes
from grader.exercises import trusted
from grader.proving.seeds import PUBLIC


def public(exercise_id: str) -> store.Known:
    """Cases from the public seed, the reference's outputs, and what the mistakes do on them."""
    exercise, secret = find(exercise_id), trusted(exercise_id)
    drawn = draw(exercise, secret, PUBLIC)
    return store.Known(drawn.cases, drawn.expected, tuple(known_mistakes(exercise, secret, drawn.cases)))


def chapter_bytes(chapter: Chapter) -> bytes:
    """The safetensors file of one chapter."""
    return store.dump({exercise_id: public(exercise_id) for exercise_id in chapter.exercises})


def write(folder: Path = store.FOLDER) -> list[Path]:
    """Write every chapter's file; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chapter in chapters():
        path = folder / f"{chapter.slug}.safetensors"
        path.write_bytes(chapter_bytes(chapter))
        written.append(path)
    return written
