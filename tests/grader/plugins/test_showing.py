"""Feedback and formgrader show what a learner wrote with the course's own settings: cleaned, without the network."""

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from grader.authoring.notebook import nbgrader_config
from grader.grading.feedback import RELEASED
from grader.plugins.showing import Feedback

RESOURCES = {
    "nbgrader": {"notebook": "n", "score": 1, "max_score": 2, "late_penalty": 0},
    "base_url": "",
    "notebook_id": "n",
    "index": 0,
    "total": 1,
}


def shown(root, kind, notebook):
    """The page as nbgrader makes it: the template is its own, all else the course's."""
    made = Config(nbgrader_config(root))
    made.HTMLExporter.template_name = kind
    made.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    made.HTMLExporter.extra_template_paths = [handlers.static_path + "/node_modules/bootstrap/dist/css"]
    exporter = {"feedback": Feedback, "formgrade": HTMLExporter}[kind](config=made)
    page, _ = exporter.from_notebook_node(notebook, RESOURCES | {"inlining": {"css": []}})
    return page[page.index("<body") :] if kind == "formgrade" else page


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


@pytest.mark.parametrize("kind", ["feedback", "formgrade"])
def test_markdown_is_cleaned_after_it_was_rendered(root, kind):
    text = r"[x](javascript\:alert(1)) <img src=x onerror=alert(1)> ![y](attachment:lost.png) $a_1$"
    marked = {"grade_id": "q", "grade": True, "solution": True, "task": False, "points": 3, "score": 0, "comment": text}
    answer = nbformat.v4.new_markdown_cell(text, metadata={"nbgrader": marked})
    output = nbformat.v4.new_output("display_data", {"text/markdown": text})
    page = shown(root, kind, notebook(answer, nbformat.v4.new_code_cell("1", outputs=[output])))
    assert 'href="javascript' not in page
    assert '<img src="x"' not in page
    assert page.count("<msub>") >= 2
    assert "the picture lost.png was not handed in" in page


@pytest.mark.parametrize("kind", ["feedback", "formgrade"])
def test_the_chapters_own_cells_keep_their_hints_and_a_copy_of_them_does_not(root, kind):
    text = "<details><summary>Hint</summary>\n\nText\n</details>"
    mine = nbformat.v4.new_markdown_cell(text, metadata={RELEASED: True})
    assert "<details>" in shown(root, kind, notebook(mine))
    assert "<details>" not in shown(root, kind, notebook(nbformat.v4.new_markdown_cell(text)))


def test_feedback_holds_no_script_and_asks_no_network(root):
    page = shown(root, "feedback", notebook(nbformat.v4.new_markdown_cell("$x$")))
    assert "<script" not in page
    assert "cdnjs" not in page
