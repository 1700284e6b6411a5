"""Grades as Moodle and Canvas import them, through nbgrader's own export:

    nbgrader export --exporter=grader.plugins.exports.Moodle --to=moodle.csv
    nbgrader export --exporter=grader.plugins.exports.Canvas --to=canvas.csv

An assignment is a column, a learner a row. A submission that a person has still to look at gives an empty field, so
that nobody is told a grade that is not one. Who handed in nothing has 0. A name that a spreadsheet would take for a
formula gets an apostrophe in front; an id stays as it is where it can do nothing, for the import looks for it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student
from nbgrader.plugins import ExportPlugin

from grader.grading.names import printable

_FORMULA = ("=", "+", "-", "@")  # with which a spreadsheet's formula begins
_PLAIN = re.compile(r"[\w.@+-]*")  # without what a formula needs to call or to start something


class _Columns(ExportPlugin):
    """One row for each learner, one column for each assignment."""

    name = ""

    def rows(self, assignments: list[Assignment], students: list[Student], gradebook: Gradebook) -> Iterator[list]:
        raise NotImplementedError

    def export(self, gradebook: Gradebook) -> None:
        wanted, who = set(self.assignment), set(self.student)
        assignments = [a for a in gradebook.assignments if not wanted or a.name in wanted]
        students = [s for s in gradebook.students if not who or s.id in who]
        path = self.to or f"{self.name}.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(self.rows(assignments, students, gradebook))
        for name in (printable(s.id) for s in students if login(s.id) != s.id):
            self.log.warning("%s would be a formula in a spreadsheet: an apostrophe is put before it", name)
        self.log.info("%d learners and %d assignments written to %s", len(students), len(assignments), path)

    def grade(self, gradebook: Gradebook, assignment: Assignment, student: Student) -> str:
        """Points after the penalty for lateness; empty while a person has still to look."""
        try:
            submission = gradebook.find_submission(assignment.name, student.id)
        except MissingEntry:
            return "0"
        if submission.needs_manual_grade:
            self.log.warning("%s of %s is still to be marked by a person: left empty", assignment.name, student.id)
            return ""
        return f"{max(0.0, submission.score - submission.late_submission_penalty):g}"


def words(text: str | None) -> str:
    """A name as a spreadsheet shows it: not a formula, whatever it begins with."""
    text = (text or "").strip()
    return f"'{text}" if text.startswith(_FORMULA) else text


def login(student: str) -> str:
    """An id as it is, for the import must find it; only what could do something in a spreadsheet is kept from that."""
    return student if _PLAIN.fullmatch(student) else words(student)


class Moodle(_Columns):
    """Grades > Import > CSV file: map "username" or "email", and each assignment to its grade item."""

    name = "moodle"

    def rows(self, assignments: list[Assignment], students: list[Student], gradebook: Gradebook) -> Iterator[list]:
        yield ["username", "firstname", "lastname", "email", *(a.name for a in assignments)]
        for s in students:
            grades = (self.grade(gradebook, a, s) for a in assignments)
            yield [login(s.id), words(s.first_name), words(s.last_name), words(s.email), *grades]


class Canvas(_Columns):
    """Gradebook > Import: the header, the row of possible points, then learners by their login."""

    name = "canvas"

    def rows(self, assignments: list[Assignment], students: list[Student], gradebook: Gradebook) -> Iterator[list]:
        yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(a.name for a in assignments)]
        yield ["    Points Possible", "", "", "", "", *(f"{a.max_score:g}" for a in assignments)]
        for s in students:
            name = ", ".join(filter(None, (s.last_name, s.first_name))) or s.id
            yield [words(name), "", "", login(s.id), "", *(self.grade(gradebook, a, s) for a in assignments)]
