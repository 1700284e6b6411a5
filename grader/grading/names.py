"""Names that come from outside: which can be a student's, and how any is shown to a person."""

from __future__ import annotations

LONGEST = 128  # characters of an id in nbgrader's gradebook
_PATTERN = "*?[]"


def refusal(student: str) -> str:
    """Why this cannot be a student's id, in a sentence that names it; empty where it can."""
    why = ""
    if not student.isprintable():
        why = "it holds characters that cannot be seen"
    elif student != student.strip() or not student:
        why = "it begins or ends with a space"
    elif student.startswith("."):
        why = "it begins with a dot, and nbgrader passes it over"
    elif any(letter in student for letter in _PATTERN):
        why = f"it holds one of {' '.join(_PATTERN)}, and nbgrader takes it for a pattern"
    elif len(student) > LONGEST:
        why = f"it has {len(student)} characters, and the gradebook keeps {LONGEST}"
    return why and f"{printable(student)!r} cannot be a student's id: {why}. Rename the folder"


def printable(text: str) -> str:
    """The text on one line, doing nothing in a terminal: what cannot be seen is spelled."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
