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

One option is right, and every option has its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from coursekit.beside import entries, expect, expect_keys, is_text, marked_up, unknown
from coursekit.language import translated

LINE = "var(--jp-border-color2, rgba(128, 128, 128, 0.4))"


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
        label, ask = escape(translated("Quiz")), escape(translated("Open the option that you would choose."))
        box = f"max-width: 46em; color: inherit; border: 1px solid {LINE}; border-radius: 6px"
        return (
            f'<div role="group" aria-label="{label}" style="{box}; margin: 8px 0; padding: 10px 12px">'
            f'<p style="margin: 0 0 6px; font-weight: 600">{marked_up(self.question)}</p>'
            '<p style="margin: 0 0 6px; opacity: 0.75; font-size: 0.9em">'
            f"{ask}</p>{options}</div>"
        )


def quiz(quiz_id: str) -> Quiz:
    """The question with this id, drawn with a fold for each option: opened, it says right or not, and why.

    A terminal prints the question and the options only. Raises UnknownText, or TextError for a malformed file.
    """
    questions = all_quizzes()
    if quiz_id not in questions:
        raise unknown(quiz_id, questions, "quiz")
    return questions[quiz_id]


def all_quizzes(folder: Path | None = None) -> dict[str, Quiz]:
    """Every question by id, chapter after chapter in the author's order. Raises TextError."""
    return {id: _quiz(id, table, where) for id, table, where in entries("quizzes", folder)}


def _quiz(quiz_id: str, table: Any, where: str) -> Quiz:
    expect(isinstance(table, dict), where, "expected a table with a question and options")
    expect_keys(table, {"question", "options"}, where)
    expect(is_text(table.get("question")), where, "expected a text as its question")
    options = table.get("options")
    expect(isinstance(options, list) and 2 <= len(options) <= 26, where, "expected a list of 2 to 26 options")
    read_options = tuple(_option(o, f"{where}, option {n}") for n, o in enumerate(options, 1))
    right = sum(o.right for o in read_options)
    expect(right == 1, where, f"expected exactly one option with right = true, found {right}")
    texts = {o.text for o in read_options}
    expect(len(texts) == len(read_options), where, "two options have the same text")
    return Quiz(quiz_id, translated(table["question"].strip()), read_options)


def _option(table: Any, where: str) -> Option:
    expect(isinstance(table, dict), where, "expected { text = ..., right = ..., why = ... }")
    expect_keys(table, {"text", "right", "why"}, where)
    expect(is_text(table.get("text")), where, "expected a text")
    expect(is_text(table.get("why")), where, "expected a reason: why = ...")
    expect(isinstance(table.get("right", False), bool), where, "right is true or false")
    text, why = (translated(table[key].strip()) for key in ("text", "why"))
    return Option(text, table.get("right", False), why)


def _option_html(option: Option) -> str:
    verdict, colour = (
        (translated("Right"), "var(--jp-success-color1, #388e3c)")
        if option.right
        else (translated("Not quite"), "var(--jp-warn-color1, #f57c00)")
    )
    reason = f"margin: 4px 0 6px 1em; padding: 2px 0 2px 0.8em; border-left: 3px solid {colour}"
    return (
        '<details style="margin: 2px 0; padding: 2px 0">'
        f'<summary style="cursor: pointer">{marked_up(option.text)}</summary>'
        f'<div style="{reason}"><strong>{escape(verdict)}:</strong> {marked_up(option.why)}</div></details>'
    )
