"""Running a chapter's notebook once, and keeping its outputs clean enough to commit."""

from __future__ import annotations

import html
import json
import os
import re
import sys
import tempfile
import textwrap
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from coursekit.figures import STRICT
from grader.authoring.chapter import BuildError
from grader.authoring.naming import retyped
from grader.authoring.notebook import LANGUAGE, outputs_text, points
from grader.authoring.watching import PLACE, START

CELL_SECONDS = 600
WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(notebook: NotebookNode, root: Path, name: str, threads: int | None = None) -> NotebookNode:
    """The notebook with outputs, run from its first cell to its last in a fresh kernel and an empty folder.

    Raises BuildError when a cell fails, when a check earns less than full marks, or when an output could not
    stand in a repository. The author's own progress is not touched. `threads` are the kernel's; torch's own number
    by default.
    """
    notebook = nbformat.from_dict(notebook)
    with tempfile.TemporaryDirectory() as folder:
        types = _run(notebook, folder, name, threads)
        _clean(notebook)
        found = [*map(_told, _lost_marks(notebook)), *_unclean(notebook, [*_places(root), folder])]
        found += retyped(notebook, types)
    if not found:
        found = list(_needing_more(notebook, name, threads))
    if found:
        raise BuildError("\n".join(f"{name}, cell {id}: {sentence}" for id, sentence in found))
    return notebook


def _run(notebook: NotebookNode, folder: str, name: str, threads: int | None) -> dict[str, dict[str, str]]:
    """Give the notebook its outputs; the types of each cell's names by the cell's source."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError
    from traitlets.config import Config

    types = Path(folder, "types.json")
    env = os.environ | {
        "COURSEKIT_HOME": folder,
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": _INLINE,
        PLACE: str(types),
        STRICT: "1",
    }
    env.pop("COURSEKIT_PROFILE", None)  # what is committed was run as a learner runs it
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as sockets:
        # Sockets in a folder of ours are nobody else's to listen to; over TCP a kernel warns that they are.
        private = {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"} if os.name == "posix" else {}
        client = NotebookClient(
            notebook,
            config=Config(KernelManager=private),
            timeout=CELL_SECONDS,
            kernel_name="python3",
            # Model ids are random and the saved state repeats what the cell can make again.
            store_widget_state=False,
            record_timing=False,
            # Otherwise the moment at which a kernel flushes decides how many outputs a cell has.
            coalesce_streams=True,
            extra_arguments=[f"--IPKernelApp.exec_lines={START}"],
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=env)
        except (CellExecutionError, CellTimeoutError) as error:
            raise BuildError(f"{name}{_failure(notebook) or f': {error}'}") from error
    return json.loads(types.read_text(encoding="utf-8")) if types.exists() else {}


def _failure(notebook: NotebookNode) -> str:
    """The cell that failed, its source, and the traceback without the colours of a terminal."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback))
                source = textwrap.indent(cell.source, "    ")
                return f", cell {cell.id}: {output.ename}: {output.evalue}\n{source}\n{textwrap.indent(trace, '  ')}"
    return ""


_INLINE = "module://matplotlib_inline.backend_inline"


def _clean(notebook: NotebookNode) -> None:
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = nbformat.from_dict(LANGUAGE)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)


def _lost_marks(notebook: NotebookNode):
    """(cell id, sentence, report) for every check that does not give full marks to the chapter's own solution."""
    full = points(notebook)
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or not meta.get("grade"):
            continue
        results = [o.data for o in cell.outputs if o.output_type == "execute_result"]
        earned = [data.get("text/plain", "") for data in results]
        if earned[:1] != [f"{full[meta.grade_id]:g}"]:
            sentence = f"the solution earns {', '.join(earned) or 'nothing'} of {full[meta.grade_id]:g} points"
            yield cell.id, sentence, "\n".join(_as_text(data.get("text/html", "")) for data in results)


def _told(lost: tuple[str, str, str], before: str = "", after: str = "") -> tuple[str, str]:
    id, sentence, report = lost
    return id, f"{before}{sentence}{after}\n{textwrap.indent(report, '    ')}".rstrip()


def _as_text(report: str) -> str:
    """A verdict's HTML as the author reads it in a terminal: a line for each block."""
    lines = re.sub(r"</?(?:div|pre|summary|details)\b[^>]*>", "\n", report)
    return "\n".join(filter(str.strip, html.unescape(re.sub(r"<[^>]+>", "", lines)).splitlines()))


def _needing_more(notebook: NotebookNode, name: str, threads: int | None):
    """(cell id, sentence) for every check that passes only where demonstration cells ran: grading leaves them out."""
    alone = nbformat.from_dict(notebook)
    alone.cells = [cell for cell in alone.cells if cell.cell_type == "code" and _graded_with(cell)]
    with tempfile.TemporaryDirectory() as folder:
        _run(alone, folder, f"{name}, set-up, exercises and checks alone", threads)
    for lost in _lost_marks(alone):
        yield _told(lost, "without the demonstration cells ", ": define what the exercise needs in a set-up cell")


def _graded_with(cell: NotebookNode) -> bool:
    return "nbgrader" in cell.metadata or bool({"setup", "parameters"} & set(cell.metadata.get("tags", ())))


def _places(root: Path) -> list[str]:
    """Paths that mean something on this machine only."""
    places = {str(root), str(Path.home()), sys.prefix, sys.base_prefix, tempfile.gettempdir()}
    return [place for place in places if len(place) > 3]


def _unclean(notebook: NotebookNode, places: list[str]):
    """(cell id, sentence) for every output that another machine or another run would not give."""
    path = re.compile("|".join([*map(re.escape, places), r"/home/\w", r"/Users/\w", r"\b[A-Z]:\\\\?Users"]))
    for cell in notebook.cells:
        text = outputs_text(cell)
        if match := path.search(text):
            yield cell.id, f"an output holds the machine's path {match[0]!r}; print less or a relative path"
        if match := re.search(r"\bat 0x[0-9a-f]{6,}", text):
            yield (
                cell.id,
                f"an output holds the memory address {match[0]!r}; end the last line with a semicolon",
            )
        if any(o.get("name") == "stderr" for o in cell.get("outputs", [])):
            yield cell.id, f"writes to stderr: {text.strip().splitlines()[0][:160]!r}; cure the warning"
