"""What learners wrote does nothing where it is shown."""

import pytest

from grader.reporting.plain import LONGEST, field, numberless, one_line


def test_what_a_terminal_would_obey_is_spelled_and_a_line_stays_one():
    assert one_line("a\x1b[2J\x9b\r\nb\tc\u202ed\ud800") == "a\\x1b[2J\\x9b b c\\u202ed\\ud800"


def test_text_is_bounded():
    assert len(one_line("x" * 10**6)) == LONGEST
    assert one_line("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\x00=1", " =1", "＝1"])
def test_no_field_is_a_formula(text):
    assert not field(text).startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
    assert field(text).startswith(("'", "\\"))


def test_other_fields_stay_as_they_are():
    assert (field("ada"), field(-1.5), field("a=b")) == ("ada", "-1.5", "a=b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Y has shape (2, 3, 4), expected (2, 4)", "Y has shape (#), expected (#)"),
        (
            "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)",
            "mat# and mat# shapes cannot be multiplied (# and #)",
        ),
        ("at 1.5e-07 or -inf and nan", "at # or # and #"),
        ("information about nano", "information about nano"),
    ],
)
def test_findings_that_differ_in_numbers_are_one(text, expected):
    assert numberless(text) == expected
