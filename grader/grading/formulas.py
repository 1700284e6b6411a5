"""Mathematics as MathML, which every browser shows by itself: no script, and nothing from the network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html import escape

LIMIT = 2_000  # characters of one formula
_SPACE = "{http://www.w3.org/1998/Math/MathML}"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ELEMENTS = _words(
    "math mfrac mi mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr "
    "munder munderover menclose mmultiscripts mprescripts none"
)
_ATTRIBUTES = _words(
    "display stretchy fence form width height depth lspace rspace columnalign rowalign columnspacing rowspacing "
    "columnlines rowlines minsize maxsize mathvariant movablelimits largeop linethickness displaystyle scriptlevel "
    "notation accent accentunder separator voffset"
)
_SIDES = re.compile(r"\\begin\{(aligned|align\*?|split|alignedat|eqnarray\*?)\}(.*?)\\end\{\1\}", re.DOTALL)
_LINES = re.compile(r"\\(begin|end)\{(gather\*?|gathered|multline\*?|equation\*?|displaymath)\}")
_COLUMNS = 20


def mathml(tex: str, display: bool) -> str:
    """The formula as MathML; its text as code where it cannot be read."""
    return _mathml(tex, display) or f"<code>{escape(tex, quote=False)}</code>"


def _mathml(tex: str, display: bool) -> str:
    if len(tex) > LIMIT or tex.count(r"\begin") != tex.count(r"\end"):
        return ""
    from latex2mathml.converter import convert  # here, since only who shows feedback needs it

    try:
        tree = ElementTree.fromstring(convert(_plain(tex), display="block" if display else "inline"))
    except Exception:  # whatever it stumbles over: the text is shown as it was written
        return ""
    for element in tree.iter():
        if element.tag.removeprefix(_SPACE) not in _ELEMENTS:
            return ""
        element.tag = element.tag.removeprefix(_SPACE)
        element.attrib = {n: v for n, v in element.attrib.items() if n in _ATTRIBUTES}
    return ElementTree.tostring(tree, encoding="unicode")


def _plain(tex: str) -> str:
    """Environments that the converter does not know as those that it does."""
    tex = _LINES.sub(lambda found: rf"\{found[1]}{{matrix}}" if found[2].startswith("g") else "", tex)
    return _SIDES.sub(_array, tex)


def _array(found: re.Match[str]) -> str:
    sides = min(_COLUMNS, 1 + max(row.count("&") for row in found[2].split(r"\\")))
    return rf"\begin{{array}}{{{('rl' * sides)[:sides]}}}{found[2]}\end{{array}}"
