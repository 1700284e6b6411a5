"""Text from learners, made harmless where it is shown: names of folders, errors of their code, names of files."""

from __future__ import annotations

import re

from grader.grading.names import printable

LONGEST = 300
_FORMULA = tuple("=+-@＝＋－＠")  # a spreadsheet takes the full-width ones too


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text on one line of at most `longest` characters, harmless: what cannot be seen is spelled."""
    text = printable(" ".join(text[: 4 * longest].split()))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def field(value: object) -> str:
    """A field of a CSV file that no spreadsheet takes for a formula."""
    text = one_line(str(value))
    return f"'{text}" if text.startswith(_FORMULA) and isinstance(value, str) else text


def numberless(text: str) -> str:
    """A finding with `#` for its numbers and lists of numbers: the same for the same slip on other inputs."""
    text = re.sub(r"(?<![\w.])[-+]?(?:\d[\d,]*\.?\d*(?:e[-+]?\d+)?|inf|nan)(?![\w])", "#", one_line(text))
    text = re.sub(r"\d+", "#", text)
    return re.sub(r"#(?:[,x ]+#)+", "#", text)
