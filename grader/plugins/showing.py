"""How a graded notebook is shown: to the learner as feedback, to whoever marks it in formgrader.

`nbgrader_config.py` names `markdown2html` as nbconvert's filter for both, and `Feedback` as the exporter that makes the
feedback. Equations come as MathML, so that a page needs nothing from the network and runs no script.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, pass_context
from jinja2.runtime import Context
from nbconvert.exporters import HTMLExporter

from grader.grading.feedback import RELEASED
from grader.grading.rendering import rendered


@pass_context
def markdown2html(context: Context, source: str) -> str:
    """Markdown of a cell, of an output or of a comment as harmless HTML."""
    cell: Mapping[str, Any] = context.get("cell") or {}
    released = bool(cell.get("metadata", {}).get(RELEASED)) and source == cell.get("source")
    return rendered(source, cell.get("attachments", {}), released)


class Feedback(HTMLExporter):
    """Feedback as a page that is complete in itself: no script of MathJax from a network that may not be there."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra_loaders = [DictLoader({"mathjax.html.j2": "{%- macro mathjax(url='') -%}{%- endmacro %}"})]
