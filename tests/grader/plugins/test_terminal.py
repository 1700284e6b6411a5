"""nbgrader's log in a terminal, where a folder's name may hold what a terminal obeys."""

import logging
import sys

from grader.plugins.terminal import Plain

FORMAT = "%(color)s[%(name)s | %(levelname)s]%(end_color)s %(message)s"


def shown(message, *args, **options):
    record = logging.LogRecord("autograde", logging.WARNING, "f.py", 1, message, args, options.get("exc_info"))
    return Plain(FORMAT, color=False).format(record)


def test_a_name_is_spelled_and_the_lines_of_a_message_stay():
    assert shown("no notebook in '%s'\nnext", "\x1b[2Ja\x9b31m\u202e") == (
        "[autograde | WARNING] no notebook in '\\x1b[2Ja\\x9b31m\\u202e'\n    next"
    )


def test_an_errors_text_is_spelled_as_well():
    try:
        raise ValueError("\x1b[2J")
    except ValueError:
        said = shown("it failed", exc_info=sys.exc_info())
    assert "ValueError: \\x1b[2J" in said
    assert "\x1b" not in said
