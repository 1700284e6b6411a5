"""The reports in the instructor's server: who may read them, and what is sent."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from stored import SLUG, course_in, day, grade

from grader.reporting.extension import listing

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reports-server")]
ROOT = Path(__file__).parents[3]
TOKEN = "instructor"
REPORTS = "coursekit/reports"


class Server:
    """A Jupyter server in the course's folder, configured as the hub's instructor's is."""

    def __init__(self, course, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        own = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "NBGRADER_EXCHANGE": str(folder)}
        own["JUPYTER_CONFIG_PATH"] = str(ROOT / "hub" / "etc" / "instructor")
        command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
        self.log = folder / "server.log"
        command.append(f"--IdentityProvider.token={TOKEN}")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=course, env=os.environ | own, stdout=log, stderr=log)
        self.wait()

    def wait(self):
        for _ in range(400):
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                return self.get("api/status")
            except OSError:
                time.sleep(0.25)
        raise RuntimeError(f"the server did not answer:\n{self.log.read_text()[-3000:]}")

    def get(self, path, token=TOKEN):
        """Status, headers and text of an answer; a redirection is an answer."""
        headers = {"Authorization": f"token {token}"} if token else {}
        opener = urllib.request.build_opener(_Stay)
        try:
            with opener.open(urllib.request.Request(f"{self.address}/{path}", headers=headers), timeout=30) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = course_in(tmp_path_factory.mktemp("course"))
    grade(made, "quimby01", "x", day(1))
    running = Server(made, tmp_path_factory.mktemp("server"))
    yield running
    running.process.terminate()
    running.process.wait(timeout=30)


def test_the_list_has_every_chapter_with_grades(server):
    status, _, text = server.get(REPORTS)
    assert status == 200
    assert "2. Attention" in text
    assert f'href="/{REPORTS}/{SLUG}"' in text


def test_the_page_is_sent_so_that_nothing_in_it_acts(server):
    status, headers, text = server.get(f"{REPORTS}/{SLUG}")
    assert (status, "quimby01" in text) == (200, True)
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "sandbox"):
        assert rule in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("query", ["?anonymous", "?csv&anonymous"])
def test_without_names_there_are_none(server, query):
    status, _, text = server.get(f"{REPORTS}/{SLUG}{query}")
    assert (status, "quimby01" in text) == (200, False)


def test_the_sheet_is_a_file(server):
    _, headers, text = server.get(f"{REPORTS}/{SLUG}?csv")
    assert headers["Content-Disposition"] == f'attachment; filename="{SLUG}.csv"'
    assert "quimby01" in text


@pytest.mark.parametrize("name", ["03_bert", "..", "nbgrader_config.py", "%2e%2e%2f02_attention", "02_attention%00"])
def test_what_has_no_grades_has_no_report(server, name):
    assert server.get(f"{REPORTS}/{name}")[0] == 404


@pytest.mark.parametrize("path", [REPORTS, f"{REPORTS}/{SLUG}", f"{REPORTS}/{SLUG}?csv"])
@pytest.mark.parametrize("token", ["", "another"])
def test_who_is_not_logged_in_reads_nothing(server, path, token):
    status, _, text = server.get(path, token)
    assert status in (302, 403)
    assert "quimby01" not in text
    assert "Attention" not in text


def test_jupyterlab_is_told_that_there_are_reports(server):
    _, _, text = server.get("lab")
    [config] = re.findall(r'id="jupyter-config-data" type="application/json">\s*(.*?)\s*</script>', text, re.DOTALL)
    assert json.loads(config)["coursekitReports"] is True


def test_a_learners_server_has_no_reports():
    enabled = {
        who: json.loads((ROOT / f"hub/etc/{who}/jupyter_server_config.json").read_text())["ServerApp"]
        for who in ("instructor", "learner")
    }
    assert enabled["instructor"]["jpserver_extensions"]["grader.reporting"] is True
    assert "grader.reporting" not in enabled["learner"]["jpserver_extensions"]


def test_a_server_lists_reports_without_importing_torch():
    code = "import sys, grader.reporting.extension, grader.reporting.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0


def test_nothing_in_a_title_acts_in_the_list():
    shown = listing({'"><script>': "<script>alert(1)</script>"}, "/x", "<img src=x onerror=alert(1)>")
    assert "<script" not in shown
    assert "<img" not in shown
    assert "Nothing is graded yet" in listing({}, "/x")
