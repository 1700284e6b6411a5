"""What a learner wrote cannot act in the instructor's browser, and stays readable."""

import re

import nbformat
import pytest

from coursekit.notebook import limits
from grader.grading.feedback import html, markdown, sanitise


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg onload=alert(1)>",
        "<iframe src=//evil.example></iframe>",
        "<a href='javascript:alert(1)'>x</a>",
        "<div style='background:url(javascript:alert(1));position:fixed'>x</div>",
        "<img src='https://evil.example/tracker.png'>",
        "<form action=//evil.example><input></form>",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    ],
)
def test_html_carries_no_script(text):
    clean = html(text)
    for live in ("<script", "onerror=alert(1)>", "<svg", "<iframe", "javascript:", "evil.example/", "<form", "<style"):
        assert live not in clean.lower().replace("&lt;", " lt ").replace("&gt;", " gt ") or "&lt;" in clean


def test_harmless_html_stays():
    assert html('<table class="dataframe"><tr><td style="color: red;">1</td></tr></table>') == (
        '<table class="dataframe"><tbody><tr><td style="color:red">1</td></tr></tbody></table>'
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](java&#115;cript:alert(1))",
        "<javascript:x>",
        r"[x](javascript\:alert(1))",
    ],
)
def test_rendered_markdown_carries_no_script(text):
    from nbconvert.filters import markdown2html

    page = markdown2html(markdown(text)).lower()
    assert "<script" not in page
    assert not re.search(r"""href=["']?\s*(javascript|java&#115;cript)\s*:""", page)


def test_mathematics_and_code_stay_readable():
    text = "$a < b$ and `x<y` and [a page](https://example.org/?a=1&b=2)"
    assert markdown(text).replace("\u2060", "") == text


def test_classes_and_styles_that_would_act_are_dropped():
    clean = html('<div class="nbgrader_cell score" style="color:red;position:fixed;background:url(//evil)">x</div>')
    assert clean == "<div>x</div>"


def test_html_that_is_too_deep_is_shown_as_text():
    assert html("<div>" * 13_000).startswith("<pre>&lt;div&gt;")


def test_a_formula_among_the_outputs_needs_no_script():
    notebook = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("display_data", {"text/latex": "$$x_1^2$$"})
    notebook.cells = [nbformat.v4.new_code_cell("1", outputs=[output])]
    sanitise(notebook, set())
    assert "<msubsup>" in notebook.cells[0].outputs[0].data["text/html"]


def test_only_so_much_prose_is_kept():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("word " * 20_000) for _ in range(3)])
    sanitise(notebook, set())
    assert sum(len(cell.source) for cell in notebook.cells) < limits.PROSE + 1_000
    assert "too long to be shown" in notebook.cells[-1].source


def test_a_picture_that_was_not_handed_in_is_no_error_in_nbconvert_itself():
    from nbconvert.filters import markdown2html

    assert "<img" in markdown2html(markdown("![x](attachment:lost.png)"))
    assert markdown("![x](attachment:kept.png)", {"kept.png"}) == "![x](attachment:kept.png)"


def test_outputs_keep_the_forms_that_cannot_act():
    notebook = nbformat.v4.new_notebook()
    data = {"text/plain": "ok", "text/html": "<b>ok</b><script>x</script>", "application/javascript": "alert(1)"}
    data |= {"image/svg+xml": "<svg onload=x/>", "image/png": "iVBORw0KGgo="}
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data)])
    notebook.cells = [cell]
    sanitise(notebook, set())
    kept = notebook.cells[0].outputs[0].data
    assert set(kept) == {"text/plain", "text/html", "image/png"}
    assert "<script" not in kept["text/html"]


def test_a_terminal_sequence_other_than_a_colour_is_dropped():
    notebook = nbformat.v4.new_notebook()
    output = nbformat.v4.new_output("stream", text="\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J\x00")
    notebook.cells = [nbformat.v4.new_code_cell("1", outputs=[output])]
    sanitise(notebook, set())
    text = notebook.cells[0].outputs[0].text
    assert "\x1b[31mred\x1b[0m" in text
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x00" not in text


def test_trusted_cells_stay_as_they_are():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("<b>release</b>", id="mine")])
    sanitise(notebook, {"mine"})
    assert notebook.cells[0].source == "<b>release</b>"
