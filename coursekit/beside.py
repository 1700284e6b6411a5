"""Texts that stand beside a chapter's cells, by id: quizzes, predictions, descriptions of figures.

`attention.scale` of the quizzes is the table `[scale]` of `texts/quizzes/02_attention.toml`. Text may hold `code`,
*stress* and $mathematics$; single quotes let TOML leave the backslashes of LaTeX alone.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "texts"
# The leftmost span wins, so that a star in code or in mathematics stays a star.
SPAN = re.compile(r"`(?P<code>[^`]+)`|(?P<math>\$[^$]+\$)|\*(?P<em>[^*\s](?:[^*]*[^*\s])?)\*")


class TextError(ValueError):
    """A file of texts is not what it should be; the message names the file, the entry and what is wrong."""


class UnknownText(LookupError):
    """No text has this id; the message names the nearest ids."""


def entries(kind: str, folder: Path | None = None) -> Iterator[tuple[str, Any, str]]:
    """(id, value, where it stands) of every text of a kind ("quizzes"), chapter after chapter. Raises TextError."""
    found: dict[str, str] = {}
    for file in sorted((folder or FOLDER / kind).glob("*.toml")):
        for id, value in _tables(file).items():
            if id in found:
                raise TextError(f"{file.name}: the id {id!r} is in {found[id]} already")
            found[id] = file.name
            yield id, value, f"{file.name}, {id!r}"


def unknown(id: Any, ids: Iterable[str], what: str) -> UnknownText:
    """The error for an id that is none of `ids`; `what` says what it should be: "quiz"."""
    known = list(ids)
    near = difflib.get_close_matches(str(id), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known) or 'none'}"
    return UnknownText(f"no {what} is called {id!r}; {hint}")


def marked_up(text: str) -> str:
    """`text` as HTML: `code` and *stress* become elements, $mathematics$ is left to MathJax, all escaped."""

    def element(span: re.Match) -> str:
        name = str(span.lastgroup)
        return span[0] if name == "math" else f"<{name}>{span[name]}</{name}>"

    return SPAN.sub(element, escape(text))


def expect_keys(table: dict, known: set[str], where: str) -> None:
    """Raises TextError where a table has others."""
    others = sorted(table.keys() - known)
    expect(not others, where, f"found {', '.join(others)}; expected {', '.join(sorted(known))} only")


def expect(holds: bool, where: str, what: str) -> None:
    """Raises TextError unless it holds."""
    if not holds:
        raise TextError(f"{where}: {what}")


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _tables(file: Path) -> dict[str, Any]:
    name = re.fullmatch(r"\d+_(\w+)", file.stem)
    if not name:
        raise TextError(f"{file.name}: expected a name like 02_attention.toml")
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # not TOML, or not UTF-8
        raise TextError(f"{file.name} is not valid TOML: {error}") from None
    return {f"{name[1]}.{key}": value for key, value in tables.items()}
