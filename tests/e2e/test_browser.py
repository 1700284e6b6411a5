"""A learner in a real browser: a wrong answer is explained, the right one earns full marks, the map shows it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
TOKEN = "learner"
WAIT = 120_000  # milliseconds that a slow machine may take for a kernel to answer

if CHROMIUM is None and not os.environ.get("CI"):
    pytest.skip("no Chromium: `apt-get install chromium` (or Google Chrome) to run this", allow_module_level=True)

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.xdist_group("browser")]
WRONG = """def scaled_dot_product_attention(Q, K, V):
return (Q @ K.mT).softmax(-1) @ V
"""
RIGHT = """def scaled_dot_product_attention(Q, K, V):
return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the course with a fresh home; gives its address."""
    home = tmp_path_factory.mktemp("learner")
    shutil.copytree(ROOT / "course", home / "course")
    settings = home / "settings"
    settings.mkdir()
    # As `make setup` sets it up; and all cells stay in the page, so that a test finds them without scrolling.
    overrides = json.loads((ROOT / "binder" / "overrides.json").read_text())
    overrides["@jupyterlab/notebook-extension:tracker"] = {"windowingMode": "none"}
    (settings / "overrides.json").write_text(json.dumps(overrides))
    port = _free_port()
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    options = [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={home / 'course'}"]
    options += [
        "--LabApp.expose_app_in_browser=True",
        f"--LabApp.app_settings_dir={settings}",
        "--LabApp.news_url=",
    ]
    keep = {k: v for k, v in os.environ.items() if k != "COURSEKIT_PROGRESS"}
    environment = keep | {
        "COURSEKIT_HOME": str(home / "progress"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
    }
    log = (home / "lab.log").open("wb")
    server = subprocess.Popen([*command, *options], cwd=home, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status?token={TOKEN}", server, home / "lab.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def page(lab):
    """The attention chapter, open in headless Chromium with a running kernel."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(WAIT)
        page.goto(f"{lab}/lab/tree/02_attention/02_attention.ipynb?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )
        yield page
        browser.close()


def test_a_learner_is_told_the_mistake_then_earns_full_marks_and_sees_the_map(page):
    from playwright.sync_api import expect

    for text in ('profile = "fast"', "from coursekit import"):
        _run(page, _cell(page, text))
    _shoot(page, "1-chapter-opened")

    answer, verdict = _cell(page, "def scaled_dot_product_attention("), _cell(page, 'check("attention.sdpa"')
    _write(page, answer, WRONG)
    _run(page, answer)
    _run(page, verdict)
    verdict.get_by_text("The scores are not scaled").wait_for()
    _shoot(page, "2-wrong-answer-named", verdict)
    assert "0 of 2 points" in verdict.inner_text()

    verdict.get_by_role("link", name="3. Scaled dot-product attention").click()
    heading = page.locator(".jp-MarkdownCell h2", has_text="3. Scaled dot-product attention")
    expect(heading).to_be_in_viewport()
    _shoot(page, "2b-read-again")

    _write(page, answer, RIGHT)
    _run(page, answer)
    _run(page, verdict)
    verdict.get_by_text("2 of 2 points").wait_for()
    _shoot(page, "3-full-marks", verdict)

    progress = _cell(page, "progress()")
    _run(page, progress)
    progress.locator(".jp-OutputArea-output").first.wait_for()
    _shoot(page, "4-progress-map", progress)
    assert "Scaled dot-product attention" in progress.inner_text()
    assert "2 of" in progress.inner_text()


def test_the_report_reads_in_the_dark_theme(page):
    _execute(page, "apputils:change-theme", {"theme": "JupyterLab Dark"})
    page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    verdict = _cell(page, 'check("attention.sdpa"')
    _shoot(page, "5-dark-theme", verdict)
    heading = verdict.locator(".jp-RenderedHTMLCommon strong").first
    red, green, blue = heading.evaluate("e => getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number)")
    assert min(red, green, blue) > 128, "the report's text is dark on a dark page"


def _cell(page, text):
    return page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(".cm-content", has_text=text)).last


def _write(page, cell, source):
    editor = cell.locator(".jp-InputArea .cm-content")
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    # Typed as a person would: the editor itself indents the body after the colon.
    head, body = source.rstrip().split("\n")
    page.keyboard.insert_text(head)
    page.keyboard.press("Enter")
    page.keyboard.insert_text(body)


def _run(page, cell):
    """Run one cell to its end. What went wrong in it ends the test."""
    ran, errors = cell.evaluate(
        "async node => { const notebook = window.jupyterapp.shell.currentWidget.content;"
        " notebook.activeCellIndex = notebook.widgets.findIndex(cell => cell.node === node);"
        " const before = notebook.activeCell.model.executionCount ?? 0;"
        " await window.jupyterapp.commands.execute('notebook:run-cell');"
        " const { executionCount, outputs } = notebook.activeCell.model;"
        " return [executionCount > before, outputs.toJSON().filter(output => output.output_type === 'error')] }"
    )
    assert ran, f"the cell did not run: {cell.inner_text()}"
    assert not errors, errors


def _execute(page, command, arguments=None):
    page.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [command, arguments or {}])


def _shoot(page, name, cell=None):
    if cell is not None:
        cell.scroll_into_view_if_needed()
    page.screenshot(path=ARTEFACTS / f"{name}.png")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(address, server, log):
    """Poll until the server answers; its log is told when it ends or stays silent."""
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"JupyterLab did not answer at {address.split('?')[0]}:\n{log.read_text()[-2000:]}")
