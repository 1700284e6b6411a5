"""`python -m prepare.movie_snippets SDIST` writes embedded/movie_snippets.txt from vaderSentiment 3.3.2.

    pip download --no-binary :all: --no-deps vaderSentiment==3.3.2      # the SDIST vaderSentiment-3.3.2.tar.gz

Sentences of film reviews on Rotten Tomatoes that at least 15 people each rated from -4 to 4 (Hutto and Gilbert 2014).
A line holds split, mean rating and sentence, with tabs between; the rating is at least 1 or at most -1.
"""

from __future__ import annotations

import hashlib
import html
import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from coursekit.material.assets import FOLDER

SDIST = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
HELD_OUT = {"test": 1_500, "validation": 1_000}
CLEAR = 1.0  # ratings between -1 and 1 are neither


def rated(sdist: Path) -> Iterator[tuple[float, str]]:
    """Mean rating and sentence, clear ones only, each sentence once."""
    seen = set()
    for line in unpacked(sdist).decode("utf-8").splitlines():
        _, rating, text = line.split("\t")
        text = clean(text)
        if abs(float(rating)) >= CLEAR and (same := letters(text)) not in seen:
            seen.add(same)
            yield float(rating), text


def unpacked(sdist: Path) -> bytes:
    """The snippets inside the archive inside the sdist."""
    content = sdist.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != SDIST:
        raise SystemExit(f"{sdist} has sha256 {found}, expected {SDIST}: is it vaderSentiment-3.3.2.tar.gz of PyPI?")
    for name in (ARCHIVE, SNIPPETS):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = archive.extractfile(name)
        if member is None:
            raise SystemExit(f"{name} is no file in {sdist}")
        content = member.read()
    return content


def clean(text: str) -> str:
    """The text without HTML entities, with ordinary quotes and dashes, and single spaces."""
    return " ".join(html.unescape(text).replace("’", "'").replace("''", '"').replace("–", "-").split())


def letters(text: str) -> str:
    """What two spellings of one sentence share."""
    return "".join(c for c in text.lower() if c.isalnum())


def split(rows: list[tuple[float, str]]) -> Iterator[tuple[str, float, str]]:
    """Every split has the share of positive sentences that all rows have; a sentence's hash decides where it goes."""
    rows = sorted(rows, key=lambda row: hashlib.sha256(letters(row[1]).encode()).hexdigest())
    share = sum(rating > 0 for rating, _ in rows) / len(rows)
    left = {(name, True): round(n * share) for name, n in HELD_OUT.items()}
    left |= {(name, False): n - left[name, True] for name, n in HELD_OUT.items()}
    for rating, text in rows:
        name = next((name for name in HELD_OUT if left[name, rating > 0]), "train")
        left[name, rating > 0] = left.get((name, rating > 0), 0) - 1
        yield name, rating, text


def main() -> None:
    lines = [f"{name}\t{rating:.2f}\t{text}\n" for name, rating, text in split(list(rated(Path(sys.argv[1]))))]
    (FOLDER / "movie_snippets.txt").write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
