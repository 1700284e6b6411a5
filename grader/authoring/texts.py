"""Every text that a learner reads, taken out of where it is written: the template for a catalogue in another language.

Whole texts come from the chapters, the files of texts, the diagrams and the exercises. Sentences that code makes are
found in its syntax: a string of several words, or an f-string, whose fields keep their names. That finds a few strings
too many, which are never shown and so do no harm; one too few would leave English behind, and a test looks for that.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter

import torch
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from coursekit.beside import FOLDER as BESIDE
from coursekit.checking.contract import Exercise
from coursekit.diagrams import all_diagrams
from coursekit.exercises import chapters, find
from coursekit.figures import all_descriptions
from coursekit.language import CHOICE, FIELDS, WORD, chosen
from coursekit.predictions import all_predictions
from coursekit.quizzes import all_quizzes
from grader.authoring import chapter
from grader.authoring.chapter import Text
from grader.exercises import trusted

# Where every sentence may come before a learner; elsewhere only what is given to one of these functions
# without a name, or to any by one of these names.
SENTENCES = tuple(
    f"coursekit/{name}" for name in ("checking", "exercises", "home", "notebook", "predictions", "record", "widgets")
)
SHOWING = {
    "translated",
    "spoken",
    "labelled",
    "show",
    "picture",
    "heatmap",
    "curves",
    "draw_curves",
    "clouds",
    "token_explorer",
}
LABELS = {"x_label", "y_label", "xlabel", "ylabel", "title", "rows", "columns", "unit"}
_WORD = re.compile(r"(?:^|(?<=[\s\0(]))(?:a|[A-Za-z][a-z]+)(?=[\s\0,;:.?!)]|$)")
_PROSE = re.compile(r"\b(?:a|[A-Za-z][a-z]+)[,;:]? (?:a|[a-z]{2,})\b|^[a-z]{3,} \(?-?\d")
# Regular expressions, HTML, style sheets; calls, and pictures of Boolean tensors.
_NO_PROSE = re.compile(r"[\\^<\n\t]|\[\w\w\]|\d(px|em)|[a-z]: [a-z-]+;|gradient\(| -> |^\w+\([\w, ]*\)$|^[x.?\s]+$")
# What no language changes: code, mathematics, HTML's tags and entities, and where links and exercises' numbers lead.
UNSPOKEN = re.compile(
    r"^(?P<fence>```|~~~).*?^(?P=fence)|`[^`]+`|\$\$.+?\$\$|\$[^$]+\$|<!?[-/a-z][^>]*>|&#?\w+;|(?<=\])\([^)\s]*\)|"
    rf"^.*(?:{chapter.BEGIN}|{chapter.END}).*$|"
    r"\[\[[a-z_]+\.[a-z_]+\]\]|\[\[(?:terms|formulas)\]\]|https?://[^\s)>]+",
    re.MULTILINE | re.DOTALL,
)
_LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Found:
    """One text with its context in a catalogue, where it is written, and a remark for whoever translates it."""

    text: str
    file: str
    line: int = 0  # where there is one
    context: str = ""
    remark: str = ""


def extract(root: Path) -> dict[str, Catalog]:
    """All texts in the order of their places, by the file for which they are: "chapters/xx.po", and coursekit's own.

    What a person marks has its marking scheme in the prose: so prose has a catalogue that learners never get. Raises
    ValueError where a language is chosen.
    """
    if chosen():
        raise ValueError(f"{CHOICE} is set, expected none: texts are taken out of the English course")
    return {"chapters": _catalogue(of_prose(root)), "coursekit": _catalogue(of_package(root))}


def write(catalogue: Catalog, path: Path) -> None:
    """Write a template for translators."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, width=110)


def _catalogue(texts: Iterable[Found]) -> Catalog:
    catalogue = Catalog(project="coursekit", charset="utf-8", fuzzy=False)
    for found in texts:
        remarks = [found.remark] if found.remark else []
        place = [(found.file, found.line)]
        message = catalogue.add(found.text, context=found.context or None, locations=place, auto_comments=remarks)
        # Babel takes the braces and percent signs of mathematics for fields.
        message.flags = {"python-brace-format"} if found.context == FIELDS else set()
    return catalogue


def of_prose(root: Path) -> Iterator[Found]:
    """Every chapter's header, and its prose paragraph by paragraph: whoever edits one leaves the others translated."""
    for text in _chapters(root):
        values = (one for value in text.header.values() for one in (value if isinstance(value, list) else [value]))
        yield from (Found(one, text.name, 1) for one in values if isinstance(one, str))
        for cell in text.cells:
            for one in chapter.paragraphs(cell.source) if cell.kind == "markdown" else ():
                if _LETTERS.search(UNSPOKEN.sub("", one)):
                    yield Found(one, text.name, cell.line + 1 + cell.source[: cell.source.index(one)].count("\n"))


def of_package(root: Path) -> Iterator[Found]:
    """Every text that coursekit shows; one that stands in several places comes several times."""
    yield from _beside()
    yield from _diagrams()
    for one in chapters():
        folder = one.exercises[0].partition(".")[0]
        for title in (one.title, *(question.title for question in one.questions)):
            yield Found(title, f"coursekit/exercises/{folder}/__init__.py")
        for id in one.exercises:
            yield from of_exercise(find(id))
    for path in sorted([*(root / "coursekit").rglob("*.py"), root / "grader" / "authoring" / "marking.py"]):
        name = path.relative_to(root).as_posix()
        yield from of_code(path.read_text(encoding="utf-8"), name, whole=name.startswith(SENTENCES))
    for text in _chapters(root):
        for cell in text.cells:
            if cell.kind == "code" and not re.search(r"^\s*[%!]", cell.source, re.MULTILINE):
                for found in of_code(cell.source, text.name):
                    yield replace(found, line=cell.line + found.line)


def _chapters(root: Path) -> Iterator[Text]:
    for path in sorted((root / "chapters").glob("[0-9][0-9]_*.py")):
        yield chapter.read(path, root)


def of_exercise(exercise: Exercise) -> Iterator[Found]:
    """Title, parts, the single words in the labels of cases, and the sentences of known mistakes."""
    folder = exercise.id.replace(".", "/")
    public, theirs = f"coursekit/exercises/{folder}.py", f"grader/exercises/{folder}.py"
    for text in (exercise.title, exercise.difficulty, *exercise.parts):
        yield Found(text, public)
    labels = (case.label for case in exercise.drawn(torch.Generator().manual_seed(0)))
    for word in dict.fromkeys(part for label in labels for part in label.split(", ")):
        if re.fullmatch(r"[A-Za-z-]{2,}", word):
            yield Found(word, public, context=WORD)
    for mistake in trusted(exercise.id).mistakes:
        yield Found(mistake.sentence, theirs, remark=f"{exercise.id}: {mistake.name}")


def of_code(source: str, file: str, whole: bool = False) -> Iterator[Found]:
    """The texts that code shows. Of a `whole` module all sentences are; else what the functions that show are given."""
    tree = ast.parse(source)
    roots: list[ast.AST] = [tree] if whole else []
    given: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            labels = [k.value for k in node.keywords if k.arg in LABELS]
            given += [*labels, *(node.args if name in SHOWING else ())]
        elif isinstance(node, ast.FunctionDef) and not whole:
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            given += [default for argument, default in pairs if default and argument.arg in LABELS]
    found = [*_sentences(roots, file), *_given(given, file)]
    yield from dict.fromkeys(sorted(found, key=lambda one: one.line))


def _sentences(roots: list[ast.AST], file: str) -> Iterator[Found]:
    """What has several words, or words and fields; a single word where it is one of two that a sentence may have."""
    for node in _visible(roots):
        match node:
            case ast.JoinedStr():
                yield from _template(*_fields(node), Found("", file, node.lineno))
            case ast.Constant(value=str(text)) if _PROSE.search(text) and not _NO_PROSE.search(text):
                yield from _template(text, _named(text), Found("", file, node.lineno))
            case ast.IfExp(body=one, orelse=other):
                yield from _words((one, other), file)
            case ast.BoolOp(values=values):
                yield from _words(values, file)
            case ast.keyword(arg="kind", value=value):
                yield from _words([value], file)
            case ast.Attribute(value=ast.Constant(value=str(text)), attr="join") if _LETTERS.search(text):
                yield Found(f"{{one}}{text}{{more}}", file, node.lineno, FIELDS)


def _given(roots: list[ast.AST], file: str) -> Iterator[Found]:
    for node in _visible(roots):
        if isinstance(node, ast.JoinedStr):
            yield from _template(*_fields(node), Found("", file, node.lineno))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _LETTERS.search(node.value):
            yield Found(node.value, file, node.lineno)


def _words(nodes: Iterable[ast.AST], file: str) -> Iterator[Found]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[A-Za-z]{2,}", node.value):
            yield Found(node.value, file, node.lineno, WORD)


def _visible(roots: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes but documentation, types, keys, formats, and the strings of which f-strings are made."""
    ahead = list(roots)
    while ahead:
        node = ahead.pop()
        yield node
        if isinstance(node, ast.JoinedStr):
            ahead += [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            unread = [getattr(node, name, None) for name in ("annotation", "returns", "slice")]
            ahead += [child for child in ast.iter_child_nodes(node) if child not in unread]


def _fields(node: ast.JoinedStr) -> tuple[str, str]:
    """An f-string's literal text with a zero for each field, and the text with names for the fields."""
    literal, text, names = "", "", dict[str, str]()
    for part in node.values:
        if isinstance(part, ast.Constant):
            said = str(part.value)
            literal, text = literal + said, text + (_named(said) or _doubled(said))
        elif isinstance(part, ast.FormattedValue) and not literal.endswith("\0"):  # two side by side are one
            code = part.conversion != -1 or literal.endswith("`")
            sign = ":n" if part.format_spec else "!s" if code else ""
            literal, text = literal + "\0", f"{text}{{{_name(ast.unparse(part.value), names)}{sign}}}"
    return literal, text


def _name(expression: str, names: dict[str, str]) -> str:
    """What a translator reads in place of an expression: the last name in it, with a number where that is taken."""
    words = re.findall(r"[A-Za-z_]\w*", re.sub(r"(['\"]).*?\1", "", expression))
    name = next((word.strip("_") for word in reversed(words) if not keyword.iskeyword(word)), "x")
    taken = [other for other in names.values() if re.fullmatch(rf"{name}(_\d+)?", other)]
    return names.setdefault(expression, f"{name}_{len(taken) + 1}" if taken else name)


def _named(text: str) -> str:
    """A text for `format`, its fields as a template has them; empty where it has none."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:  # braces of mathematics
        return ""
    if all(name is None for _, name, _, _ in parts):
        return ""
    named = (
        _doubled(literal) + ("" if name is None else f"{{{name if name.isidentifier() else f'x{place}'}{sign}}}")
        for place, (literal, name, spec, _) in enumerate(parts)
        for sign in [":n" if spec else "!s" if name else ""]
    )
    return "".join(named)


def _doubled(literal: str) -> str:
    """Braces as `format` wants them."""
    return literal.replace("{", "{{").replace("}", "}}")


def _template(literal: str, text: str, found: Found) -> Iterator[Found]:
    """A sentence without what joins it to others; nothing where no word is in it. Without fields `text` is empty."""
    if _NO_PROSE.search(literal) or not (_WORD.search(literal) if "\0" in literal else _PROSE.search(literal)):
        return
    begun = re.sub(r"^[\s,;:(]+|[;:]?\s+$", "", text or literal)
    if re.match(r"[\s,;:]*\(", literal):
        begun = begun.removesuffix(")")
    yield replace(found, text=begun, context=FIELDS if text else "")


def _beside() -> Iterator[Found]:
    for id, quiz in all_quizzes().items():
        for text in (quiz.question, *(part for option in quiz.options for part in (option.text, option.why))):
            yield Found(text, _file("quizzes", id), remark=id)
    for id, asked in all_predictions().items():
        for text in (asked.ask, *asked.options, asked.unit or ""):
            if _LETTERS.search(text):
                yield Found(text, _file("predictions", id), remark=id)
    for id, text in all_descriptions().items():
        yield Found(text, _file("figures", id), remark=id)


def _file(kind: str, id: str) -> str:
    chapter, _, _ = id.partition(".")
    (path,) = (BESIDE / kind).glob(f"[0-9]*_{chapter}.toml")
    return f"coursekit/texts/{kind}/{path.name}"


def _diagrams() -> Iterator[Found]:
    for id, make in all_diagrams().items():
        made = make()
        boxes = [words for box in made.boxes for words in (box.label, box.note)]
        for text in (*boxes, *(arrow.label for arrow in made.arrows), *(group.title for group in made.groups)):
            if _LETTERS.search(text):
                yield Found(text, f"coursekit/diagrams/{id.partition('.')[0]}.py", remark=id)
