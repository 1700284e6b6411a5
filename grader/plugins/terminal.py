"""nbgrader's log, as a terminal may show it: it names folders that learners have named."""

from __future__ import annotations

import copy
import logging
from typing import Any

from tornado.log import LogFormatter

from grader.grading.names import printable


class Plain(LogFormatter):
    """nbgrader's own format, in whose messages nothing moves the cursor, sets a colour or cannot be seen."""

    def format(self, record: logging.LogRecord) -> str:
        plain = copy.copy(record)
        plain.msg, plain.args = _lines(record.getMessage()), ()
        return super().format(plain)

    def formatException(self, ei: Any) -> str:
        return _lines(super().formatException(ei))


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
