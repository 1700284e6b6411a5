"""A chapter as a notebook: nbgrader's metadata, stable cell ids, and the released form."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

from grader.authoring import marking
from grader.authoring.numbering import numbered

if TYPE_CHECKING:
    from traitlets.config import Config

    from grader.authoring.chapter import Cell, Specs, Text

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# Without the interpreter's version, so that rebuilding on another Python changes no byte of the release.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
CHECKED = "nbval-check-output"


def grade_id(kind: str, id: str) -> str:
    """The id that nbgrader uses: dots become hyphens, a check cell is told from its exercise by a suffix."""
    return id.replace(".", "-") + ("-check" if kind == "check" else "")


def grade_id_of(cell: NotebookNode) -> str:
    """The grade id of a notebook's cell; empty where it has none."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def expand(text: Text, specs: Specs) -> NotebookNode:
    """The chapter as a notebook without outputs: short keys become nbgrader metadata, cells get ids."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": LANGUAGE, "coursekit": dict(text.header)}
    )
    seen: Counter[str] = Counter()
    cells = marking.shown(_numbered(cell, text) for cell in text.cells)
    notebook.cells = [_expand_cell(cell, specs, seen) for cell in cells]
    nbformat.validate(notebook)
    return notebook


def _numbered(cell: Cell, text: Text) -> Cell:
    """The cell as readers see it: its id, too, is made of that."""
    return replace(cell, source=numbered(cell.source, text.numbers)) if cell.kind == "markdown" else cell


def _expand_cell(cell: Cell, specs: Specs, seen: Counter[str]) -> NotebookNode:
    make = nbformat.v4.new_code_cell if cell.kind == "code" else nbformat.v4.new_markdown_cell
    new = make(cell.source)
    tags = cell.tags
    if key := cell.key():
        new.id = grade_id(*key)
        new.metadata["nbgrader"] = _nbgrader(*key, specs)
        if key[0] == "check":
            tags.append(CHECKED)
    else:
        new.id = _content_id(cell, seen)
    if tags:
        new.metadata["tags"] = tags
    if "jupyter" in cell.keys:
        new.metadata["jupyter"] = cell.keys["jupyter"]
    return new


def _content_id(cell: Cell, seen: Counter[str]) -> str:
    digest = hashlib.sha256(f"{cell.kind}\n{cell.source}".encode()).hexdigest()[:12]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _nbgrader(kind: str, id: str, specs: Specs) -> dict:
    graded = kind in ("check", "question")
    meta = {
        "schema_version": 3,
        "grade_id": grade_id(kind, id),
        "grade": graded,
        "solution": kind in ("exercise", "question"),
        "locked": kind == "check",
        "task": False,
    }
    if graded:
        meta["points"] = specs.exercises[id] if kind == "check" else specs.questions[id]
    return meta


def points(notebook: NotebookNode) -> dict[str, float]:
    """Full marks by grade id."""
    graded = (c.metadata.nbgrader for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade"))
    return {meta.grade_id: meta.points for meta in graded}


def sources_hash(notebook: NotebookNode) -> str:
    """A hash of the kinds and sources of all cells: writing changes it, running does not."""
    cells = [f"{cell.cell_type}\n{cell.source}" for cell in notebook.cells]
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()


def write(notebook: NotebookNode) -> str:
    """The notebook's bytes as nbformat writes them, with sorted keys and a final newline."""
    return nbformat.writes(notebook, version=4).rstrip("\n") + "\n"


def nbgrader_config(root: Path) -> Config:
    """The settings of `nbgrader_config.py` in `root`; nbgrader's defaults where there is none."""
    from traitlets.config import Config
    from traitlets.config.loader import PyFileConfigLoader

    if not (root / "nbgrader_config.py").exists():
        return Config()
    return PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()


def release(notebook: NotebookNode, config: Config) -> tuple[NotebookNode, str]:
    """What learners get, as a notebook and as text: made by nbgrader's own preprocessors.

    The same as `nbgrader generate_assignment`, less the step that writes the gradebook.
    """
    from nbconvert.exporters import NotebookExporter
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.preprocessors import SaveCells
    from traitlets.config import Config

    config = Config(config)
    config.Exporter.default_preprocessors = []
    converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    exporter = NotebookExporter(config=config)
    for preprocessor in converter.preprocessors:
        if preprocessor is not SaveCells:
            exporter.register_preprocessor(preprocessor)
    text, _ = exporter.from_notebook_node(notebook)
    return nbformat.reads(text, as_version=4), text


def outputs_text(cell: NotebookNode) -> str:
    """Everything that a reader could read in a cell's outputs; pictures are left out."""
    parts = []
    for output in cell.get("outputs", []):
        parts += [str(output.get(k, "")) for k in ("text", "evalue")]
        parts += map(str, output.get("traceback", []))
        data = output.get("data", {}).items()
        parts += [str(v) for mime, v in data if not re.match(r"image/(?!svg)|application/pdf", mime)]
    return "\n".join(parts)
