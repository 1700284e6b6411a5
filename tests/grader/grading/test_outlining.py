"""What is kept of a verdict is bounded, and alike for alike slips."""

from coursekit.checking.report import PartResult, Verdict
from grader.grading.outlining import LONGEST, outlined

LABELS = {"T=3", "T=3: causal", "T=4"}


def verdict(*findings, **more):
    return Verdict("e", "title", (PartResult("values", 2, 0, False, len(findings), findings),), **more)


def first(*findings):
    [(part, told)] = outlined(verdict(*findings), 0, 2, LABELS).findings
    assert part == "values"
    return told


def test_the_label_of_a_case_is_no_part_of_what_was_found():
    assert first("T=3: out differs", "T=4: out is NaN") == "out differs"
    assert first("hidden case, T=4: out differs") == "out differs"


def test_of_two_labels_that_fit_the_longer_one_is_meant():
    assert first("T=3: causal: out differs") == "out differs"


def test_of_a_traceback_what_was_raised_is_kept():
    assert first("T=3: line 4, in f: return x + y\nTypeError: no") == "TypeError: no"


def test_text_from_the_learners_process_is_bounded():
    kept = outlined(verdict("T=3: " + "x" * 10_000, refused=""), 0, 2, LABELS)
    assert len(kept.findings[0][1]) == LONGEST
    assert len(outlined(verdict(refused="x" * 10_000), 0, 2, LABELS).refused) == LONGEST


def test_a_stub_and_a_refusal_have_no_findings():
    assert outlined(verdict("T=3: NotImplementedError", not_started=True), 0, 2, LABELS).findings == ()
    assert outlined(verdict("T=3: x", refused="no result"), 0, 2, LABELS).findings == ()
