"""`chapters/` -> `solutions/` (executed) -> `course/` (released). Both folders are wholly generated.

In another language than English they lie in `editions/xx/`.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from coursekit import language
from grader import depending
from grader.authoring import asides, chapter, marking, naming, notebook, rhythm
from grader.authoring.chapter import BuildError, Text


@dataclass(frozen=True, eq=False)
class Draft:
    """A chapter that may be built: its text as a notebook without outputs, and a hash of what decides the outputs."""

    text: Text
    expanded: NotebookNode
    inputs: str


@dataclass(frozen=True)
class Built:
    """One chapter's two files, as text."""

    slug: str
    solution: str
    course: str


def build(root: Path, *, check: bool = False, fresh: bool = False, specs=chapter.load_specs) -> list[str]:
    """Make solutions/ and course/ from chapters/; returns one sentence for every file that changed.

    With `check` nothing is executed or written: the sentences say what a build would change. `fresh` executes
    even where nothing has changed. Raises BuildError when a chapter is refused; the others are written then.
    """
    paths = sorted((root / "chapters").glob("[0-9][0-9]_*.py"))
    if not paths:
        raise BuildError(f"no chapter found in {root.name}/chapters; expected files named NN_slug.py")
    notes = _strays(edition(root), {path.stem for path in paths})
    drafts = [draft(path, root, specs) for path in paths]
    if check:
        return notes + [note for draft in drafts for note in _check(root, draft)]
    return notes + _build(root, drafts, fresh)


def draft(path: Path, root: Path, specs: Callable[[str], chapter.Specs] = chapter.load_specs) -> Draft:
    """One chapter's draft in the language that is chosen. Raises BuildError, NoCatalogue."""
    text = _in_language(chapter.read(path, root), path.parent)
    known = specs(text.slug)
    chapter.judge(text, known, itertools.chain(*(look.refusals(text) for look in (naming, marking, rhythm, asides))))
    expanded = notebook.expand(text, known)
    return Draft(text, expanded, inputs_hash(expanded, text.slug))


def _in_language(text: Text, chapters: Path) -> Text:
    """The chapter with its header and prose in the language that is chosen. Raises NoCatalogue."""
    if not language.chosen():
        return text
    known = language.catalogue(language.chosen(), chapters).whole

    def told(value: Any) -> Any:
        return [*map(told, value)] if isinstance(value, list) else known.get(value, value)

    cells = (
        replace(cell, source="".join(map(told, chapter.paragraphs(cell.source)))) if cell.kind == "markdown" else cell
        for cell in text.cells
    )
    return replace(text, header={key: told(value) for key, value in text.header.items()}, cells=tuple(cells))


def edition(root: Path) -> Path:
    """The folder of solutions/ and course/ in the language that is chosen: `root` for English."""
    chosen = language.chosen()
    return root / "editions" / chosen if chosen else root


def solution_path(root: Path, slug: str) -> Path:
    return edition(root) / "solutions" / slug / f"{slug}.ipynb"


def course_path(root: Path, slug: str) -> Path:
    return edition(root) / "course" / slug / f"{slug}.ipynb"


def inputs_hash(cells: NotebookNode, slug: str) -> str:
    """A hash of all that can change the outputs: the code cells, and every file that they depend on.

    Prose is not in it: a chapter whose text alone was edited keeps its outputs. Nor are other chapters, although the
    map that `progress()` draws shows them: it is the author's own, and is not released.
    """
    sources = [cell.source for cell in cells.cells if cell.cell_type == "code"]
    files = depending.depends_on(slug, depending.OUTPUTS, sources) | language.files()
    return hashlib.sha256("\0".join([*sources, depending.digest(files)]).encode()).hexdigest()


def assemble(root: Path, expanded: NotebookNode, slug: str, inputs: str) -> Built:
    """Both files' text. The solution carries a hash of its inputs and of what is released from it."""
    expanded.metadata.coursekit["inputs"] = inputs
    config = notebook.nbgrader_config(root)
    released, _ = notebook.release(expanded, config)
    expanded.metadata.coursekit["release"] = notebook.sources_hash(released)
    _, course = notebook.release(expanded, config)
    return Built(slug, notebook.write(expanded), course)


def _build(root: Path, drafts: list[Draft], fresh: bool) -> list[str]:
    """Write every draft, with the outputs that it has already or new ones. Raises BuildError, one sentence a line."""
    old = {draft.text.slug: _read(solution_path(root, draft.text.slug)) for draft in drafts}
    tables = [note for draft in drafts for note in _write_table(root, draft)]  # the checks that now run read them
    stale = [draft for draft in drafts if fresh or _inputs(old[draft.text.slug]) != draft.inputs]
    done, refused = _executed(stale, root)
    notes = tables + [f"{draft.text.name}: executed" for draft in stale if draft.text.slug in done]
    for draft in drafts:
        known = old[draft.text.slug]
        if known and draft not in stale:
            _graft_outputs(draft.expanded, known)
            done[draft.text.slug] = draft.expanded
        if draft.text.slug in done:
            notes += _write(root, assemble(root, done[draft.text.slug], draft.text.slug, draft.inputs))
    if refused:
        raise BuildError("\n".join(refused))
    return notes


def _executed(stale: list[Draft], root: Path) -> tuple[dict[str, NotebookNode], list[str]]:
    """The notebooks with outputs by slug, and the refusals of those that cannot be built.

    Several run at the same time, each in a process of its own, so that Ctrl-C ends them all.
    """
    from grader.authoring.executing import execute

    cores = os.cpu_count() or 1
    jobs = min(len(stale), cores)
    if jobs < 2:
        runs = [functools.partial(execute, draft.expanded, root, draft.text.name) for draft in stale]
        return _collected(stale, runs)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        sent = [pool.submit(execute, d.expanded, root, d.text.name, threads=max(1, cores // jobs)) for d in stale]
        return _collected(stale, [future.result for future in sent])


def _collected(
    stale: list[Draft], results: Sequence[Callable[[], NotebookNode]]
) -> tuple[dict[str, NotebookNode], list[str]]:
    executed, refused = {}, []
    for draft, result in zip(stale, results, strict=True):
        try:
            executed[draft.text.slug] = result()
        except BuildError as error:
            refused.append(str(error))
    return executed, refused


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
        if path.is_relative_to(edition(root) / "course"):
            notes += _set_aside(root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        notes.append(f"{path.relative_to(root).as_posix()}: written")
    return notes


def _table(root: Path, draft: Draft) -> tuple[Path, str]:
    """What a chapter's checks know of its cells, and where they find it."""
    released, _ = notebook.release(draft.expanded, notebook.nbgrader_config(root))
    return root / naming.FOLDER / f"{draft.text.slug}.json", naming.table(released)


def _write_table(root: Path, draft: Draft) -> list[str]:
    path, text = _table(root, draft)
    if not (root / naming.FOLDER.parts[0]).is_dir() or (path.exists() and path.read_text(encoding="utf-8") == text):
        return []  # a course without coursekit of its own: its checks know no more than what was run
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
    return [f"{path.relative_to(root).as_posix()}: written"]


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


def _check(root: Path, draft: Draft) -> list[str]:
    path = solution_path(root, draft.text.slug)
    name = path.relative_to(root).as_posix()
    old = _read(path)
    if old is None:
        return [f"{name}: missing or damaged"]
    if _inputs(old) != draft.inputs:
        return [f"{name}: its outputs are stale, for the chapter's code or what it depends on has changed"]
    _graft_outputs(draft.expanded, old)
    built = assemble(root, draft.expanded, draft.text.slug, draft.inputs)
    files = [(path, built.solution), (course_path(root, draft.text.slug), built.course)]
    files += [_table(root, draft)] if (root / naming.FOLDER.parts[0]).is_dir() else []
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
