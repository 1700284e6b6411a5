"""A class that was really graded: what its teacher reads in the terminal, on the page and in the sheet."""

import csv
import io
import re
import shutil

import pytest
from school import CLASS, HOSTILE, SLUG, graded_school

from grader.grading import attempts
from grader.reporting.collecting import gather
from grader.reporting.plain import one_line
from grader.reporting.states import PASSED, STATES, UNTOUCHED
from grader.reporting.summarising import summarise
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(2),
    pytest.mark.xdist_group("class-report"),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOT_SCALED = "The scores are not scaled"
NAMES = [re.sub(r"\d+$", "", name) for name in CLASS if name != HOSTILE] + ["HYPERLINK"]


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    return graded_school(tmp_path_factory.mktemp("school"))


@pytest.fixture(scope="module")
def summary(school):
    return summarise(gather(school.course, SLUG))


@pytest.fixture(scope="module")
def written(school):
    """What each way of asking gives, by the way."""
    found = {}
    for way, more in (("named", ()), ("anonymous", ("--anonymous",))):
        found[way, "table"] = school.report(SLUG, *more)[1]
        school.report(SLUG, "--html", f"{way}.html", "--csv", f"{way}.csv", *more)
        for kind in ("html", "csv"):
            found[way, kind] = (school.course / f"{way}.{kind}").read_bytes().decode("utf-8-sig")
    return found


def by_number(summary, number):
    return next(one for one in summary.exercises if one.exercise.number == number)


def test_both_commands_note_the_hand_ins(school):
    noted = attempts.read(school.course, SLUG)
    assert {name: len(found) for name, found in noted.items()} == {name: len(found) for name, found in CLASS.items()}
    assert [note.handed[:10] for note in noted["quimby01"]] == ["2026-09-07", "2026-09-08"]


def test_states_are_those_of_the_answers(summary):
    softmax = by_number(summary, "2.1")
    states = {state: set(who.names) for state, who in softmax.states.items() if who.count}
    assert states == {
        PASSED: {"quimby01", "trillan03", "hotblack10", HOSTILE},
        "in part": {"wexford02"},
        "no points": {"slartib04", "magrath05", "vogon06", "prosser07", "zarniwoop"},
        UNTOUCHED: {"fenchur09"},
    }
    assert softmax.points == {0: 5, 1: 1, 2: 4}


def test_mistakes_are_counted_by_name(summary):
    found = {(one.name, one.who.names) for one in by_number(summary, "2.2").mistakes}
    assert ("NotScaled", ("slartib04", "wexford02", "zarniwoop")) in found
    assert ("SoftmaxOverQueries", (HOSTILE, "trillan03")) in found
    assert summary.discuss[0].name == "NotScaled"
    assert summary.discuss[0].section == "3. Scaled dot-product attention"


def test_two_who_err_alike_without_a_name_are_one_row(summary):
    assert ("magrath05", "vogon06") in [one.who.names for one in by_number(summary, "2.1").unnamed]
    assert ("prosser07", "vogon06") in [one.who.names for one in by_number(summary, "2.2").unnamed]


def test_what_changed_between_hand_ins_is_told(summary):
    changes = summary.changes
    assert changes.learners == 2
    away = {one.label: one.better.names for one in changes.mistakes if one.better.count}
    assert next(names for label, names in away.items() if label.startswith(NOT_SCALED)) == ("quimby01", "trillan03")
    assert ("trillan03",) in [one.worse.names for one in changes.mistakes]


def test_who_could_not_be_graded_and_who_was_flagged_is_told(summary):
    assert summary.unreadable.names == ("agrajag12",)
    assert "agrajag12" in summary.flagged.names
    assert len(summary.totals) == len(CLASS) - 1


def test_the_table_says_what_to_discuss_and_nothing_acts_in_a_terminal(written):
    text = written["named", "table"]
    assert NOT_SCALED in text
    assert "Taught in 3. Scaled dot-product attention" in " ".join(text.split())
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


@pytest.mark.parametrize("way", ["named", "anonymous"])
def test_the_page_says_it_too_and_needs_nothing_from_outside(written, way):
    page = written[way, "html"]
    assert NOT_SCALED in page
    assert "<script" not in page
    assert "<img" not in page
    assert re.findall(r"""(?:src|href|url|@import)\s*[=(]""", page.split("</style>")[0]) == []
    assert re.findall(r"<(?!/)(?:link|script|img|iframe|object|a)\b", page) == []
    assert "default-src 'none'" in page


def test_every_figure_says_what_it_shows(written):
    figures = re.findall(r"<svg(?![^>]*aria-hidden)[^>]*>(.{7})", written["named", "html"])
    assert len(figures) == len(gathered_exercises(written)) + 1
    assert set(figures) == {"<title>"}
    assert 'role="img" aria-label="2.2 Scaled dot-product attention: 2 passed, 8 no points' in written["named", "html"]


def gathered_exercises(written):
    return {row["exercise"] for row in rows(written, "named")}


def rows(written, way):
    return list(csv.DictReader(io.StringIO(written[way, "csv"])))


def test_the_sheet_has_a_row_for_each_learner_and_exercise(written, summary):
    found = rows(written, "named")
    assert len(found) == len(CLASS) * len(summary.exercises)
    [row] = [row for row in found if (row["learner"], row["exercise"]) == ("wexford02", "attention.sdpa")]
    assert (row["state"], row["mistake"], row["handed_in"][:10]) == ("no points", "NotScaled", "2026-09-08")
    assert {row["state"] for row in found} == set(STATES)


@pytest.mark.parametrize("way", ["named", "anonymous"])
def test_no_field_of_the_sheet_is_a_formula(written, way):
    fields = [field for line in csv.reader(io.StringIO(written[way, "csv"])) for field in line]
    assert [field for field in fields if field.startswith(("=", "+", "-", "@", "\t"))] == []
    assert (f"'{one_line(HOSTILE)}" in fields) == (way == "named")


@pytest.mark.parametrize("kind", ["table", "html", "csv"])
def test_an_anonymous_report_names_nobody(written, kind):
    assert [name for name in NAMES if name.lower() in written["named", kind].lower()] == NAMES
    assert [name for name in NAMES if name.lower() in written["anonymous", kind].lower()] == []


def test_the_feedback_links_to_the_section_that_teaches(school):
    school.command("nbgrader", "generate_feedback", SLUG, "--student=wexford02")
    page = (school.course / "feedback" / "wexford02" / SLUG / f"{SLUG}.html").read_text(encoding="utf-8")
    links = set(re.findall(r'Read again: <a href="#([^"]+)"', page))
    assert links == {"2.-A-dictionary-for-inexact-keys", "3.-Scaled-dot-product-attention"}
    assert [link for link in links if f'id="{link}"' not in page] == []


def test_without_grades_the_command_says_so(school):
    status, said = school.report("03_bert")
    assert status == 2
    assert "no release of 03_bert" in said


def test_a_file_that_cannot_be_written_is_told(school):
    status, said = school.report(SLUG, "--html", "missing/page.html")
    assert (status, said.count("\n")) == (2, 1)
    assert "No such file or directory" in said


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [800, 420])
def test_in_a_browser_it_fits_asks_for_nothing_and_reads_in_both_themes(written, school, scheme, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"file://{school.course}/named.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colours = page.evaluate(
            "[document.body, document.body].map((e, i) => getComputedStyle(e)[i ? 'color' : 'backgroundColor'])"
        )
        browser.close()
    assert (len(asked), said) == (1, [])
    paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (paper > 600 and ink < 150) if scheme == "light" else (paper < 150 and ink > 600)
