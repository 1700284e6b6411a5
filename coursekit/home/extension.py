"""The server's half of the home page: nbgrader's own assignment list does the work, this puts it on one page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from coursekit.home import page
from coursekit.home.handin import Unreadable, look
from coursekit.record.scores import known_scores

_ACTIONS = {"fetch": "fetch_assignment", "submit": "submit_assignment"}
_DONE = {
    "fetch": "The chapter is in your home now.",
    "submit": "Handed in. The list below shows it; feedback will appear beside it.",
}
# What nbgrader's tracebacks say, and what a learner can do with it.
_TROUBLE = {
    "[Errno 28]": "The folder for handing in is full.",
    "[Errno 122]": "The folder for handing in is full.",
    "[Errno 30]": "The folder for handing in is closed for writing.",
    "Unwritable directory": "The folder for handing in is closed for writing.",
    "You don't have write permissions": "The folder for handing in is closed for writing.",
}


class Home:
    """The chapters of one learner, from nbgrader's `AssignmentList`."""

    def __init__(self, assignments: Any, root: str) -> None:
        self.list, self.root = assignments, Path(root)
        self.course = os.environ.get("NBGRADER_COURSE", "")
        self.exchange = Path(os.environ.get("NBGRADER_EXCHANGE", "/usr/local/share/nbgrader/exchange"))

    def chapters(self) -> list[page.Chapter]:
        """Every released chapter. Raises RuntimeError with a sentence for the learner."""
        released = _value(self.list.list_released_assignments(course_id=self.course))
        handed = {a["assignment_id"]: a["submissions"] for a in self._submitted()}
        return [self._chapter(entry, handed.get(entry["assignment_id"], [])) for entry in released]

    def chapter(self, slug: str) -> page.Chapter:
        """Raises KeyError for a chapter that is not released."""
        return {chapter.slug: chapter for chapter in self.chapters()}[slug]

    def act(self, action: str, slug: str) -> None:
        """Fetch or submit. Raises RuntimeError with nbgrader's reason."""
        _value(getattr(self.list, _ACTIONS[action])(self.course, slug))

    def _submitted(self) -> list[dict[str, Any]]:
        """All submissions. Feedback that has been released comes along: nobody has to ask for it twice."""
        submitted = _value(self.list.list_submitted_assignments(course_id=self.course))
        fresh = [
            entry["assignment_id"]
            for entry in submitted
            for one in entry["submissions"]
            if one["has_exchange_feedback"] and (one["feedback_updated"] or not one["has_local_feedback"])
        ]
        for slug in set(fresh):
            _value(self.list.fetch_feedback(self.course, slug))
        return _value(self.list.list_submitted_assignments(course_id=self.course)) if fresh else submitted

    def _chapter(self, entry: dict[str, Any], handed: list[dict[str, Any]]) -> page.Chapter:
        slug = entry["assignment_id"]
        name = f"{slug}.ipynb"
        release = self.exchange / self.course / "outbound" / slug / name
        fetched = entry["status"] == "fetched"
        path = f"{slug}/{name}" if fetched else ""
        notebook, trouble = None, ""
        try:
            notebook = look(self.root / path if fetched else release, release)
        except Unreadable as error:
            trouble = str(error)
        done = tuple(page.Handed(one["timestamp"], _feedback(one, name)) for one in handed)
        return page.Chapter(slug, path, notebook, trouble, done, known_scores())


def _feedback(submission: dict[str, Any], name: str) -> str:
    folder = submission["local_feedback_path"]
    return f"{folder}/{Path(name).stem}.html" if folder and submission["has_local_feedback"] else ""


def _value(answer: dict[str, Any]) -> Any:
    """What nbgrader's list gave. Raises RuntimeError with the last line of what went wrong."""
    if answer["success"]:
        return answer.get("value")
    told = str(answer["value"]).strip()
    for sign, sentence in _TROUBLE.items():
        if sign in told:
            raise RuntimeError(f"{sentence} Your work is safe in your home; tell your instructor, and try again later.")
    lines = told.splitlines()
    said = lines[-1].split("Error: ", 1)[-1].strip() if lines else "no reason was given"
    raise RuntimeError(f"nbgrader says: {said}")


class HomeHandler(JupyterHandler):
    """GET: the page, or the preview of one hand-in. POST: fetch or submit, then the page."""

    @property
    def home(self) -> Home:
        return self.settings["coursekit_home"]

    @web.authenticated
    def get(self) -> None:
        slug = self.get_argument("preview", "")
        self._answer("", False, slug)

    @web.authenticated
    def post(self) -> None:
        body = self.get_json_body() or {}
        action, slug = body.get("action"), body.get("chapter")
        if action not in _ACTIONS or not isinstance(slug, str):
            raise web.HTTPError(400, f"expected an action of {', '.join(_ACTIONS)} and a chapter")
        try:
            self.home.chapter(slug)  # nothing but a released chapter's name reaches nbgrader's paths
            self.home.act(action, slug)
        except KeyError:
            raise web.HTTPError(404, f"no chapter {slug!r} is released") from None
        except RuntimeError as error:
            self._answer(str(error), True)
        else:
            self._answer(_DONE[action], False)

    def _answer(self, message: str, wrong: bool, slug: str = "") -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        try:
            text = page.preview(self.home.chapter(slug)) if slug else ""
            chapters = [] if slug else self.home.chapters()
        except KeyError:
            raise web.HTTPError(404, f"no chapter {slug!r} is released") from None
        except RuntimeError as error:
            chapters, message, wrong, text = [], " ".join(filter(None, (message, str(error)))), True, ""
        self.finish(text or page.home(self.home.course, chapters, message, wrong))


def load(server_app: Any) -> None:
    """Add the home page to a server; called by Jupyter."""
    webapp = server_app.web_app
    from nbgrader.server_extensions.assignment_list.handlers import AssignmentList

    assignments = AssignmentList(parent=server_app)
    assignments.root_dir = server_app.root_dir
    webapp.settings["coursekit_home"] = Home(assignments, server_app.root_dir)
    route = url_path_join(webapp.settings["base_url"], "coursekit", "home")
    webapp.add_handlers(".*$", [(route, HomeHandler)])


_load_jupyter_server_extension = load
