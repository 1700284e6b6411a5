"""The reports in the instructor's JupyterLab: a list of the chapters that have grades, and a page for each.

It is loaded by the server in which formgrader runs, and by no learner's: whoever may open formgrader may open this.
"""

from __future__ import annotations

import asyncio
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from coursekit.home.page import STYLE
from grader.reporting import page
from grader.reporting.collecting import NothingGraded, assignments, gather
from grader.reporting.plain import one_line
from grader.reporting.sheet import csv_text
from grader.reporting.summarising import summarise

PLACE = ("coursekit", "reports")
_NAME = r"([\w.-]+)"


class _Handler(JupyterHandler):
    @property
    def course(self) -> Path:
        return self.settings["coursekit_course"]

    def _send(self, kind: str, text: str) -> None:
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(text)


class ListHandler(_Handler):
    """GET: the chapters that have grades, as a piece of a page for JupyterLab's tab."""

    @web.authenticated
    async def get(self) -> None:
        try:
            found = await asyncio.to_thread(assignments, self.course)
        except NothingGraded as error:
            return self._send("text/html", listing({}, "", str(error)))
        base = url_path_join(self.settings["base_url"], *PLACE)
        self._send("text/html", listing(found, base))


class ReportHandler(_Handler):
    """GET: one assignment's page; `?anonymous` without names, `?csv` as a file."""

    @web.authenticated
    async def get(self, assignment: str) -> None:
        anonymous, sheet = (self.get_argument(name, None) is not None for name in ("anonymous", "csv"))
        try:
            if assignment not in await asyncio.to_thread(assignments, self.course):
                raise NothingGraded(f"no submission of {assignment} is graded")
            gathered = await asyncio.to_thread(gather, self.course, assignment)
        except NothingGraded as error:
            raise web.HTTPError(404, str(error)) from None
        if sheet:
            name = f"{assignment}{'-anonymous' * anonymous}.csv"
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
            return self._send("text/csv", "\ufeff" + csv_text(gathered, anonymous))
        # Here and not in a default, which a hub's server overrides. In a sandbox the page has no origin to act from.
        self.set_header("Content-Security-Policy", f"{page.POLICY}; frame-ancestors 'none'; sandbox")
        self._send("text/html", page.html_text(summarise(gathered, anonymous)))


def listing(titles: dict[str, str], base: str, trouble: str = "") -> str:
    """The list of reports; `titles` by assignment, `base` is the address below which they are."""
    told = f'<p class="message wrong" role="status">{escape(one_line(trouble))}</p>' if trouble else ""
    empty = '<p class="quiet">Nothing is graded yet. Collect and grade in formgrader, then reload this page.</p>'
    sections = "".join(_entry(name, title, base) for name, title in titles.items())
    reload = '<p><button data-action="reload" data-target="">Reload</button></p>'
    return f"<style>{STYLE}</style><h1>What did my class misunderstand?</h1>{reload}{told}{sections or empty}"


def _entry(name: str, title: str, base: str) -> str:
    address = f"{base}/{quote(name)}"
    number = f"{int(name[:2])}. " if re.match(r"\d\d_", name) else ""
    links = (("", "Open the report"), ("?anonymous", "Without names"), ("?csv", "As CSV"))
    shown = " · ".join(f'<a href="{escape(address + query)}" target="_blank">{label}</a>' for query, label in links)
    heading = f'<h2 id="{escape(name)}">{number}{escape(one_line(title))}</h2>'
    return f'<section aria-labelledby="{escape(name)}">{heading}<p>{shown}</p></section>'


def load(server_app: Any) -> None:
    """Add the reports to a server, and tell JupyterLab's half of the home page that they exist; called by Jupyter."""
    webapp = server_app.web_app
    here = (Path.cwd(), Path(server_app.root_dir))
    webapp.settings["coursekit_course"] = next((p for p in here if (p / "nbgrader_config.py").is_file()), here[1])
    webapp.settings.setdefault("page_config_data", {})["coursekitReports"] = True
    base = webapp.settings["base_url"]
    routes = ((url_path_join(base, *PLACE), ListHandler), (url_path_join(base, *PLACE, _NAME), ReportHandler))
    webapp.add_handlers(".*$", list(routes))


_load_jupyter_server_extension = load
