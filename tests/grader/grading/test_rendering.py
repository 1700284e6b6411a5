"""Markdown becomes HTML that cannot act and needs nothing from the network."""

import base64
import struct

import pytest

from coursekit.notebook import limits
from grader.grading.formulas import mathml
from grader.grading.pictures import harmless
from grader.grading.rendering import LIMIT, rendered

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1, 1) + b"\x08\x06\0\0\0").decode()


@pytest.mark.parametrize(
    "text",
    [
        r"[x](javascript\:alert(1))",
        "[x](java&#115;cript:alert(1))",
        "[x](javascript&colon;alert(1))",
        "[x](<javascript:alert(1)>)",
        "[x](java\\\nscript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](vbscript:x)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<javascript:alert(1)>",
        "[x][r]\n\n[r]: javascript&#58;alert(1)",
        "[x][r]\n\n[r]: <javascript:alert(1)>",
        "![x](https://evil.example/tracker.png)",
        "<a href='javascript:alert(1)'>x</a>",
        "<img src=x onerror=alert(1)>",
        r"$\href{javascript:alert(1)}{x}$",
        r"$\text{<img src=x onerror=alert(1)>}$",
        r"$\style{background:url(//evil.example)}{x}$",
    ],
)
@pytest.mark.parametrize("released", [False, True])
def test_nothing_acts_whoever_wrote_it(text, released):
    page = rendered(text, released=released)
    for live in (
        '<a href="java',
        '<a href="vb',
        '<a href="data',
        "<img src=",
        "onerror=alert(1)>",
        'href="javascript',
        "url(",
    ):
        assert live not in page.replace("&lt;img src=x onerror=alert(1)&gt;", "").replace("<code>", "")


def test_mathematics_code_and_links_stay_readable():
    page = rendered(
        "$a < b$, `x<y`, [a page](https://example.org/?a=1&b=2), **bold**\n\n```python\nif a < b: pass\n```"
    )
    for wanted in (
        "<mo>&lt;</mo>",
        "<code>x&lt;y</code>",
        'href="https://example.org/?a=1&amp;b=2"',
        "if a &lt; b: pass",
    ):
        assert wanted in page


@pytest.mark.parametrize("text", ["\\begin{a}" * 4_000, "<div>" * 13_000, "[" * 60_000, "$a " * 20_000])
def test_a_text_that_would_take_long_is_shown_as_it_was_written(text):
    assert rendered(text).startswith("<pre>")
    assert len(rendered(text)) < 50 * LIMIT


def test_the_chapters_own_details_stay_and_a_learners_do_not():
    text = "<details><summary>Hint</summary>\n\nText\n</details>\n\n## 7. Where am I?"
    assert "<details><summary>Hint" in rendered(text, released=True)
    assert 'id="7.-Where-am-I?"' in rendered(text, released=True)
    assert "<details>" not in rendered(text)
    assert "id=" not in rendered(text)


def test_a_pasted_picture_is_in_the_page_and_a_missing_one_is_named():
    page = rendered("![mine](attachment:my%20p.png) ![x](attachment:lost.png)", {"my p.png": {"image/png": PNG}})
    assert f"data:image/png;base64,{PNG}" in page
    assert "the picture lost.png was not handed in" in page


@pytest.mark.parametrize(
    ("kind", "data", "fine"),
    [
        ("image/png", PNG, True),
        ("image/png", base64.b64encode(b"GIF89a" + bytes(8)).decode(), False),
        ("image/svg+xml", base64.b64encode(b"<svg onload=alert(1)>").decode(), False),
        ("image/png", "A" * (2 * limits.PICTURE + 1), False),
        (
            "image/png",
            base64.b64encode(base64.b64decode(PNG)[:16] + struct.pack(">II", 60_000, 60_000)).decode(),
            False,
        ),
        ("image/gif", base64.b64encode(b"GIF89a" + struct.pack("<HH", 60_000, 60_000)).decode(), False),
        (
            "image/jpeg",
            base64.b64encode(b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 60_000, 60_000)).decode(),
            False,
        ),
        ("image/jpeg", base64.b64encode(b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 60, 60)).decode(), True),
        ("image/png", "no base64", False),
    ],
)
def test_a_picture_is_judged_by_its_bytes_and_its_size(kind, data, fine):
    assert harmless(kind, data) == fine


@pytest.mark.parametrize(
    "tex",
    [
        r"\operatorname{softmax}(z)_j = \frac{e^{z_j}}{\sum_k e^{z_k}}",
        r"M = \begin{cases} 0 & i \\ -\infty & \text{otherwise} \end{cases}",
        "\\begin{aligned}\nX' &= 1 \\\\ Y &= 2\n\\end{aligned}",
        r"\begin{equation}a=b\end{equation}",
    ],
)
def test_formulas_of_the_course_become_mathml(tex):
    page = mathml(tex, True)
    assert page.startswith('<math display="block">')
    assert "\\" not in page


@pytest.mark.parametrize("slug", ["02_attention", "03_bert"])
def test_every_formula_of_a_chapter_can_be_shown(root, slug):
    import re

    import nbformat

    for cell in nbformat.read(root / "course" / slug / f"{slug}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            page = rendered(cell.source, released=True)
            assert not re.search(r"<code>[^<]*\\(frac|sum|begin|operatorname|text)\b", page), page


@pytest.mark.parametrize("tex", ["{" * 500, r"\frac" * 400, "_" * 2_000, "x" * 2_001, r"\begin{a}", "&" * 100])
def test_a_formula_that_cannot_be_read_is_shown_as_text(tex):
    assert mathml(tex, False).startswith(("<code>", "<math"))
