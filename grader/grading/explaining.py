"""What a kernel is sent for a rebuilt notebook, and what a learner is told where a check handed over nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from coursekit.checking.names import ours
from coursekit.exercises import find
from grader.authoring.notebook import grade_id, grade_id_of
from grader.grading.conversation import Cell
from grader.grading.placing import is_answer
from grader.grading.rebuilding import Rebuilt
from grader.grading.running import Ran

_NUMBERED = re.compile(r"\bcell (\d{1,6})\b")
_TOLD = 300  # characters of an error


def sent_cells(rebuilt: Rebuilt, checks: Mapping[str, str]) -> list[tuple[int, Cell]]:
    """The cells that a kernel is sent, each with its place in the notebook. `checks` are exercises by grade id.

    Of a demonstration each statement is a cell of its own: one that fails takes no other along. In released code a
    call of coursekit's is one whatever the learner's variables are called.
    """
    sent = []
    for place in rebuilt.runs:
        cell = rebuilt.notebook.cells[place]
        if place in rebuilt.provided:
            sent += [(place, Cell(ours(statement))) for statement in rebuilt.provided[place]]
        elif exercise_id := checks.get(grade_id_of(cell), ""):
            sent.append((place, Cell(ours(cell.source), exercise_id)))
        else:
            sent.append((place, Cell(cell.source)))
    return sent


def why_nothing(rebuilt: Rebuilt, places: Sequence[int], cells: Sequence[Cell], ran: Ran, exercise_id: str) -> str:
    """Why an exercise's check left no result, in the learner's words; empty where nobody knows."""
    check = grade_id("check", exercise_id)
    if why := rebuilt.problems.get(check):
        return why
    place = _answer_place(rebuilt, check)
    for sent, outputs in zip(places, ran.outputs, strict=False):
        for output in outputs if sent == place else ():
            if output.get("output_type") == "error":
                if output.get("ename") == "KeyboardInterrupt":
                    return "its cell took too long and was interrupted"
                name, told = str(output.get("ename", ""))[:_TOLD], str(output.get("evalue", ""))[:_TOLD]
                return f"its cell ended with {name}: {told}" if told else f"its cell ended with {name}"
    numbers = [number for number, cell in enumerate(cells, 1) if cell.check == exercise_id]
    interrupted = (flag for flag in ran.flags for number in numbers if flag.startswith(f"cell {number} took "))
    return in_words(next(interrupted, "") or ran.ended, cells)


def in_words(text: str, cells: Sequence[Cell]) -> str:
    """A sentence about "cell 12" that also says which exercise's check that is, where it is one."""

    def told(found: re.Match[str]) -> str:
        number = int(found[1])
        check = cells[number - 1].check if 0 < number <= len(cells) else ""
        return f"{found[0]} (the check of {find(check).title!r})" if check else found[0]

    return _NUMBERED.sub(told, text)


def _answer_place(rebuilt: Rebuilt, check: str) -> int:
    """Where the answer above a check cell stands; -1 where there is none."""
    place = -1
    for i, cell in enumerate(rebuilt.notebook.cells):
        if cell.cell_type == "code" and is_answer(cell):
            place = i
        if grade_id_of(cell) == check:
            return place
    return -1
