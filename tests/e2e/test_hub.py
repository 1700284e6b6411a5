"""A class on a real hub, from the release of a chapter to its grades, seen through headless Chromium."""

import csv
import os
import shutil
from datetime import UTC, datetime, timedelta

import nbformat
import pytest

from coursekit.exercises import chapters, find
from grader.authoring.notebook import grade_id
from tests.hub.classroom import COURSE, PATIENCE, ROOT, Classroom, missing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PICTURES = ROOT / "build" / "screenshots" / "hub"
SLUG = "02_attention"
CHAPTER = next(chapter for chapter in chapters() if chapter.slug == SLUG)
EXERCISES = len(CHAPTER.exercises)
POINTS = sum(find(id).points for id in CHAPTER.exercises) + sum(question.points for question in CHAPTER.questions)
QUESTION = grade_id("question", "attention.read_heat_map")
WRONG = """def scaled_dot_product_attention(Q, K, V):
return (Q @ K.mT).softmax(-1) @ V
"""
RIGHT = """def scaled_dot_product_attention(Q, K, V):
return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V
"""
COMMENT = "A point for what you said about it in class. Write it down next time."
# Run in a learner's own kernel: what it says it could do.
TRESPASS = """
import importlib.util, os, pathlib
def tried(what, action):
    try:
        action()
        print("COULD", what)
    except (PermissionError, FileNotFoundError, ModuleNotFoundError) as error:
        print("refused", what, type(error).__name__)
{lines}
print("grader", importlib.util.find_spec("grader"))
"""

if why := missing() or ("" if CHROMIUM else "no Chromium: apt-get install chromium"):
    pytest.skip(why, allow_module_level=True)
pytestmark = [pytest.mark.slow(4), pytest.mark.browser, pytest.mark.xdist_group("hub")]


@pytest.fixture(scope="module")
def room():
    made = Classroom(["ada", "ben", "eve"])
    try:
        made.start()
        made.settings_for_tests()
        yield made
        shutil.copy(made.log, PICTURES / "hub.log")
    finally:
        made.remove()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def login(room, browser, person, path):
    """A page of a browser of its own, logged in and sent on to `path`."""
    page = browser.new_context(viewport={"width": 1300, "height": 950}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    name = room.name(person)
    page.goto(f"{room.address}/hub/login?next={path}")
    page.fill("#username_input", name)
    page.fill("#password_input", room.passwords[name])
    page.click("#login_submit")
    return page


def shoot(page, name):
    page.screenshot(path=PICTURES / f"{name}.png")


def formgrader(page, room, where="manage_assignments"):
    page.goto(f"{room.address}/services/{COURSE}/formgrader/{where}")
    page.wait_for_selector("tbody td.name, tbody td.student-name, tbody td")


def press(page, column, row=None):
    """Press one of formgrader's signs, and return when it says that it has succeeded."""
    rows = page.locator("tbody tr").filter(has_text=row or SLUG)
    rows.locator(f"td.{column} a").click()
    shown = page.locator("#success-modal, #error-modal")
    shown.wait_for()
    said = shown.inner_text()
    assert "Success" in said, said
    shown.locator("button, .close").first.click()
    shown.wait_for(state="detached")


@pytest.fixture(scope="module")
def released(room, browser):
    """The instructor's page, after the chapter was generated and released."""
    page = login(room, browser, "prof", f"/services/{COURSE}/formgrader")
    page.wait_for_selector("td.name")
    shoot(page, "01-formgrader")
    press(page, "assign")
    press(page, "release")
    page.locator("td.status", has_text="released").wait_for()
    shoot(page, "02-released")
    return page


def start_chapter(room, browser, person):
    """A learner who has fetched and opened the chapter."""
    page = login(room, browser, person, "/hub/spawn")
    page.get_by_role("heading", name=COURSE).wait_for()
    page.get_by_role("heading", name="2. Attention").wait_for()
    shoot(page, f"03-home-{person}")
    page.locator(".ck-home").get_by_role("button", name="Start").click()
    page.get_by_text("The chapter is in your home now").wait_for()
    page.locator(".ck-home").get_by_role("button", name="Open").click()
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    for text in ('profile = "fast"', "from coursekit import"):
        run(page, cell(page, text))
    return page


def solve(page, answer):
    """Write one exercise and check it; the report's text."""
    target, verdict = cell(page, "def scaled_dot_product_attention("), cell(page, 'check("attention.sdpa"')
    target.locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    head, body = answer.rstrip().split("\n")
    page.keyboard.insert_text(head)
    page.keyboard.press("Enter")
    page.keyboard.insert_text(body)
    run(page, target)
    run(page, verdict)
    verdict.get_by_text("of 2 points").first.wait_for()
    verdict.scroll_into_view_if_needed()
    return verdict.inner_text()


def hand_in(page, name):
    """Hand in by the command; what was said before."""
    command(page, "coursekit:hand-in")
    page.get_by_role("heading", name="Hand in: Attention").wait_for()
    shoot(page, name)
    said = page.locator(".ck-home").inner_text()
    page.get_by_role("button", name="Hand in now").click()
    page.get_by_text("Handed in. The list below shows it").wait_for()
    return said


def cell(page, text):
    return page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(".cm-content", has_text=text)).last


def run(page, one):
    one.locator(".jp-InputArea .cm-content").click()
    command(page, "notebook:run-cell")
    page.wait_for_function(
        "() => { const nb = window.jupyterapp.shell.currentWidget.content;"
        " return /^\\[\\d+\\]:$/.test(nb.activeCell.node.querySelector('.jp-InputPrompt').textContent) }"
    )


def command(page, name):
    page.evaluate("name => window.jupyterapp.commands.execute(name)", name)


@pytest.fixture(scope="module")
def learners(room, browser, released):
    """Ada, who is right, and Ben, who forgot to scale: their pages, reports, and what they were told at hand-in."""
    told = {}
    for person, answer in (("ada", RIGHT), ("ben", WRONG)):
        page = start_chapter(room, browser, person)
        report = solve(page, answer)
        shoot(page, f"04-checked-{person}")
        told[person] = (page, report, hand_in(page, f"05-hand-in-{person}"))
    return told


@pytest.fixture(scope="module")
def late(room, browser, released, learners):
    """The deadline has come, and after it Eve hands in an untouched chapter."""
    page = released
    formgrader(page, room)
    page.locator("tbody tr").filter(has_text=SLUG).locator("td.edit a").click()
    due = datetime.now(UTC) + timedelta(seconds=1)  # whole seconds are written, and Ben was there in this one
    page.locator("input.modal-duedate").fill(due.strftime("%Y-%m-%dT%H:%M:%S"))
    page.locator("input.modal-timezone").fill("+0000")
    shoot(page, "06-deadline")
    page.locator("#edit-assignment-modal button.save").click()
    page.wait_for_selector("#edit-assignment-modal", state="detached")
    eve = start_chapter(room, browser, "eve")
    return eve, hand_in(eve, "07-hand-in-late")


@pytest.fixture(scope="module")
def graded(room, browser, released, late):
    """Collected and graded with formgrader's signs, one submission marked by a person, feedback released."""
    page = released
    formgrader(page, room)
    press(page, "collect")
    formgrader(page, room, f"manage_submissions/{SLUG}")
    for person in ("ada", "ben", "eve"):
        press(page, "autograde", room.name(person))
    shoot(page, "08-autograded")
    mark(page, room)
    formgrader(page, room)
    press(page, "generate-feedback")
    press(page, "release-feedback")
    return page


def mark(page, room):
    """Give Ada points and a comment for the question that a person marks."""
    formgrader(page, room, f"manage_students/{room.name('ada')}/{SLUG}")
    page.locator("tbody tr a", has_text=SLUG).first.click()
    # Before that nobody listens to the fields.
    page.wait_for_function("() => window.formgrader?.grades?.loaded && window.formgrader.comments?.loaded")
    question = page.locator(".nbgrader_cell").filter(has=page.locator(f"input.score[id='{QUESTION}']"))
    for field, value, kind in (("input.score", "1", "grade"), ("textarea.comment", COMMENT, "comment")):
        with page.expect_response(lambda r, kind=kind: f"/api/{kind}/" in r.url and r.request.method == "PUT") as saved:
            question.locator(field).fill(value)
            question.locator(field).press("Tab")
        assert saved.value.ok
    question.scroll_into_view_if_needed()
    shoot(page, "09-comment")


def test_a_learner_sees_the_chapter_at_home_and_is_told_what_is_still_a_stub(learners):
    for person in ("ada", "ben"):
        said = learners[person][2]
        assert f"1 of {EXERCISES + 1} written" in said
        assert f"{EXERCISES} still as released" in said
        assert "Scaled dot-product attention" not in said.split("still as released")[1]


def test_the_right_answer_gets_its_points_and_the_known_mistake_its_sentence(learners):
    assert "2 of 2 points" in learners["ada"][1]
    assert "0 of 2 points" in learners["ben"][1]
    assert "not scaled" in learners["ben"][1]


def test_handing_in_is_in_the_command_palette(late):
    page = late[0]
    command(page, "apputils:activate-command-palette")
    page.locator(".lm-CommandPalette-item", has_text="Course: hand in this chapter").wait_for()
    page.keyboard.press("Escape")


def test_whoever_is_late_can_hand_in_and_is_told_that_nothing_is_written(late):
    assert f"0 of {EXERCISES + 1} written" in late[1]


def test_formgrader_has_a_tab_of_its_own_since_the_hub_refuses_frames(room, released):
    answer = released.request.get(f"{room.address}/services/{COURSE}/formgrader/manage_assignments")
    assert answer.ok
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert released.evaluate("window === window.top")
    tree = released.request.get(f"{room.address}/tree/course/{SLUG}")
    assert tree.url.endswith(f"/services/{COURSE}/tree/course/{SLUG}"), "formgrader's links lead to its own server"


def grades(room, exporter):
    path = room.places["course"] / f"{exporter.lower()}.csv"
    room.nbgrader("export", f"--exporter=grader.plugins.exports.{exporter}", f"--to={path}")
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_grades_reach_moodle_and_canvas(room, graded):
    points = {"ada": "3", "ben": "0", "eve": "0"}
    header, *rows = grades(room, "Moodle")
    assert header == ["username", "firstname", "lastname", "email", SLUG]
    assert {row[0]: row[-1] for row in rows} == {room.name(p): n for p, n in points.items()}
    header, possible, *rows = grades(room, "Canvas")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", SLUG]
    assert possible[0].strip() == "Points Possible"
    assert possible[-1] == str(POINTS)
    assert {row[3]: row[-1] for row in rows} == {room.name(p): n for p, n in points.items()}
    assert all(len(row) == len(header) for row in rows), "a comma in a name must not make a column"


def test_the_gradebook_knows_who_was_late(room, graded):
    path = room.places["course"] / "grades.csv"
    room.nbgrader("export", f"--to={path}")
    with path.open(newline="") as file:
        rows = {line.split(",")[3]: line.split(",") for line in file.read().splitlines()[1:]}
    assert all(rows[room.name(p)][2] <= rows[room.name(p)][1] for p in ("ada", "ben")), rows
    assert rows[room.name("eve")][2] > rows[room.name("eve")][1]


def test_feedback_comes_back_to_the_home_page(room, graded, learners):
    page = learners["ada"][0]
    command(page, "coursekit:home")
    page.get_by_role("button", name="Read the feedback").wait_for()
    shoot(page, "10-home-feedback")
    feedback = read_feedback(page)
    feedback.get_by_text(COMMENT).first.wait_for()
    feedback.get_by_text(COMMENT).first.scroll_into_view_if_needed()
    shoot(feedback, "11-feedback")


def read_feedback(page):
    """The tab in which the home page opens a learner's feedback."""
    command(page, "coursekit:home")
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Read the feedback").click()
    opened.value.wait_for_load_state("domcontentloaded")
    return opened.value


def test_feedback_leads_to_the_section_that_teaches(graded, learners):
    from playwright.sync_api import expect

    feedback = read_feedback(learners["ben"][0])
    heading = feedback.locator("h2", has_text="3. Scaled dot-product attention")
    feedback.get_by_role("link", name="3. Scaled dot-product attention").first.click()
    expect(heading).to_be_in_viewport(timeout=1000 * PATIENCE)
    shoot(feedback, "13-read-again")


def test_the_instructor_reads_what_the_class_misunderstood(room, graded):
    page = graded.context.new_page()
    page.goto(f"{room.address}/services/{COURSE}/lab")
    page.get_by_role("heading", name="What did my class misunderstand?").wait_for()
    page.locator(".lm-MenuBar-item", has_text="Course").wait_for()
    shoot(page, "14-class")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the report").click()
    report = opened.value
    report.get_by_role("heading", name="Attention: what the class misunderstood").wait_for()
    shoot(report, "15-report")
    told = report.inner_text("body")
    assert "The scores are not scaled" in told
    assert "Taught in 3. Scaled dot-product attention." in told
    assert room.name("ben") in told
    assert room.name("ben") not in page.request.get(f"{report.url}?anonymous").text()


@pytest.mark.parametrize(
    "path",
    [
        *("/user/{ada}/lab", "/services/large-models/formgrader", "/user/{ada}/files/x.ipynb"),
        *("/services/large-models/coursekit/reports", f"/services/large-models/coursekit/reports/{SLUG}"),
    ],
)
def test_a_learner_is_refused_at_other_peoples_addresses(room, late, path):
    page = late[0].context.new_page()
    page.goto(room.address + path.format(ada=room.name("ada")))
    page.wait_for_load_state()
    shoot(page, f"12-refused-{path.split('/')[1]}")
    assert "403" in page.inner_text("body")


def test_a_learners_own_server_has_no_report(room, late):
    answer = late[0].request.get(f"{room.address}/user/{room.name('eve')}/coursekit/reports/{SLUG}")
    assert answer.status == 404


def test_a_learners_code_reaches_no_other_home_no_grader_and_no_submission(room, late):
    page = late[0]
    reads = {
        "a neighbour's notebook": f"open({str(room.home('ada') / SLUG / (SLUG + '.ipynb'))!r}).read()",
        "a neighbour's home": f"os.listdir({str(room.home('ada'))!r})",
        "the solutions": f"os.listdir({str(room.places['course'] / 'solutions')!r})",
        "the gradebook": f"open({str(room.places['course'] / 'gradebook.db')!r}, 'rb').read()",
        "the references": f"os.listdir({str(room.places['prefix'] / 'instructor')!r})",
        "the submissions": f"os.listdir({str(room.places['exchange'] / COURSE / 'inbound')!r})",
        "all feedback": f"os.listdir({str(room.places['exchange'] / COURSE / 'feedback')!r})",
        "the hub's database": f"os.listdir({str(room.places['state'])!r})",
        "an import of the grader": "__import__('grader')",
        "the warm parent's socket folder": f"open({str(room.places['run'] / 'warm' / 'x')!r}, 'w')",
        "the exchange's course folder": f"os.rename({str(room.places['exchange'] / COURSE)!r}, '/tmp/gone')",
    }
    lines = "\n".join(f"tried({what!r}, lambda: {code})" for what, code in reads.items())
    said = execute(page, TRESPASS.format(lines=lines))
    assert said.count("refused") == len(reads), said
    assert "COULD" not in said
    assert "grader None" in said


def execute(page, code):
    """What the open notebook's kernel prints."""
    return page.evaluate(
        """async code => {
            const panels = [...window.jupyterapp.shell.widgets('main')].filter(w => w.sessionContext);
            const future = panels[0].sessionContext.session.kernel.requestExecute({ code });
            let said = '';
            future.onIOPub = m => { said += m.content.text || (m.content.traceback || []).join('\\n') || ''; };
            await future.done;
            return said;
        }""",
        code,
    )


def test_the_kernel_was_forked_from_the_parent_that_all_share(late):
    said = execute(late[0], "import os; print(open(f'/proc/{os.getppid()}/cmdline').read(), os.getresuid())")
    assert "hub.warm" in said.replace("\0", " ")
    assert "(0, 0, 0)" not in said


def test_submissions_in_the_course_folder_are_what_the_learners_handed_in(room, graded):
    for person in ("ada", "ben"):
        path = room.places["course"] / "submitted" / room.name(person) / SLUG / f"{SLUG}.ipynb"
        sources = [c.source for c in nbformat.read(path, as_version=4).cells]
        assert any("scaled_dot_product_attention(Q, K, V):" in s for s in sources)
    assert os.listdir(room.places["exchange"] / COURSE / "outbound") == [SLUG]
