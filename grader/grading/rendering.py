"""Markdown as HTML that is harmless to whoever reads it: cleaned when it is HTML, not before.

Used for feedback and in formgrader, see `grader.plugins.showing`. The course's own cells may hold HTML; what a learner
wrote may not. The renderer's time grows with the text's length, whatever the text is.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import unquote

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from grader.grading.formulas import mathml
from grader.grading.pictures import harmless

LIMIT = 20_000  # characters of one cell of Markdown
_HTML = 200_000  # characters of one output
_FORMULAS, _ENVIRONMENTS = 500, 100  # in one cell
_ELEMENTS, _DEPTH, _OPEN_FORMATS = 10_000, 500, 50  # in one output
_NESTED = 20
_MARK = "\u2060"  # what `feedback.markdown` puts into text for other readers
MISSING = "missing-attachment:"  # in place of the scheme of a pasted picture that was not handed in


def _words(text: str) -> set[str]:
    return set(text.split())


_TAGS = _words(
    "a abbr b blockquote br caption code col colgroup dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img "
    "li ol p pre q s small span strong sub summary sup table tbody td tfoot th thead tr u ul var"
)
_ATTRIBUTES = {
    "*": {"class", "style", "title", "role", "aria-label"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_STYLES = _words(
    "background background-color border border-collapse border-left border-radius border-spacing color "
    "font-family font-size font-style font-weight height line-height margin margin-left margin-right max-width "
    "overflow-x padding padding-left text-align text-decoration vertical-align white-space width"
)
# Formgrader finds what it works on by classes.
_CLASS = re.compile(r"language-[\w+.#-]{1,40}|dataframe")
# Elements that are opened anew in each paragraph until they are closed.
_FORMATS = _words("a b big code em font i nobr s small strike strong tt u")
_LEADS = re.compile(r"(https?:|mailto:|#)", re.IGNORECASE)
_PICTURE = re.compile(r"data:(image/(?:png|jpeg|gif));base64,([A-Za-z0-9+/=\s]*)\Z")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ue000-\uf8ff]")
_OPEN, _CLOSE = "\ue001", "\ue002"  # around the number of a formula while the rest is cleaned
_HELD = re.compile(f"{_OPEN}(\\d+){_CLOSE}")

Pictures = Mapping[str, Mapping[str, str]]


def rendered(text: str, pictures: Pictures | None = None, released: bool = False) -> str:
    """Markdown as harmless HTML. A picture that was not handed in is named, and never an error.

    `released` text may hold HTML, and its headings can be linked to. Text that is too large comes as it is written.
    """
    text = _CONTROLS.sub("", text).replace(_MARK, "")
    if len(text) > LIMIT or text.count(r"\begin") > _ENVIRONMENTS:
        return f"<pre>{escape(text[: 4 * LIMIT])}</pre>"
    formulas: list[str] = []
    environment = {"pictures": pictures or {}, "formulas": formulas}
    dirty = _renderer(released).render(text, environment)
    clean = _clean(dirty, released)
    return _HELD.sub(lambda found: formulas[int(found[1])], clean)


def cleaned(text: str) -> str:
    """HTML with harmless elements only. HTML that is too large or too deep is shown as text."""
    text = _CONTROLS.sub("", text)
    return _clean(text, False) if _is_bounded(text) else f"<pre>{escape(text)}</pre>"


def _is_bounded(text: str) -> bool:
    """Whether cleaning takes no longer than its length deserves: elements in elements cost their depth each."""
    if len(text) > _HTML:
        return False
    open_: Counter[str] = Counter()
    for number, mark in enumerate(re.finditer(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})", text)):
        name = mark[2].lower()
        open_[name] = max(0, open_[name] + (-1 if mark[1] else 1))
        if number > _ELEMENTS or open_[name] > (_OPEN_FORMATS if name in _FORMATS else _DEPTH):
            return False
    return True


@functools.cache
def _renderer(released: bool) -> MarkdownIt:
    options = {"html": released, "linkify": False, "maxNesting": _NESTED}
    made = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    made.use(dollarmath_plugin, allow_labels=False, double_inline=True)
    made.use(amsmath_plugin)
    assert isinstance(made.renderer, RendererHTML)
    rules: dict[str, Any] = made.renderer.rules
    for kind in ("math_inline", "math_inline_double", "math_block", "amsmath"):
        rules[kind] = functools.partial(_formula, kind != "math_inline")
    rules["image"] = _image
    if released:
        rules["heading_open"] = _heading
    return made


def _formula(display: bool, tokens: Sequence[Token], place: int, options: Any, environment: dict) -> str:
    """A mark in the formula's place, which cleaning leaves alone."""
    tex, held = tokens[place].content, environment["formulas"]
    held.append(mathml(tex, display) if len(held) < _FORMULAS else f"<code>{escape(tex, quote=False)}</code>")
    return f"{_OPEN}{len(held) - 1}{_CLOSE}"


def _image(tokens: Sequence[Token], place: int, options: Any, environment: dict) -> str:
    token = tokens[place]
    source, told = str(token.attrs.get("src", "")), escape(token.content)
    if source.startswith(("attachment:", MISSING)):
        name = unquote(source.removeprefix(MISSING).removeprefix("attachment:"))
        kind, data = next(iter(environment["pictures"].get(name, {}).items()), ("", ""))
        if not kind:
            return f"<em>(the picture {escape(name[:200])} was not handed in)</em>"
        source = f"data:{kind};base64,{''.join(data.split())}"
    return f'<img src="{escape(source)}" alt="{told}">'


def _heading(tokens: Sequence[Token], place: int, options: Any, environment: dict) -> str:
    """A heading that a link finds under the name that nbconvert gives it."""
    text = "".join(child.content for child in tokens[place + 1].children or ())
    return f'<{tokens[place].tag} id="{escape(text.replace(" ", "-"))}">'


def _clean(text: str, released: bool) -> str:
    attributes = _ATTRIBUTES | ({name: {"id"} for name in _HEADINGS} if released else {})
    return nh3.clean(
        text,
        tags=_TAGS,
        clean_content_tags={"script", "style"},
        attributes=attributes,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=_STYLES,
        link_rel="noopener noreferrer",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """The attribute's value; None where it is dropped."""
    if name == "src":  # pictures in the page only: others tell who reads it, and when
        found = _PICTURE.match(value)
        return value if tag == "img" and found is not None and harmless(found[1], found[2]) else None
    if name == "href":
        return value if _LEADS.match(value.strip()) else None
    if name == "style":  # no address, however it is spelled
        return value if not re.search(r"[\\@]|/\*|url|image|expression", value, re.IGNORECASE) else None
    if name == "class":
        return " ".join(word for word in value.split() if _CLASS.fullmatch(word)) or None
    return value
