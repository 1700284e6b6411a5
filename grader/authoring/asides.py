"""What a chapter's cells ask for beside themselves: predictions with their outcome, descriptions, diagrams, quizzes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from coursekit.diagrams import all_diagrams
from coursekit.figures import all_descriptions
from coursekit.predictions import all_predictions
from coursekit.quizzes import Quiz, all_quizzes
from grader.authoring.chapter import Cell, Refusals, Text

_CALLS = ("predict", "came_out", "show", "diagram", "quiz")


@dataclass(frozen=True)
class Asked:
    """A call such as `predict("attention.entropy")`, and the line where its cell begins."""

    function: str
    id: str
    line: int


def refusals(text: Text) -> Refusals:
    """(line, sentence) for everything that is asked for and not there, or there and never asked for."""
    chapter = text.slug.partition("_")[2]
    asked = [call for cell in text.cells if cell.kind == "code" for call in _asked(cell)]
    yield from _predictions(asked)
    known = {
        "predict": ("prediction", {*all_predictions()}),
        "show": ("description of a figure", {*all_descriptions()} - {*all_diagrams()}),
        "diagram": ("diagram", {*all_diagrams()}),
        "quiz": ("quiz", {*all_quizzes()}),
    }
    for function, (what, ids) in known.items():
        used = {call.id: call.line for call in asked if call.function == function}
        yield from ((line, f"no {what} is called {id!r}") for id, line in used.items() if id not in ids)
        mine = {id for id in ids if id.startswith(f"{chapter}.")}
        yield from ((1, f"the {what} {id!r} is shown nowhere: use or delete it") for id in sorted(mine - {*used}))
    yield from _guessable([q for id, q in all_quizzes().items() if id.startswith(f"{chapter}.")])


def _asked(cell: Cell) -> Iterator[Asked]:
    try:
        tree = ast.parse("\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!"))))
    except SyntaxError:
        return  # executing it will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
            place = 1 if node.func.id == "show" else 0
            if len(node.args) > place and isinstance(id := node.args[place], ast.Constant) and " " not in str(id.value):
                yield Asked(node.func.id, str(id.value), cell.line)


def _predictions(asked: list[Asked]) -> Refusals:
    made = {call.id: call.line for call in asked if call.function == "predict"}
    out = {call.id: call.line for call in asked if call.function == "came_out"}
    for id, line in made.items():
        if id not in out:
            yield line, f"the prediction {id!r} has no outcome: call came_out({id!r}, ...) after the run"
        elif out[id] <= line:
            yield out[id], f"the outcome of {id!r} stands before the prediction or in its cell"
    yield from (
        (line, f"came_out({id!r}, ...) has no prediction above it") for id, line in out.items() if id not in made
    )


def _guessable(quizzes: list[Quiz]) -> Refusals:
    """Whoever always opens the longest option must not do better than by chance."""
    longest = [q.id for q in quizzes if max(q.options, key=lambda option: len(option.text)).right]
    if len(quizzes) > 2 and 3 * len(longest) > len(quizzes):
        told = ", ".join(longest)
        yield (
            1,
            f"the right option is the longest in {len(longest)} of {len(quizzes)} quizzes ({told}): at most a third",
        )
