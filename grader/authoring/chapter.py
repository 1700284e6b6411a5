"""A chapter's text, read and judged: `chapters/NN_slug.py` in jupytext's percent format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grader.authoring import numbering

KEYS = ("exercise", "check", "question")
KNOWN_KEYS = {*KEYS, "tags", "jupyter"}
# How the text was laid out, which jupytext keeps for writing it back.
LAYOUT = {"lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker"}
PARAMETERS = ("profile", "device", "seed")
HEADER = ("title", "goals", "minutes", "prerequisites")
BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"


Refusals = Iterator[tuple[int, str]]  # line, sentence
# What may have an option in brackets, across a line's end: a formula that begins with one loses its first term.
_OPTION = re.compile(r"(\\begin\{(?:aligned|gathered|alignedat)\})\s*\[")


class BuildError(Exception):
    """A chapter that cannot be built; each line of the message names a file, a line and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell as the author wrote it; `line` is where it begins in the chapter's text."""

    kind: str
    source: str
    keys: dict
    line: int

    @property
    def tags(self) -> list[str]:
        return list(self.keys.get("tags", []))

    def key(self) -> tuple[str, str] | None:
        """("exercise", "attention.sdpa") where the author gave one of the short keys."""
        return next(((k, self.keys[k]) for k in KEYS if k in self.keys), None)


@dataclass(frozen=True)
class Text:
    """A chapter's header and cells; `name` is the path that refusals show."""

    slug: str
    name: str
    header: dict
    cells: tuple[Cell, ...]
    numbers: dict[str, str]  # of all chapters' exercises, by id


@dataclass(frozen=True)
class Specs:
    """Points by id: what coursekit says about one chapter. `missing` are listed ids without a spec."""

    exercises: dict[str, int]
    questions: dict[str, int]
    missing: tuple[str, ...] = ()


def load_specs(slug: str) -> Specs:
    """What `coursekit.exercises` says about the chapter; empty for a chapter that has no exercises."""
    from coursekit import exercises

    chapter = next((c for c in exercises.chapters() if c.slug == slug), None)
    if chapter is None:
        return Specs({}, {})
    points, missing = {}, []
    for id in chapter.exercises:
        try:
            points[id] = exercises.find(id).points
        except ModuleNotFoundError as error:
            if error.name != f"coursekit.exercises.{id}":
                raise
            missing.append(id)
    return Specs(points, {q.id: q.points for q in chapter.questions}, tuple(missing))


def read(path: Path, root: Path) -> Text:
    """The chapter's text as header and cells. Raises BuildError when the file is no percent script."""
    import jupytext

    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"# %%(\s|$)", line)]
    if len(lines) != len(notebook.cells):
        raise BuildError(
            f"{name}:1: found text before the first '# %%' or header keys outside 'jupyter:'; "
            "put the chapter's title, goals, minutes and prerequisites under 'jupyter: coursekit:'"
        )
    cells = (
        Cell(c.cell_type, c.source, {k: v for k, v in c.metadata.items() if k not in LAYOUT}, line)
        for c, line in zip(notebook.cells, lines, strict=True)
    )
    header = dict(notebook.metadata.get("coursekit", {}))
    return Text(path.stem, name, header, tuple(cells), numbering.numbers(path.parent))


def paragraphs(source: str) -> list[str]:
    """A Markdown cell's paragraphs, which are translated one by one, and what is between them: solutions' marks too."""
    return re.split(rf"(\n{{2,}}|^.*(?:{BEGIN}|{END}).*$)", source, flags=re.MULTILINE)


def judge(text: Text, specs: Specs, others: Iterable[tuple[int, str]] = ()) -> None:
    """Accept a chapter that can be built. Raises BuildError with one sentence for every reason against it.

    `others` are more reasons, as lines and sentences.
    """
    found = [*_header(text), *_keys(text), *_parameters(text), *_regions(text), *others]
    found += [*_pairs(text), *_specified(text, specs), *_references(text)]
    if found:
        raise BuildError("\n".join(f"{text.name}:{line}: {sentence}" for line, sentence in sorted(set(found))))


def _keyed(text: Text, kind: str) -> list[tuple[str, Cell]]:
    return [(cell.keys[kind], cell) for cell in text.cells if kind in cell.keys]


def _header(text: Text) -> Refusals:
    for key in HEADER:
        if not text.header.get(key):
            yield 1, f"the header has no {key}; add it under 'jupyter: coursekit:'"
    minutes = text.header.get("minutes", 1)
    if not isinstance(minutes, int) or minutes < 1:
        yield 1, f"minutes is {minutes!r}; write a whole number of minutes"


def _keys(text: Text) -> Refusals:
    # An exercise and a question share nbgrader's name space; a check's name follows from its exercise.
    counts = Counter((k == "check", id) for k, id in filter(None, (cell.key() for cell in text.cells)))
    for cell in text.cells:
        unknown = set(cell.keys) - KNOWN_KEYS
        if unknown:
            yield (
                cell.line,
                f"unknown cell key {', '.join(sorted(unknown))}; known are {', '.join(sorted(KNOWN_KEYS))}",
            )
        if sum(kind in cell.keys for kind in KEYS) > 1:
            yield cell.line, "a cell is an exercise, a check or a question, not several of them"
        elif (key := cell.key()) and counts[key[0] == "check", key[1]] > 1:
            yield cell.line, f"{key[0]} {key[1]!r} stands in more than one cell; give each its own id"
        if key := cell.key():
            yield from _kind(cell, *key)


def _kind(cell: Cell, kind: str, id: str) -> Refusals:
    wanted = "markdown" if kind == "question" else "code"
    if cell.kind != wanted:
        yield cell.line, f"{kind} {id!r} is a {cell.kind} cell; make it a {wanted} cell"
    if not re.fullmatch(numbering.ID, id):
        yield cell.line, f"{id!r} is no id; write it as slug.verb_or_noun in small letters"


def _parameters(text: Text) -> Refusals:
    cells = [cell for cell in text.cells if "parameters" in cell.tags]
    if len(cells) != 1:
        yield 1, f"found {len(cells)} cells tagged parameters, expected one; it sets {', '.join(PARAMETERS)}"
    for cell in cells:
        unset = [name for name in PARAMETERS if not re.search(rf"^{name} = ", cell.source, re.M)]
        if unset:
            yield cell.line, f"the parameters cell does not set {', '.join(unset)}"


def _regions(text: Text) -> Refusals:
    for cell in text.cells:
        marks = re.findall(f"{BEGIN}|{END}", cell.source)
        answers = "exercise" in cell.keys or "question" in cell.keys
        if "BEGIN HIDDEN TESTS" in cell.source:
            yield (
                cell.line,
                "hidden tests do not belong in a chapter; put cases and laws into the exercise's spec",
            )
        if marks and not answers:
            yield (
                cell.line,
                "a solution region outside an exercise or a question would be released; move it or key it",
            )
        elif (key := cell.key()) and answers and not marks:
            kind, id = key
            yield cell.line, f"{kind} {id!r} has no solution region; add '### {BEGIN}' and '### {END}'"
        elif marks != [BEGIN, END] * (len(marks) // 2):
            yield cell.line, f"'{BEGIN}' and '{END}' do not come in pairs"


def _pairs(text: Text) -> Refusals:
    checks, exercises = dict(_keyed(text, "check")), dict(_keyed(text, "exercise"))
    for id, cell in exercises.items():
        if id not in checks:
            yield cell.line, f"exercise {id!r} has no check cell; add '# %% check=\"{id}\"' below it"
    for id, cell in checks.items():
        if not re.search(rf"""\bcheck\(\s*["']{re.escape(id)}["']""", cell.source):
            yield cell.line, f'the check cell of {id!r} does not call check("{id}", ...)'
        if id not in exercises:
            yield cell.line, f"check {id!r} has no exercise cell; add '# %% exercise=\"{id}\"' above it"
        elif not _stands_below(text, exercises[id], cell):
            yield (
                cell.line,
                f"check {id!r} must follow its exercise; only markdown cells may stand between them",
            )


def _stands_below(text: Text, exercise: Cell, check: Cell) -> bool:
    first, last = text.cells.index(exercise), text.cells.index(check)
    return first < last and all(cell.kind == "markdown" for cell in text.cells[first + 1 : last])


def _specified(text: Text, specs: Specs) -> Refusals:
    for kind, known in (("exercise", specs.exercises), ("question", specs.questions)):
        written = dict(_keyed(text, kind))
        for id, cell in written.items():
            if id not in known:
                yield cell.line, f"{kind} {id!r} has no spec; {_where(kind, id, text.slug)}"
        for id in known:
            if id not in written:
                yield 1, f"the spec lists {kind} {id!r}, the chapter has no such cell; write it or unlist it"
    for id in set(specs.missing) - set(dict(_keyed(text, "exercise"))):
        yield 1, f"exercise {id!r} is listed, but has neither a spec nor a cell"


def _references(text: Text) -> Refusals:
    for cell in text.cells:
        if cell.kind == "markdown":
            for line, sentence in numbering.refusals(cell.source, text.numbers):
                yield cell.line + 1 + line, sentence
            for option in _OPTION.finditer(cell.source):
                line = cell.line + 1 + cell.source.count("\n", 0, option.end())
                yield line, f"TeX takes the [ behind {option[1]} for an option and leaves it out: write {{[}}"


def _where(kind: str, id: str, slug: str) -> str:
    group, _, name = id.partition(".")
    if kind == "exercise":
        return f"write coursekit/exercises/{group}/{name}.py and list it in its chapter's exercises"
    return f"add it to the questions of chapter {slug} in coursekit/exercises/{group}/__init__.py"
