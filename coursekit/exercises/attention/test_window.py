"""test_window(attend_window): a test that tells right sliding windows from wrong ones."""

from coursekit.checking.contract import Exercise
from coursekit.checking.testing import SAID, tested

EXERCISE = Exercise(
    id="attention.test_window",
    title="Write the test, a sliding window",
    parts={"right ones": 1, "wrong ones": 2},
    minutes=20,
    difficulty="core",
    importance=3,
    calls=("test_window(attend_window)",),
    cases=lambda g: [],  # all of them are drawn in the trusted half
    probe=tested("attend"),
    said=SAID,
)
