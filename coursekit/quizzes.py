"""Quiz questions: an option is opened to see whether it is right, and why.

`attention.scale` is the table `[scale]` of `quizzes/NN_attention.toml`:

    [scale]
    question = 'Why are the scores divided by $d_k^{1/2}$?'

    [[scale.options]]
    text = 'So that the weights are positive.'
    why = '`exp` sees to that already.'

    [[scale.options]]
    text = 'So that the softmax does not saturate.'
    right = true
    why = 'The dot product of two random vectors has variance $d_k$.'

One option is right, and every option has its reason. Text may hold `code`, *stress* and $mathematics$;
single quotes let TOML leave the backslashes of LaTeX alone.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

# The leftmost span wins, so that a star in code or in mathematics stays a star.
SPAN = re.compile(r"`(?P<code>[^`]+)`|(?P<math>\$[^$]+\$)|\*(?P<em>[^*\s](?:[^*]*[^*\s])?)\*")
FOLDER = Path(__file__).parent / "texts" / "quizzes"
LINE = "var(--jp-border-color2, rgba(128, 128, 128, 0.4))"


class QuizError(ValueError):
    """A quiz file is not what it should be; the message names the file, the question and what is wrong."""


class UnknownQuiz(LookupError):
    """No quiz has this id; the message names the nearest ids."""


@dataclass(frozen=True)
class Option:
    """One answer that a learner can open, whether it is right, and why."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True)
class Quiz:
    """One question with its options in the author's order."""

    id: str
    question: str
    options: tuple[Option, ...]

    def __repr__(self) -> str:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return "\n".join((self.question, *(f"  {a}) {o.text}" for a, o in zip(letters, self.options, strict=False))))

    def _repr_html_(self) -> str:
        options = "".join(map(_option_html, self.options))
        box = f"max-width: 46em; color: inherit; border: 1px solid {LINE}; border-radius: 6px"
        return (
            f'<div role="group" aria-label="Quiz" style="{box}; margin: 8px 0; padding: 10px 12px">'
            f'<p style="margin: 0 0 6px; font-weight: 600">{marked_up(self.question)}</p>'
            '<p style="margin: 0 0 6px; opacity: 0.75; font-size: 0.9em">'
            f"Open the option that you would choose.</p>{options}</div>"
        )


def quiz(quiz_id: str) -> Quiz:
    """The question with this id, drawn with a fold for each option: opened, it says right or not, and why.

    A terminal prints the question and the options only. Raises UnknownQuiz, or QuizError for a malformed
    file.
    """
    questions = all_quizzes()
    if quiz_id in questions:
        return questions[quiz_id]
    near = difflib.get_close_matches(str(quiz_id), questions, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(questions) or 'none'}"
    raise UnknownQuiz(f"no quiz is called {quiz_id!r}; {hint}")


def all_quizzes(folder: Path | None = None) -> dict[str, Quiz]:
    """Every question by id, chapter after chapter in the author's order. Raises QuizError."""
    found: dict[str, Quiz] = {}
    for file in sorted((folder or FOLDER).glob("*.toml")):
        for question in read(file):
            if question.id in found:
                raise QuizError(f"{file.name}: the id {question.id!r} is in another file already")
            found[question.id] = question
    return found


def read(file: Path) -> list[Quiz]:
    """The questions of one file, `NN_chapter.toml`. Raises QuizError."""
    name = re.fullmatch(r"\d+_(\w+)", file.stem)
    if not name:
        raise QuizError(f"{file.name}: expected a name like 02_attention.toml")
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise QuizError(f"{file.name} is not valid TOML: {error}") from None
    return [_quiz(f"{name[1]}.{key}", table, file.name) for key, table in tables.items()]


def marked_up(text: str) -> str:
    """`text` as HTML: `code` and *stress* become elements, $mathematics$ is left to MathJax, all escaped."""

    def element(span: re.Match) -> str:
        name = str(span.lastgroup)
        return span[0] if name == "math" else f"<{name}>{span[name]}</{name}>"

    return SPAN.sub(element, escape(text))


def _quiz(quiz_id: str, table: Any, file: str) -> Quiz:
    where = f"{file}, question {quiz_id!r}"
    _expect(isinstance(table, dict), where, "expected a table with a question and options")
    _expect_keys(table, {"question", "options"}, where)
    _expect(_is_text(table.get("question")), where, "expected a text as its question")
    options = table.get("options")
    _expect(isinstance(options, list) and 2 <= len(options) <= 26, where, "expected a list of 2 to 26 options")
    read_options = tuple(_option(o, f"{where}, option {n}") for n, o in enumerate(options, 1))
    right = sum(o.right for o in read_options)
    _expect(right == 1, where, f"expected exactly one option with right = true, found {right}")
    texts = {o.text for o in read_options}
    _expect(len(texts) == len(read_options), where, "two options have the same text")
    return Quiz(quiz_id, table["question"].strip(), read_options)


def _option(table: Any, where: str) -> Option:
    _expect(isinstance(table, dict), where, "expected { text = ..., right = ..., why = ... }")
    _expect_keys(table, {"text", "right", "why"}, where)
    _expect(_is_text(table.get("text")), where, "expected a text")
    _expect(_is_text(table.get("why")), where, "expected a reason: why = ...")
    _expect(isinstance(table.get("right", False), bool), where, "right is true or false")
    return Option(table["text"].strip(), table.get("right", False), table["why"].strip())


def _expect_keys(table: dict, known: set[str], where: str) -> None:
    unknown = sorted(table.keys() - known)
    _expect(not unknown, where, f"found {', '.join(unknown)}; expected {', '.join(sorted(known))} only")


def _expect(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise QuizError(f"{where}: {what}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _option_html(option: Option) -> str:
    verdict, colour = (
        ("Right", "var(--jp-success-color1, #388e3c)")
        if option.right
        else ("Not quite", "var(--jp-warn-color1, #f57c00)")
    )
    reason = f"margin: 4px 0 6px 1em; padding: 2px 0 2px 0.8em; border-left: 3px solid {colour}"
    return (
        '<details style="margin: 2px 0; padding: 2px 0">'
        f'<summary style="cursor: pointer">{marked_up(option.text)}</summary>'
        f'<div style="{reason}"><strong>{verdict}:</strong> {marked_up(option.why)}</div></details>'
    )
