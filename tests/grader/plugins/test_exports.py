"""What a grade file holds of names: nothing that a spreadsheet would run, and ids that the import still finds."""

import csv
from types import SimpleNamespace

import pytest
from nbgrader.api import MissingEntry

from grader.plugins.exports import Canvas, Moodle

FORMULAS = ['=HYPERLINK("http://evil.example")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1+1"]
NO_NAMES = {"first_name": None, "last_name": None, "email": None}


class Gradebook:
    """One learner, who has handed in nothing."""

    assignments = (SimpleNamespace(name="02_attention", max_score=35.0),)

    def __init__(self, id, **names):
        self.students = (SimpleNamespace(id=id, **NO_NAMES | names),)

    def find_submission(self, *_):
        raise MissingEntry


@pytest.fixture(params=[Moodle, Canvas], ids=["moodle", "canvas"])
def exported(request, tmp_path):
    """The fields of the file that a learner's row makes."""

    def export(id, **names):
        path = tmp_path / "grades.csv"
        request.param(to=str(path)).export(Gradebook(id, **names))
        with path.open(newline="", encoding="utf-8") as file:
            return [field for row in csv.reader(file) for field in row]

    return export


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("place", ["first_name", "last_name", "email"])
def test_no_name_becomes_a_formula(exported, place, name):
    fields = [field.strip() for field in exported("ada", **{place: name})]
    assert not [field for field in fields if field.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("id", ["ada", "-ada", "@ada", "+49171", "a.b@example.org", "zoë"])
def test_an_id_stays_what_the_import_looks_for(exported, id):
    assert id in exported(id)


@pytest.mark.parametrize("id", FORMULAS[:2])
def test_an_id_that_could_act_does_not(exported, id):
    fields = exported(id)
    assert id not in fields
    assert f"'{id}" in fields
