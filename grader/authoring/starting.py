"""`python -m grader new chapter.exercise`: both halves, the test's place and the cells, from templates."""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from grader.authoring.numbering import ID

TEMPLATES = Path(__file__).with_name("templates")


class StartError(Exception):
    """The exercise cannot be begun; the message says why, and what to do."""


@dataclass(frozen=True)
class Started:
    """The files that were written, the chapter's text, and the cells to be put into it."""

    files: tuple[Path, ...]
    chapter: Path
    cells: str


def start(root: Path, exercise_id: str) -> Started:
    """Write both halves and the test of a new exercise, and list it last in its chapter.

    Raises StartError, before anything is written, for an id that is none or is taken, and for an unknown chapter.
    """
    if not re.fullmatch(ID, exercise_id) or keyword.iskeyword(exercise_id.partition(".")[2]):
        raise StartError(f"{exercise_id!r} is no id: write it as chapter.verb_or_noun in small letters")
    group, name = exercise_id.split(".")
    listing = root / "coursekit" / "exercises" / group / "__init__.py"
    if not listing.exists():
        known = ", ".join(sorted(path.parent.name for path in listing.parents[1].glob("*/__init__.py")))
        raise StartError(f"there is no chapter {group!r}, only {known}: write coursekit/exercises/{group}/__init__.py")
    files = {
        root / "coursekit" / "exercises" / group / f"{name}.py": "public",
        root / "coursekit" / "library" / group / f"{name}.py": "library",
        root / "grader" / "exercises" / group / f"{name}.py": "trusted",
        _test(root, group, name): "test",
    }
    source = listing.read_text(encoding="utf-8")
    chapter = _chapter(source)
    if exercise_id in ast.literal_eval(chapter["exercises"]):
        raise StartError(f"{exercise_id} is listed in coursekit/exercises/{group}/__init__.py already")
    for path in files:
        if path.exists():
            raise StartError(f"{path.relative_to(root).as_posix()} is there already")
    for path, template in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template, exercise_id), encoding="utf-8", newline="\n")
    listing.write_text(_listed(source, chapter["exercises"], exercise_id), encoding="utf-8", newline="\n")
    text = root / "chapters" / f"{ast.literal_eval(chapter['slug'])}.py"
    return Started((*files, listing), text, _filled("cells", exercise_id))


def _test(root: Path, group: str, name: str) -> Path:
    """A test's file is named as the exercise; after the chapter too, where another chapter has an exercise like it."""
    folder = root / "tests" / "coursekit" / "exercises"
    path = folder / f"test_{name}.py"
    return folder / f"test_{group}_{name}.py" if path.exists() else path


def _filled(template: str, exercise_id: str) -> str:
    name = exercise_id.partition(".")[2]
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    for key, value in {"id": exercise_id, "name": name, "title": name.replace("_", " ").capitalize()}.items():
        text = text.replace(f"<<{key}>>", value)
    return text


def _chapter(source: str) -> dict[str, ast.expr]:
    """What the chapter says of itself, by the names of `Chapter`'s arguments."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    call = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Chapter")
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _listed(source: str, exercises: ast.expr, exercise_id: str) -> str:
    """The source with one more id at the end of the list, which may be empty or on one line."""
    assert isinstance(exercises, ast.Tuple)
    if not exercises.elts:
        return source.replace("exercises=()", f'exercises=("{exercise_id}",)')
    last = exercises.elts[-1]
    lines = source.splitlines(keepends=True)
    assert last.end_lineno is not None
    row, column = last.end_lineno - 1, last.end_col_offset
    between = ",\n" + " " * last.col_offset if lines[row].strip().startswith(('"', "'")) else ", "
    lines[row] = f'{lines[row][:column]}{between}"{exercise_id}"{lines[row][column:]}'
    return "".join(lines)
