"""Keep of a graded notebook what can do no harm to the person who reads it: in feedback, in formgrader, in Jupyter.

Here each output keeps the forms that cannot carry a script, and every text gets a bounded size. Markdown stays as it
was written, with invisible marks for readers that would make it act; `rendering` makes HTML of it and cleans that.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote

from nbformat import NotebookNode

from coursekit.notebook import limits
from grader.grading.formulas import mathml
from grader.grading.pictures import harmless
from grader.grading.rendering import MISSING
from grader.grading.rendering import cleaned as html

RELEASED = "coursekit_released"  # in the metadata of a cell that is as it was released
_MARK = "\u2060"  # word joiner: no width, breaks no line
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPES = re.compile(r"\x1b(?!\[[0-9;]{0,20}m)[^a-zA-Z]{0,20}[a-zA-Z]?")
_PICTURES = ("image/png", "image/jpeg", "image/gif")
_HTML = 400_000  # characters of HTML in all outputs
_CUT = "\n\n*(What follows is too long to be shown.)*"


def sanitise(notebook: NotebookNode, trusted: Collection[str]) -> None:
    """Clean the outputs and the Markdown of every cell in place; cells whose id is `trusted` are marked as released."""
    prose, left = limits.PROSE, [_HTML]
    for cell in notebook.cells:
        if cell.get("id") in trusted:
            cell.metadata[RELEASED] = True
        elif cell.cell_type == "markdown":
            cell.source = markdown(cell.source[:prose], cell.get("attachments", {})) + _CUT * (len(cell.source) > prose)
            prose = max(0, prose - len(cell.source))
        if cell.cell_type == "code":
            cell.outputs = [clean for output in cell.outputs if (clean := _output(output, left)) is not None]


def markdown(text: str, pictures: Collection[str] = ()) -> str:
    """Markdown that holds no HTML and whose links lead to pages only, also for who renders it without cleaning.

    Learners write mathematics, comparisons and code (`a<b`), which a cleaner of HTML would damage; so nothing is
    parsed. An invisible mark after each `<` that could open an element, and within each scheme that could run code,
    leaves the text readable and makes it text. `pictures` are the names of those that were handed in: another is
    none, for a missing one is an error elsewhere.
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", f"<{_MARK}", _CONTROLS.sub("", text))
    text = re.sub(r"(?i)(script|data)(\\?\s*:)", rf"\1{_MARK}\2", text)
    text = re.sub(
        r"attachment:([^\s)\"'<>]*)", lambda m: m[0] if unquote(m[1]) in pictures else f"{MISSING}{m[1]}", text
    )
    # Within a link's target an entity or an escape could spell the scheme.
    return re.sub(
        r"(\]\s*[(:]\s*<?)([^)\s]*)",
        lambda m: (
            m[1] + re.sub(r"[&%\\]", lambda sign: sign[0] + _MARK, m[2])
            if not re.match(r"(https?:|mailto:|#|attachment:)", m[2], re.IGNORECASE)
            else m[0]
        ),
        text,
    )


def _output(output: NotebookNode, left: list[int]) -> NotebookNode | None:
    kind = output.output_type
    if kind == "stream":
        output.text = _terminal(_text(output.text))
    elif kind == "error":
        output.ename, output.evalue = _terminal(str(output.ename)), _terminal(str(output.evalue))
        output.traceback = [_terminal(str(line)) for line in output.traceback]
    elif kind in ("display_data", "execute_result"):
        output.metadata = NotebookNode()
        output.data = NotebookNode(_forms(output.data, left))
        if not output.data:
            return None
    else:
        return None
    return output


def _forms(data: dict[str, Any], left: list[int]) -> dict[str, str]:
    """The forms of one output that may be shown; `left` counts the characters of HTML that may still be cleaned."""
    kept = {kind: _text(data[kind]) for kind in _PICTURES if kind in data and harmless(kind, _text(data[kind]))}
    for kind, clean in (("text/plain", _terminal), ("text/markdown", markdown), ("text/html", html)):
        text = _text(data.get(kind, ""))
        if kind != "text/plain":
            left[0] -= len(text)
        if text and (kind == "text/plain" or left[0] >= 0):
            kept[kind] = clean(text)
    if formula := _text(data.get("text/latex", "")).strip():
        kept |= {"text/latex": _CONTROLS.sub("", formula), "text/html": mathml(formula.strip("$"), True)}
    return kept


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _terminal(text: str) -> str:
    """Text whose control sequences set colours and nothing else."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\x1b", "\ue000")).replace("\ue000", "\x1b")
