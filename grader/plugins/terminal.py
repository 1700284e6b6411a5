"""nbgrader's log, as a terminal may show it: it names folders that learners have named."""

from __future__ import annotations

import logging

from traitlets.config.application import LevelFormatter

from grader.grading.names import printable


class Plain(LevelFormatter):
    """traitlets' format, in which no character moves the cursor, sets a colour or cannot be seen."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))
