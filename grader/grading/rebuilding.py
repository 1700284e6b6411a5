"""Rebuild a submission from the release: the learner's part is source text, and nothing else of the file is kept.

What runs: set-up cells, exercise cells and check cells, every code cell that the learner added or changed, and of the
demonstrations what those read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import nbformat
from nbformat import NotebookNode

from coursekit.checking.names import Names, called, names_of
from coursekit.checking.needing import Cell, needs
from coursekit.notebook.reading import Unreadable
from grader.authoring.notebook import grade_id_of
from grader.grading.placing import Placed, answers, is_answer, place
from grader.grading.theirs import FLAGS, Theirs, read

_SETUP_TAGS = frozenset({"setup", "parameters"})
_MANY = 4  # flags of one kind, from which on one sentence says it for all


@dataclass(frozen=True)
class Rebuilt:
    """A valid notebook without outputs, and the indices of its cells that are executed, in order.

    Of a cell in `provided` these statements run. By the grade id of a check cell: `notes` are for the learner, and
    `problems` say why the check cannot hand anything over, where the text tells.
    """

    notebook: NotebookNode
    runs: tuple[int, ...]
    reason: str
    flags: tuple[str, ...]
    provided: dict[int, tuple[str, ...]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Made:
    """One cell of the rebuilt notebook, what it binds and reads, and whether it runs."""

    cell: NotebookNode
    names: Names
    runs: bool
    untouched: bool = False  # an answer cell that is as it was released


def rebuild(release: NotebookNode, submitted: bytes | None) -> Rebuilt:
    """The release with the learner's sources; never raises for what `submitted` is."""
    try:
        theirs = read(submitted)
    except Unreadable as error:
        reason = "" if submitted is None else f"the notebook cannot be read: {error}. Open it in JupyterLab and save it"
        return Rebuilt(_empty(release), (), reason, (reason,) if reason else ())
    placed = place(release, theirs)
    notebook = _empty(release)
    made = list(_made(release, placed))
    notebook.cells = [one.cell for one in made]
    found = needs([_as_needing(one) for one in made])
    runs = tuple(i for i, one in enumerate(made) if (one.runs and one.cell.source.strip()) or i in found.provided)
    provided = {i: tuple(s.source for s in statements) for i, statements in found.provided.items()}
    told = {grade_id_of(made[i].cell): _unwritten(made, i, found.reached[i]) for i in found.reached}
    told |= {grade_id_of(made[i].cell): _late(read) for i, read in found.late.items()}
    return Rebuilt(
        notebook,
        runs,
        "",
        (*_suspicions(release, theirs, placed), *placed.flags),
        provided,
        _by_check(release, placed.notes) | {id: note for id, note in told.items() if note},
        dict(_problems(release, placed)),
    )


def _empty(release: NotebookNode) -> NotebookNode:
    copy = nbformat.from_dict(json.loads(json.dumps(release)))
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy


class _Ids:
    """Ids for the learner's cells, which meet none of the release's and are the same each time."""

    def __init__(self, release: NotebookNode) -> None:
        self._taken, self._next = {cell.get("id") for cell in release.cells}, 0

    def fresh(self) -> str:
        while True:
            self._next += 1
            if (id := f"learner-{self._next}") not in self._taken:
                return id


def _made(release: NotebookNode, placed: Placed) -> Iterator[_Made]:
    """The cells of the rebuilt notebook, in order."""
    ids = _Ids(release)
    for index in range(-1, len(release.cells)):
        if index >= 0:
            runs = index not in placed.idle
            yield from _merged(release.cells[index], placed.cells.get(index), ids, runs)
        yield from (_new(their, ids) for their in placed.added.get(index, ()))


def _merged(mine: NotebookNode, their: Theirs | None, ids: _Ids, runs: bool) -> Iterator[_Made]:
    """One released cell with what the learner made of it."""
    cell = nbformat.from_dict(json.loads(json.dumps(mine)))
    code = cell.cell_type == "code"
    if code:
        cell.outputs, cell.execution_count = [], None
    changed = their is not None and their.source.rstrip() != cell.source.rstrip()
    released = names_of(cell.source) if code else Names()
    if is_answer(cell):
        if their:
            cell.source = their.source
            _show_pictures(cell, their)
        found = their.names if their and changed else released
        yield _Made(cell, found if runs else Names(), code and runs, not changed)
    elif grade_id_of(cell):
        yield _Made(cell, released, code)
    elif code and _SETUP_TAGS & set(cell.metadata.get("tags", ())):
        # The release's runs in any case: exercises are promised its names. The learner's follows, it may import more.
        yield _Made(cell, released, True)
        if their and changed:
            yield _new(their, ids)
    elif their and (changed or their.kind != cell.cell_type):
        yield _new(their, ids)
    else:
        yield _Made(cell, released, False)


def _new(their: Theirs, ids: _Ids) -> _Made:
    make = nbformat.v4.new_code_cell if their.kind == "code" else nbformat.v4.new_markdown_cell
    cell = make(their.source, id=ids.fresh())
    _show_pictures(cell, their)
    return _Made(cell, their.names, their.kind == "code")


def _show_pictures(cell: NotebookNode, their: Theirs) -> None:
    if cell.cell_type == "markdown" and their.pictures:
        cell.attachments = nbformat.from_dict(their.pictures)


def _as_needing(made: _Made) -> Cell:
    graded = made.cell.cell_type == "code" and made.cell.metadata.get("nbgrader", {}).get("grade")
    return Cell(made.names, made.runs, called(made.cell.source, "check")[1] if graded else ())


def _late(found: Iterable[str]) -> str:
    """What a learner is told of names that an answer reads, and that are defined only further down."""
    said = ", ".join(f"`{name}`" for name in sorted(found)[:5])
    return f"The answer reads {said}, which is defined below this check only: define it above, or in the answer itself."


def _unwritten(made: list[_Made], check: int, reached: Iterable[int]) -> str:
    """What a learner is told where an answer calls others that are not written: then it cannot be right."""
    own = max((i for i in range(check) if is_answer(made[i].cell) and made[i].cell.cell_type == "code"), default=-1)
    stubs = [made[i] for i in sorted(reached) if made[i].untouched and i != own]
    if not stubs or made[own].untouched:
        return ""
    said = ", ".join(f"`{name}`" for stub in stubs for name in sorted(stub.names.binds))
    return f"The answer calls what other exercises ask for and what is not written yet: {said}."


def _by_check(release: NotebookNode, notes: dict[str, str]) -> dict[str, str]:
    """Notes on answer cells, by their check cells' ids."""
    pairs = dict(_checks(release))
    return {pairs[id]: note for id, note in notes.items() if id in pairs}


def _checks(release: NotebookNode) -> Iterator[tuple[str, str]]:
    """The grade ids of each answer cell for code and of its check cell."""
    answer = ""
    for cell in release.cells:
        if cell.cell_type == "code" and grade_id_of(cell):
            if is_answer(cell):
                answer = grade_id_of(cell)
            elif answer:
                yield answer, grade_id_of(cell)
                answer = ""


def _problems(release: NotebookNode, placed: Placed) -> Iterator[tuple[str, str]]:
    """For each check whose answer's text cannot give it what it looks at, why."""
    checks = dict(_checks(release))
    for index, wanted in answers(release):
        their = placed.cells.get(index)
        if their is None or index in placed.idle:
            continue
        missing = [name for name in wanted if name not in their.names.binds]
        if their.names.problem:
            yield checks[grade_id_of(release.cells[index])], f"its cell is no Python: {their.names.problem}"
        elif their.names.statements and missing:
            said = " and no ".join(missing)
            yield checks[grade_id_of(release.cells[index])], f"its cell defines no {said}"


def _suspicions(release: NotebookNode, theirs: list[Theirs], placed: Placed) -> Iterator[str]:
    """What is not how a learner's Jupyter would have left it, in plain words."""
    count = Counter(their.grade_id for their in theirs if their.grade_id)
    first = {their.grade_id: their for their in reversed(theirs) if their.grade_id}
    lost = [i for i, cell in enumerate(release.cells) if grade_id_of(cell) and grade_id_of(cell) not in first]
    yield from _lost(release, lost, placed)
    for index, cell in enumerate(release.cells):
        id = grade_id_of(cell)
        if id and index not in lost:
            yield from _altered(cell, id, first[id], count[id])


def _lost(release: NotebookNode, lost: list[int], placed: Placed) -> Iterator[str]:
    if len(lost) > _MANY:
        found = sum(i in placed.cells for i in lost)
        yield (
            f"{len(lost)} answer and check cells were deleted or have lost their ids: {found} were found by what they "
            "hold, of the others the released ones are used"
        )
        return
    for i in lost:
        id, what = grade_id_of(release.cells[i]), "answer cell" if is_answer(release.cells[i]) else "check cell"
        stands = "it was found by what it holds" if i in placed.cells else "the released one is used"
        yield f"the {what} {id} was deleted or has lost its id: {stands}"


def _altered(cell: NotebookNode, id: str, their: Theirs, times: int) -> Iterator[str]:
    what = "answer cell" if is_answer(cell) else "check cell"
    if times > 1 and not is_answer(cell):
        yield f"the {what} {id} appears {times} times: the released one is used once"
    if their.kind != cell.cell_type:
        yield f"the {what} {id} was made a {their.kind} cell: it is used as {cell.cell_type}"
    if not is_answer(cell) and their.source.rstrip() != cell.source.rstrip():
        yield f"the {what} {id} was altered: the released one is used"
    changed = [name for name in FLAGS if their.marks.get(name, None) != cell.metadata.nbgrader.get(name, None)]
    if changed:
        yield f"the {what} {id} has other nbgrader metadata ({', '.join(changed)}): the release's count"
    if "skip-execution" in their.tags:
        yield f"the {what} {id} was tagged skip-execution: it ran all the same"
