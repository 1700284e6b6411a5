"""The public halves of all exercises: `attention.sdpa` is `coursekit/exercises/attention/sdpa.py`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from coursekit.checking.contract import Chapter, Exercise


class UnknownExercise(LookupError):
    """No exercise has this id; the message names the nearest ids."""


def chapters() -> list[Chapter]:
    """Every chapter with exercises, in the order of its slug."""
    folders = (m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)
    found = (importlib.import_module(f"{__name__}.{folder}").CHAPTER for folder in folders)
    return sorted(found, key=lambda chapter: chapter.slug)


def chapter_of(exercise_id: str) -> Chapter:
    """The chapter that holds `exercise_id`. Raises UnknownExercise."""
    for chapter in chapters():
        if exercise_id in chapter.exercises:
            return chapter
    known = [e for chapter in chapters() for e in chapter.exercises]
    near = difflib.get_close_matches(str(exercise_id), known, n=3) or known[:3]
    raise UnknownExercise(f"no exercise is called {exercise_id!r}; did you mean {' or '.join(map(repr, near))}?")


def find(exercise_id: str) -> Exercise:
    """The exercise with this id. Raises UnknownExercise."""
    chapter_of(exercise_id)
    return importlib.import_module(f"{__name__}.{exercise_id}").EXERCISE
