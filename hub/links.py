"""formgrader in a tab of its own links to notebooks without its server's address: the hub sends them there."""

from __future__ import annotations

from jupyterhub.handlers import BaseHandler


class ToFormgrader(BaseHandler):
    """`/tree/...`, `/notebooks/...` and `/edit/...` lead to the course account's server, for instructors."""

    def initialize(self, service: str) -> None:
        self.service = service

    def get(self, what: str, path: str) -> None:
        self.redirect(f"{self.settings['base_url']}services/{self.service}/{what}/{path}")
