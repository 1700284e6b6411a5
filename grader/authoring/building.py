"""`chapters/` -> `solutions/` (executed) -> `course/` (released). Both folders are wholly generated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from grader.authoring import chapter, notebook
from grader.authoring.chapter import BuildError, Specs, Text


@dataclass(frozen=True)
class Built:
    """One chapter's two files, as text."""

    slug: str
    solution: str
    course: str


def build(root: Path, *, check: bool = False, fresh: bool = False, specs=chapter.load_specs) -> list[str]:
    """Make solutions/ and course/ from chapters/; returns one sentence for every file that changed.

    With `check` nothing is executed or written: the sentences say what a build would change. `fresh` executes
    even where nothing has changed. Raises BuildError when a chapter is refused.
    """
    paths = sorted((root / "chapters").glob("[0-9][0-9]_*.py"))
    if not paths:
        raise BuildError(f"no chapter found in {root.name}/chapters; expected files named NN_slug.py")
    notes = _strays(root, {path.stem for path in paths})
    for path in paths:
        text = chapter.read(path, root)
        known = specs(text.slug)
        chapter.judge(text, known)
        notes += _check(root, text, known) if check else _build(root, text, known, fresh)
    return notes


def solution_path(root: Path, slug: str) -> Path:
    return root / "solutions" / slug / f"{slug}.ipynb"


def course_path(root: Path, slug: str) -> Path:
    return root / "course" / slug / f"{slug}.ipynb"


def inputs_hash(root: Path, cells: NotebookNode, slug: str) -> str:
    """A hash of all that can change the outputs: the code cells, coursekit, the chapter's tensors, this code.

    Prose is not in it: a chapter whose text alone was edited keeps its outputs.
    """
    digest = hashlib.sha256()
    for cell in cells.cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode() + b"\0")
    for name, path in _dependencies(root, slug):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _dependencies(root: Path, slug: str) -> list[tuple[str, Path]]:
    """(name, path) of every file that a chapter's outputs depend on; other chapters' tensors do not count."""
    found = [("executing.py", Path(__file__).with_name("executing.py"))]
    for path in sorted((root / "coursekit").rglob("*")):
        others = path.parent.name == "reference" and path.stem != slug
        if path.is_file() and path.suffix != ".pyc" and not others:
            found.append((path.relative_to(root).as_posix(), path))
    return found


def assemble(root: Path, expanded: NotebookNode, slug: str, inputs: str) -> Built:
    """Both files' text. The solution carries a hash of its inputs and of what is released from it."""
    expanded.metadata.coursekit["inputs"] = inputs
    config = notebook.nbgrader_config(root)
    released, _ = notebook.release(expanded, config)
    expanded.metadata.coursekit["release"] = notebook.sources_hash(released)
    _, course = notebook.release(expanded, config)
    return Built(slug, notebook.write(expanded), course)


def _build(root: Path, text: Text, specs: Specs, fresh: bool) -> list[str]:
    from grader.authoring.executing import execute

    expanded = notebook.expand(text, specs)
    inputs = inputs_hash(root, expanded, text.slug)
    old = _read(solution_path(root, text.slug))
    notes = []
    if old and not fresh and _inputs(old) == inputs:
        _graft_outputs(expanded, old)
    else:
        expanded = execute(expanded, root, text.name)
        notes.append(f"{text.name}: executed")
    return notes + _write(root, assemble(root, expanded, text.slug, inputs))


def _graft_outputs(new: NotebookNode, old: NotebookNode) -> None:
    """Give the new code cells the old ones' outputs; equal inputs mean the same code cells."""
    code = [[c for c in n.cells if c.cell_type == "code"] for n in (new, old)]
    for cell, done in zip(*code, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count


def _write(root: Path, built: Built) -> list[str]:
    notes = []
    for path, text in (
        (solution_path(root, built.slug), built.solution),
        (course_path(root, built.slug), built.course),
    ):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if path.is_relative_to(root / "course"):
            notes += _set_aside(root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        notes.append(f"{path.relative_to(root).as_posix()}: written")
    return notes


def _set_aside(root: Path, path: Path) -> list[str]:
    """Copy a released notebook that somebody wrote in to work/, under a name that is still free."""
    if not path.exists() or not _edited(path):
        return []
    folder = root / "work" / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    number = next(n for n in range(1, 10**6) if not (folder / f"{path.stem}-{n}.ipynb").exists())
    copy = folder / f"{path.stem}-{number}.ipynb"
    copy.write_bytes(path.read_bytes())
    was, now = (p.relative_to(root).as_posix() for p in (path, copy))
    return [f"{was}: somebody wrote in it, so what was written is now {now}"]


def _edited(path: Path) -> bool:
    """Whether the cells differ from what was released; those of a file that cannot be read do."""
    found = _read(path)
    return found is None or notebook.sources_hash(found) != found.metadata.get("coursekit", {}).get("release")


def _check(root: Path, text: Text, specs: Specs) -> list[str]:
    expanded = notebook.expand(text, specs)
    inputs = inputs_hash(root, expanded, text.slug)
    path = solution_path(root, text.slug)
    name = path.relative_to(root).as_posix()
    old = _read(path)
    if old is None:
        return [f"{name}: missing or damaged"]
    if _inputs(old) != inputs:
        return [f"{name}: its outputs are stale, for the chapter's code, coursekit or the tensors have changed"]
    _graft_outputs(expanded, old)
    built = assemble(root, expanded, text.slug, inputs)
    course = course_path(root, text.slug)
    files = ((path, built.solution), (course, built.course))
    return [
        f"{p.relative_to(root).as_posix()}: differs from what the build makes"
        for p, wanted in files
        if not p.exists() or p.read_text(encoding="utf-8") != wanted
    ]


def _strays(root: Path, slugs: set[str]) -> list[str]:
    """A sentence for every folder in solutions/ or course/ that no chapter makes."""
    folders = (p for f in ("solutions", "course") for p in sorted((root / f).glob("*")) if p.is_dir())
    return [f"{p.relative_to(root).as_posix()}: no chapter makes it; delete it" for p in folders if p.name not in slugs]


def _inputs(found: NotebookNode | None) -> str | None:
    return found.metadata.get("coursekit", {}).get("inputs") if found else None


def _read(path: Path) -> NotebookNode | None:
    """The notebook at `path`; None where there is none or none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, KeyError, nbformat.ValidationError):
        return None
