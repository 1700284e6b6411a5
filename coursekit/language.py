"""Another language for what a learner reads: a text is looked up in a catalogue at the moment in which it is shown.

Code, stored reports and known mistakes speak English, and so nothing else knows of languages. A catalogue is a gettext
PO file, `texts/catalogues/xx.po`, chosen by COURSEKIT_LANGUAGE; `python -m grader texts` writes the template for it.
The chapters' prose has a catalogue of its own beside them, for what learners get is built from it.
Sentences are made with f-strings, so that what is shown is a finished one: it is matched with the texts that have
fields, "{name} has shape {shape}", and what stands in a field is translated in its turn. Matching searches for the
literal parts from left to right and never goes back: it takes linear time for whatever a learner's code says.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import NamedTuple

CHOICE = "COURSEKIT_LANGUAGE"
SOURCE = "en"
FOLDER = Path(__file__).parent / "texts" / "catalogues"
# The context of a text in a catalogue: none for whole texts, or one of these.
FIELDS, WORD = "with fields", "a word in a sentence"
_BETWEEN = re.compile(r"([;:,] | \(|\))")  # what stands between the parts of a joined sentence
_MOST_PARTS = 5  # of a joined sentence that are one text together
_LONGEST = 1_000  # characters of a sentence; what a learner's error says may go on
_LETTERS = re.compile(r"[^\W\d_]{2}")
_FEW_LETTERS = 5  # a template with fewer fits nearly everything: its fields are names and numbers then
_NAME_OR_SHAPE = re.compile(r"\S*|[(\[].*[)\]]")
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PYTHONS_OWN = re.compile(r"\w*(Error|Exception|Warning|Interrupt|Exit)\b")


class NoCatalogue(LookupError):
    """There is no catalogue for the language that was chosen; the message says which there are."""


class Field(NamedTuple):
    """A field of a text, as `string.Formatter` reads it."""

    name: str
    conversion: str | None
    spec: str | None

    def takes(self, value: str, no_sentence: bool) -> bool:
        """Whether the value may stand in the field: a number is no sentence, nor is what nearly any text would have."""
        return not (self.spec and " " in value) and (not no_sentence or bool(_NAME_OR_SHAPE.fullmatch(value)))

    @property
    def verbatim(self) -> bool:
        return bool(self.conversion or self.spec)


@dataclass(frozen=True)
class Template:
    """A text with fields, by what stands between them, and its translation, both as `string.Formatter` reads them.

    `{name}` is a name or a sentence, `{code!s}` is shown as it is, and so is the number `{n:n}`.
    """

    literals: tuple[str, ...]
    fields: tuple[Field, ...]
    translation: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, text: str, translation: str) -> Template:
        """The template for `text`. Raises ValueError where the translation names other fields, or braces are odd."""
        parts, others = list(Formatter().parse(text)), list(Formatter().parse(translation))
        fields = tuple(Field(name, conversion, spec) for _, name, spec, conversion in parts if name is not None)
        if unknown := {name for _, name, *_ in others if name is not None} - {field.name for field in fields}:
            raise ValueError(f"{translation!r} has the fields {unknown}, which are not in {text!r}")
        between = "".join(literal + "\0" * (name is not None) for literal, name, *_ in parts)
        return cls(tuple(between.split("\0")), fields, tuple((literal, name) for literal, name, *_ in others))

    @functools.cached_property
    def weight(self) -> int:
        """How many characters of a text it knows."""
        return sum(map(len, self.literals))

    @functools.cached_property
    def fits_nearly_all(self) -> bool:
        return sum(map(str.isalpha, "".join(self.literals))) < _FEW_LETTERS

    def values(self, text: str) -> list[str] | None:
        """What stands in the fields of `text`; None where it is no such sentence."""
        first, *middle, last = self.literals
        at, end = len(first), len(text) - len(last)
        if at > end or not text.startswith(first) or not text.endswith(last):
            return None
        found = []
        for literal in middle:
            place = text.find(literal, at, end)
            if place < 0:
                return None
            found.append(text[at:place])
            at = place + len(literal)
        found.append(text[at:end])
        fit = all(field.takes(value, self.fits_nearly_all) for field, value in zip(self.fields, found, strict=True))
        return found if fit else None


class Known(NamedTuple):
    """What is known of a text: of how many characters, and the translation; 0 and nothing where there is none.

    `open` where it begins with a field, which would take a label before it for a part of itself.
    """

    weight: int = 0
    told: str = ""
    open: bool = True


class Catalogue:
    """What one language says for each text: `texts` maps (context, text) to its translation."""

    def __init__(self, texts: dict[tuple[str, str], str]) -> None:
        self.whole = {text: told for (context, text), told in texts.items() if not context}
        self.words = {text: told for (context, text), told in texts.items() if context == WORD}
        made = (Template.of(text, told) for (context, text), told in texts.items() if context == FIELDS)
        # The one with the most literal text knows best what it is.
        self.templates = sorted(made, key=lambda one: -one.weight)
        self._sentence = functools.lru_cache(maxsize=1024)(self._told)  # labels and shapes come again and again

    def told(self, text: str) -> str:
        """A whole text in this language; as it is where the catalogue has nothing for it."""
        return self.whole.get(text) or "\n".join(map(self._sentence, text.split("\n")))

    def _told(self, text: str) -> str:
        """A sentence, or what stands in a field of one: known as it is, behind a label, or in parts."""
        if _PYTHONS_OWN.match(text) or len(text) > _LONGEST or not _LETTERS.search(text):
            return text
        best = self._known(text)
        for colon in itertools.islice(re.finditer(": ", text), _MOST_PARTS) if best.open else ():
            behind = self._known(text[colon.end() :])
            if behind.told and behind.weight >= best.weight:
                best = Known(behind.weight, f"{self._sentence(text[: colon.start()])}: {behind.told}")
        return best.told or "".join(self._parts(text))

    def _known(self, text: str) -> Known:
        """What is known of a text. It may stand behind the name of what it speaks of: "Y has the wrong sign"."""
        known = self._found(text) if _LETTERS.search(text) else Known()
        name, _, rest = text.partition(" ")
        if known.told or not _NAME.fullmatch(name):
            return known
        known = self._found(rest)
        return Known(known.weight, f"{name} {known.told}") if known.told else Known()

    def _found(self, text: str) -> Known:
        """What is known of a text alone. A single word is none but where it is meant to be in a sentence."""
        if text in self.words or (" " in text and text in self.whole):
            return Known(len(text), self.words.get(text) or self.whole[text], open=False)
        for template in self.templates:
            if (values := template.values(text)) is not None:
                given = zip(template.fields, values, strict=True)
                fields = {f.name: value if f.verbatim else self._sentence(value) for f, value in given}
                told = "".join(literal + fields.get(name or "", "") for literal, name in template.translation)
                return Known(template.weight, told, open=not template.literals[0])
        return Known()

    def _parts(self, text: str) -> Iterator[str]:
        """The parts of a joined sentence, as many together as are one text."""
        parts = _BETWEEN.split(text)  # a part, what is between, a part, ...
        at = 0
        while at < len(parts):
            most = min(len(parts), at + 2 * _MOST_PARTS - 1)
            ends = [] if _PYTHONS_OWN.match(parts[at]) else [len(parts)] * (at > 0) + [*range(most, at, -2)]
            known = ((end, told) for end in ends if (told := self._known("".join(parts[at:end])).told))
            end, told = next(known, (at + 1 if ends else len(parts), ""))
            yield told or "".join(parts[at:end])
            yield from parts[end : end + 1]
            at = end + 1


def chosen() -> str:
    """The language that is chosen; empty for English."""
    language = os.environ.get(CHOICE, "")
    return "" if language == SOURCE else language


def translated(text: str) -> str:
    """`text` in the language that COURSEKIT_LANGUAGE chooses; as it is where none is. Raises NoCatalogue."""
    language = chosen()
    return catalogue(language).told(text) if language else text


def files() -> dict[str, Path]:
    """The file that decides what is shown, by its name; none for English. Raises NoCatalogue."""
    language = chosen()
    return {f"coursekit/texts/catalogues/{language}.po": _file(language, FOLDER)} if language else {}


@functools.cache
def catalogue(language: str, folder: Path | None = None) -> Catalogue:
    """The catalogue of one language, by default coursekit's own. Raises NoCatalogue."""
    return read(_file(language, folder or FOLDER))


def _file(language: str, folder: Path) -> Path:
    known = {path.stem: path for path in folder.glob("*.po")}
    if language not in known:
        there = ", ".join(sorted(known)) or "none"
        raise NoCatalogue(f"{CHOICE} is {language!r}; of catalogues {folder.name}/ has {there}, expected {language}.po")
    return known[language]


def read(path: Path) -> Catalogue:
    """The catalogue in a PO file, without what is not translated yet or marked as fuzzy."""
    from babel.messages.pofile import read_po  # here, since most learners read English

    with path.open("rb") as file:
        messages = [m for m in read_po(file) if m.id and m.string and not m.fuzzy]
    return Catalogue({(str(m.context or ""), str(m.id)): str(m.string) for m in messages})
