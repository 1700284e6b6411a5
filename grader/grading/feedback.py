"""Make what a learner wrote harmless to the person who reads it in a browser: in feedback and in formgrader.

nbconvert shows HTML, SVG and JavaScript outputs, and HTML in Markdown, as they are. Here each output keeps the forms
that cannot carry a script, and the rest is dropped or cleaned with bleach.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from nbformat import NotebookNode


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN = ("text/plain", "image/png", "image/jpeg", "image/gif")
_CLEANED = ("text/html", "text/markdown", "text/latex")
_TAGS = _words(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img "
    "li ol p pre q s small span strong sub summary sup table tbody td tfoot th thead tr u ul var "
)
_ATTRIBUTES = {
    "*": ["class", "style", "title", "role", "aria-label"],
    "a": ["href"],
    "img": ["src", "alt", "width", "height"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}
_STYLES = _words(
    "background background-color border border-collapse border-left border-radius border-spacing color font- "
    "family font-size font-style font-weight height line-height margin margin-left margin-right max-width "
    "overflow-x padding padding-left text-align text-decoration vertical-align white-space width "
)
_PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*\Z")
_MARK = "\u2060"  # word joiner: no width, breaks no line
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ESCAPES = re.compile(r"\x1b(?!\[[0-9;]{0,20}m)[^a-zA-Z]{0,20}[a-zA-Z]?")


def sanitise(notebook: NotebookNode, trusted: Collection[str]) -> None:
    """Clean the outputs and the Markdown of every cell in place, except cells whose id is `trusted`."""
    for cell in notebook.cells:
        if cell.get("id") in trusted:
            continue
        if cell.cell_type == "markdown":
            cell.source = markdown(cell.source)
        elif cell.cell_type == "code":
            cell.outputs = [clean for output in cell.outputs if (clean := _output(output)) is not None]


def html(text: str) -> str:
    """HTML with harmless elements only; others are shown as text."""
    cleaner = bleach.Cleaner(
        tags=_TAGS,
        attributes=_attribute,
        protocols=frozenset({"http", "https", "mailto", "data"}),
        css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES),
        strip_comments=True,
    )
    return cleaner.clean(_CONTROLS.sub("", text))


def markdown(text: str) -> str:
    """Markdown without HTML, and whose links lead to pages only.

    Learners write mathematics, comparisons and code (`a<b`), which a cleaner of HTML would damage; so nothing is
    parsed. An invisible mark after each `<` that could open an element, and within each scheme that could run code,
    leaves the text readable and makes it text.
    """
    text = re.sub(r"<(?=[A-Za-z/!?])", f"<{_MARK}", _CONTROLS.sub("", text))
    text = re.sub(r"(?i)(script|data)(\s*):", rf"\1{_MARK}\2:", text)
    # Within a link's target an entity or an escape could spell the scheme.
    return re.sub(
        r"(\]\s*[(:]\s*<?)([^)\s]*)",
        lambda m: (
            m[1] + re.sub(r"&|%3[aA]", f"{_MARK}", m[2])
            if not re.match(r"(https?:|mailto:|#)", m[2], re.IGNORECASE)
            else m[0]
        ),
        text,
    )


def _attribute(tag: str, name: str, value: str) -> bool:
    if name == "src":  # pictures in the page only: others tell who reads it, and when
        return tag == "img" and bool(_PICTURE.match(value))
    if name == "href":
        return tag == "a" and re.match(r"(https?:|mailto:|#)", value.strip(), re.IGNORECASE) is not None
    return name in _ATTRIBUTES["*"] or name in _ATTRIBUTES.get(tag, [])


def _output(output: NotebookNode) -> NotebookNode | None:
    kind = output.output_type
    if kind == "stream":
        output.text = _terminal(_text(output.text))
    elif kind == "error":
        output.ename, output.evalue = _terminal(str(output.ename)), _terminal(str(output.evalue))
        output.traceback = [_terminal(str(line)) for line in output.traceback]
    elif kind in ("display_data", "execute_result"):
        output.metadata = NotebookNode()
        output.data = NotebookNode(
            {mime: clean for mime, value in output.data.items() if (clean := _data(mime, value))}
        )
        if not output.data:
            return None
    else:
        return None
    return output


def _data(mime: str, value: Any) -> str:
    text = _text(value)
    if mime == "text/plain":
        return _terminal(text)
    if mime in _PLAIN:
        return text if _base64(text) else ""
    if mime == "text/markdown":
        return markdown(text)
    if mime in _CLEANED:
        return html(text)
    return ""


def _base64(text: str) -> bool:
    try:
        return bool(base64.b64decode("".join(text.split()), validate=True))
    except ValueError:
        return False


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _terminal(text: str) -> str:
    """Text whose control sequences set colours and nothing else."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\x1b", "\ue000")).replace("\ue000", "\x1b")
