"""Which submitted cell stands for which released one: by ids and texts, else by the names that an answer defines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nbformat import NotebookNode

from coursekit.checking.names import called
from grader.authoring.notebook import grade_id_of
from grader.grading.theirs import Theirs

SHOWN = "*This stood in another cell of the notebook. It is shown here as it was written.*"
_WRITTEN = 200  # characters of a text far from an unanswered question from which on a person looks whether it answers


@dataclass
class Placed:
    """Submitted cells by the released cell that they stand for, and the added ones by the released cell above them.

    `moved` are released answer cells whose answer was found elsewhere, `idle` stubs that do not run, for the answer
    stands in a cell with another place. `notes` by grade id are for the learner, `flags` for the instructor.
    """

    cells: dict[int, Theirs] = field(default_factory=dict)
    added: dict[int, list[Theirs]] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    idle: set[int] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)


def place(release: NotebookNode, theirs: list[Theirs]) -> Placed:
    """Find the place of every submitted cell."""
    matches = _matches(release, theirs)
    placed = Placed({index: theirs[position] for position, index in matches.items()})
    above = -1
    for position, their in enumerate(theirs):
        if position in matches:
            above = matches[position]
        else:
            placed.added.setdefault(above, []).append(their)
    for index, names in answers(release):
        _find_answer(release, placed, index, names)
    for index, cell in enumerate(release.cells):
        if is_answer(cell) and cell.cell_type == "markdown":
            _find_text(release, placed, index)
    return placed


def is_answer(cell: NotebookNode) -> bool:
    """Whether a released cell is the learner's to write."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def answers(release: NotebookNode) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The released cells for code, each with the names that the check below it is given."""
    index = -1
    for i, cell in enumerate(release.cells):
        if cell.cell_type != "code":
            continue
        if is_answer(cell):
            index = i
        elif cell.metadata.get("nbgrader", {}).get("grade") and index >= 0:
            yield index, called(cell.source, "check")[1]
            index = -1


def _matches(release: NotebookNode, theirs: list[Theirs]) -> dict[int, int]:
    """The released cell of each submitted one that has one, by their places."""
    by_grade = {grade_id_of(cell): i for i, cell in enumerate(release.cells) if grade_id_of(cell)}
    by_id = {cell.id: i for i, cell in enumerate(release.cells) if cell.get("id")}
    by_text: dict[tuple[str, str], list[int]] = {}
    for i, cell in enumerate(release.cells):
        by_text.setdefault((cell.cell_type, cell.source.rstrip()), []).append(i)
    matches: dict[int, int] = {}
    free = set(range(len(release.cells)))

    def match(position: int, index: int | None) -> None:
        if index in free and position not in matches:
            matches[position] = index
            free.discard(index)

    # What carries a grade's id comes first, then ids, then texts: a copied id must not take an exercise's place.
    for position, their in enumerate(theirs):
        match(position, by_grade.get(their.grade_id))
    for position, their in enumerate(theirs):
        match(position, by_id.get(their.id))
    for position, their in enumerate(theirs):
        same = by_text.get((their.kind, their.source.rstrip()), ())
        match(position, next((i for i in same if i in free), None))
    return matches


def _find_answer(release: NotebookNode, placed: Placed, index: int, names: tuple[str, ...]) -> None:
    """Let cells that define an exercise's names stand for its own cell, where that one is not answered."""
    own, stub = placed.cells.get(index), release.cells[index]
    written = own is not None and own.source.rstrip() != stub.source.rstrip()
    if not names or (own is not None and written and set(names) <= own.names.binds):
        return
    rest = own if own is not None and written else None
    wanted = set(names) - (rest.names.binds if rest else set())
    order = [(i, their) for i in range(-1, len(release.cells)) for their in _written(release, placed, i)]
    last = {name: which for which, (_, their) in enumerate(order) for name in wanted & their.names.binds}
    if set(last) != wanted:
        return
    chosen = [order[which] for which in sorted(set(last.values()))]
    added = [(i, their) for i, their in chosen if any(their is one for one in placed.added.get(i, ()))]
    said, grade_id = " and ".join(f"`{name}`" for name in names), grade_id_of(stub)
    if added:
        for i, their in added:
            placed.added[i] = [one for one in placed.added[i] if one is not their]
        parts = [*([rest] if rest else []), *(their for _, their in added)]
        placed.cells[index] = Theirs("code", "\n\n".join(part.source for part in parts), names=parts[-1].names)
        placed.moved.add(index)
        placed.notes[grade_id] = f"What defines {said} stood in a cell of its own. It counts as the answer."
    elif all(i < index for i, _ in chosen):
        placed.idle.add(index)
        placed.notes[grade_id] = f"{said} stands in another cell, which counts as the answer."
    else:
        placed.notes[grade_id] = f"{said} stands in a cell below this check: move it into the exercise's own cell."


def _written(release: NotebookNode, placed: Placed, index: int) -> list[Theirs]:
    """The learner's code at a released cell's place, and what they added below it."""
    own = placed.cells.get(index)
    changed = own is not None and own.source.rstrip() != release.cells[index].source.rstrip()
    found = [*([own] if own is not None and changed else []), *placed.added.get(index, ())]
    return [their for their in found if their.kind == "code"]


def _find_text(release: NotebookNode, placed: Placed, index: int) -> None:
    """Show whoever marks a question what was written for it elsewhere, where its own cell holds no answer."""
    own, stub = placed.cells.get(index), release.cells[index]
    if own is not None and own.source.strip() and own.source.rstrip() != stub.source.rstrip():
        return
    near = [*placed.added.get(index - 1, ()), *placed.added.get(index, ())]
    texts = [text for their in near if (text := _prose(their))]
    pictures = {name: kinds for their in near for name, kinds in their.pictures.items()}
    for neighbour in (index - 1, index + 1):  # some write into the question, or into the text below it
        told = release.cells[neighbour] if 0 <= neighbour < len(release.cells) else None
        their = placed.cells.get(neighbour)
        if told is not None and their is not None and told.cell_type == "markdown" and not grade_id_of(told):
            known = {line.strip() for line in told.source.splitlines()}
            lines = [line for line in their.source.splitlines() if line.strip() not in known]
            texts += ["\n".join(lines)] if "".join(lines).strip() else []
            pictures |= their.pictures
    if not texts and not pictures:
        elsewhere = [their for cells in placed.added.values() for their in cells]
        texts = [text for their in elsewhere if len(text := _prose(their)) >= _WRITTEN]
    if texts or pictures:
        name = grade_id_of(stub)
        placed.cells[index] = Theirs("markdown", "\n\n".join([SHOWN, *texts]), pictures=pictures)
        placed.moved.add(index)
        placed.flags.append(
            f"the question {name} is not answered in its own cell: what stands elsewhere is shown there"
        )


def _prose(their: Theirs) -> str:
    """The text of a cell that may be an answer in words; so may code that is no Python or nothing but comments."""
    if their.kind != "code":
        return their.source.strip()
    lines = their.source.strip().splitlines()
    comments = bool(lines) and all(line.startswith("#") for line in lines if line.strip())
    return their.source.strip() if comments or their.names.problem else ""
