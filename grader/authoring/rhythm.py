"""How a chapter reads: short cells, statements that stand alone, few colons."""

from __future__ import annotations

import re

from grader.authoring.chapter import Refusals, Text

MOST_LINES = 30  # of a code cell that is no exercise: plumbing goes into coursekit
MOST_WORDS = 200  # of a Markdown cell without its folded parts
LOOKED_UP = "## Papers"  # a cell that nobody reads from top to bottom
MOST_COLONS = 8  # in 1,000 words: a habit that the reader soon hears
_STATEMENT = re.compile(r"^#+ (?:Exercise|Question) ", re.MULTILINE)
# What is not read as prose: mathematics, code, links' targets, the marks of terms, tables, folded hints.
_ELSE = re.compile(
    r"\$\$.*?\$\$|\$[^$\n]*\$|```.*?```|`[^`]*`|\]\([^)]*\)|https?:\S+|\[\[.*?\]\]|^\|[^\n]*$|<[^>]*>|^#+ [^\n]*$",
    re.DOTALL | re.MULTILINE,
)
_FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)


def refusals(text: Text) -> Refusals:
    """(line, sentence) for cells that are too long or hold two things, and for prose that hinges on colons."""
    yield from _cells(text)
    prose = [cell for cell in text.cells if cell.kind == "markdown" and "question" not in cell.keys]
    words = sum(len(_read(cell.source).split()) for cell in prose)
    colons = sum(len(re.findall(r":(?=\s|$)", _read(cell.source))) for cell in prose)
    if words and 1000 * colons > MOST_COLONS * words:
        yield 1, f"found {colons} colons in {words:,} words, at most {MOST_COLONS} in 1,000: make sentences of them"


def _cells(text: Text) -> Refusals:
    for cell in text.cells:
        if cell.kind == "code" and not {"exercise", "check"} & {*cell.keys}:
            if (lines := len(cell.source.splitlines())) > MOST_LINES:
                told = f"the cell has {lines} lines, at most {MOST_LINES}: what teaches nothing goes into coursekit"
                yield cell.line, told
        elif cell.kind == "markdown" and "question" not in cell.keys:
            statement = _STATEMENT.search(cell.source)
            if statement and cell.source[: statement.start()].strip():
                yield cell.line, "the statement of an exercise has a cell of its own: begin one at its heading"
            if (
                not cell.source.startswith(LOOKED_UP)
                and (words := len(_read(_FOLDED.sub("", cell.source)).split())) > MOST_WORDS
            ):
                yield cell.line, f"the cell has {words} words, at most {MOST_WORDS}: cut it, or cut it in two"


def _read(source: str) -> str:
    return _ELSE.sub(" ", source)
