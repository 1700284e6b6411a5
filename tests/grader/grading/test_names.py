"""Which names can be a student's, and how any is shown."""

import pytest

from grader.grading.names import printable, refusal

GOOD = ["ada", "a.b", "müller", "jean paul", "+49171", "-x", "=x", "o'neil", "a{b}", "x@example.org", "学生"]
BAD = {
    "": "space",
    " ada": "space",
    "ada ": "space",
    ".ada": "dot",
    "..": "dot",
    "a[b]": "pattern",
    "a*": "pattern",
    "a?": "pattern",
    "a\nb": "cannot be seen",
    "\x1b[31mada": "cannot be seen",
    "a\u202eb": "cannot be seen",
    "a\u200bb": "cannot be seen",
    "\udcff": "cannot be seen",
    "x" * 129: "129 characters",
}


@pytest.mark.parametrize("name", GOOD)
def test_an_ordinary_name_is_a_students(name):
    assert refusal(name) == ""


@pytest.mark.parametrize(("name", "why"), BAD.items(), ids=map(ascii, BAD))
def test_a_name_that_breaks_something_is_refused_by_name(name, why):
    told = refusal(name)
    assert why in told
    assert told.startswith(repr(printable(name)))
    assert told.isprintable()


def test_what_is_shown_does_nothing_in_a_terminal():
    assert printable("a\x1b[2Jb\n\x9bc\u202e é") == "a\\x1b[2Jb\\n\\x9bc\\u202e é"
