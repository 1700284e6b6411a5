"""test(reshard): a test that tells right ways to cut a checkpoint anew, for other ranks, from wrong ones."""

from coursekit.checking.contract import Exercise
from coursekit.checking.testing import SAID, tested

EXERCISE = Exercise(
    id="distributed.test_reshard",
    title="Write the test, a checkpoint for other ranks",
    parts={"right ones": 1, "wrong ones": 1},
    minutes=25,
    difficulty="core",
    importance=3,
    calls=("test(reshard)",),
    cases=lambda g: [],  # all of them are drawn in the trusted half
    probe=tested("reshard"),
    said=SAID,
)
