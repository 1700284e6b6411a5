"""Search what learners get for what they must not get: solutions, references, mistakes, seeds.

Code is compared line by line after comments, spaces and quotes are gone, so that another layout hides nothing.
One line proves little (`return A @ V` is what anyone would write): a finding is the shortest run of consecutive
lines that holds at least `TELLING` names, numbers and operators. A run that also stands in a chapter outside its
solution regions is public, for the author shows it to every reader.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.authoring.chapter import BEGIN, END

TELLING = 12
# A seed of fewer digits would be found in any table of numbers.
SEED_DIGITS = 5
SKIPPED = {".pyc", ".png", ".jpg", ".woff2"}


@dataclass(frozen=True)
class Secret:
    """A run of normalised lines and the file that they come from."""

    lines: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Leak:
    """Where a secret was found, what it is, and where it belongs."""

    file: str
    secret: str
    origin: str

    def __str__(self) -> str:
        return f"{self.file}: holds {self.secret!r}, which belongs to {self.origin}"


class Index:
    """Secrets by their lines, so that a text is searched for all of them in one reading."""

    def __init__(self, secrets: Iterable[Secret]):
        self._lengths: dict[str, set[int]] = {}  # by first line
        self._secrets: dict[tuple[str, ...], list[Secret]] = {}
        for secret in secrets:
            self._lengths.setdefault(secret.lines[0], set()).add(len(secret.lines))
            self._secrets.setdefault(secret.lines, []).append(secret)

    def within(self, lines: list[str]) -> Iterator[Secret]:
        """Every secret whose lines stand one after the other in `lines`, as often as they do."""
        for start, line in enumerate(lines):
            for length in self._lengths.get(line, ()):
                yield from self._secrets.get(tuple(lines[start : start + length]), ())


def search(root: Path, folders: list[Path]) -> list[Leak]:
    """Every secret of the repository at `root` that stands in a file below `folders`, each once per file."""
    hidden, seeds = Index(secrets(root)), secret_seeds()
    found = []
    for folder in folders:
        for path in _files(folder):
            name, text = path.relative_to(folder.parent).as_posix(), _readable(path)
            found += [Leak(name, " / ".join(s.lines), s.origin) for s in hidden.within(_normal(text))]
            numbers = set(re.findall(r"\d+", text.replace("_", "")))
            found += [Leak(name, seed, "grader/proving/seeds.py") for seed in seeds if seed in numbers]
    return list(dict.fromkeys(found))


def secrets(root: Path) -> list[Secret]:
    """The runs of lines that must stay in solutions/ and grader/, less those that are public.

    Public is what the chapters show; and an alternative that does no more than call a public library may equal
    the stand-in that coursekit gives for an unsolved exercise.
    """
    shown: list[list[str]] = []
    hidden = []
    for path in sorted((root / "chapters").glob("*.py")):
        text, regions = _split(path.read_text(encoding="utf-8"))
        shown.append(_normal(text))
        hidden += [(region, path, "") for region in regions]
    for path in sorted((root / "grader" / "exercises").rglob("*.py")):
        stand_in = _stand_in(root / "coursekit" / "library" / path.relative_to(root / "grader" / "exercises"))
        for code, alternative in _bodies(path.read_text(encoding="utf-8")):
            hidden.append((code, path, stand_in if alternative else ""))
    found = dict.fromkeys(
        Secret(run, path.relative_to(root).as_posix())
        for code, path, stand_in in hidden
        for run in _runs(_normal(code))
        if _joined(run) not in stand_in
    )
    index = Index(found)
    public = {secret for lines in shown for secret in index.within(lines)}
    return [secret for secret in found if secret not in public]


def _stand_in(path: Path) -> str:
    """The normalised lines of what stands in for an unsolved exercise."""
    return _joined(_normal(path.read_text(encoding="utf-8"))) if path.exists() else ""


def secret_seeds() -> list[str]:
    """The secret seeds and the numbers that they are made from, as digits."""
    from grader.proving import seeds

    literals = re.findall(r"\d+", Path(seeds.__file__).read_text(encoding="utf-8").replace("_", ""))
    numbers = {*literals, *map(str, seeds.SECRET)}
    return sorted(n for n in numbers if len(n) >= SEED_DIGITS)


def _split(chapter: str) -> tuple[str, list[str]]:
    """A chapter's text without its solution regions, with markdown uncommented; and the regions."""
    shown: list[str] = []
    regions: list[list[str]] = []
    inside = False
    for line in chapter.splitlines():
        bare = re.sub(r"^# ?", "", line)
        if BEGIN in line:
            inside = True
            regions.append([])
        elif END in line:
            inside = False
        else:
            (regions[-1] if inside else shown).append(bare)
    return "\n".join(shown), ["\n".join(region) for region in regions]


def _bodies(source: str) -> Iterator[tuple[str, bool]]:
    """(code, whether it is an alternative) of a trusted module: no imports, signatures or docstrings.

    Decorators are left out too: a mistake's sentence is what learners are meant to read.
    """
    rows = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        body = node.body if isinstance(node, ast.FunctionDef | ast.ClassDef) else [node]
        kept = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
        decorators = map(ast.unparse, getattr(node, "decorator_list", []))
        code = "\n".join(row for n in kept for row in rows[n.lineno - 1 : n.end_lineno])
        yield code, any(".alternative" in decorator for decorator in decorators)


def _normal(text: str) -> list[str]:
    """The lines of a text as tokens with spaces between; comments, quotes and empty lines are gone."""
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
    tokens = (re.findall(r"\d+\.\d+|\w+|[^\w\s'\"]", line) for line in lines)
    return [" ".join(found) for found in tokens if found]


def _weight(line: str) -> int:
    """How many names, numbers and operators stand in a normalised line; punctuation says nothing."""
    return len(re.findall(r"\w[\w.]*|[-+*/@%<>&|^~]", line))


def _runs(lines: list[str]) -> Iterator[tuple[str, ...]]:
    """From every line the shortest run of lines that is telling."""
    for start in range(len(lines)):
        for end in range(start + 1, len(lines) + 1):
            if sum(map(_weight, lines[start:end])) >= TELLING:
                yield tuple(lines[start:end])
                break


def _joined(lines) -> str:
    return "\n" + "".join(line + "\n" for line in lines)


def _files(folder: Path) -> list[Path]:
    paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    return [p for p in paths if p.is_file() and p.suffix not in SKIPPED and ".git" not in p.parts]


def _readable(path: Path) -> str:
    """A file's text: the strings of a notebook, the header of a safetensors file, else the file itself."""
    if path.suffix == ".safetensors":
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            return "\n".join(_strings(json.loads(file.read(size))))
    text = path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix in {".ipynb", ".json"}:
        return "\n".join(_strings(json.loads(text)))
    return text


def _strings(value) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        yield "".join(value)  # a notebook keeps a cell's lines as a list of strings that end in newlines
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    else:
        yield str(value)
