"""mask_test(layer): raises AssertionError where a real token of layer(X, real) reads filler."""

from coursekit.checking.contract import Exercise
from coursekit.checking.testing import SAID, tested

EXERCISE = Exercise(
    id="bert.test_mask",
    title="A test that tells whether padding is read",
    parts={"right ones": 1, "wrong ones": 2},
    minutes=20,
    difficulty="stretch",
    importance=3,
    calls=("mask_test(layer)",),
    cases=lambda g: [],  # all of them are drawn in the trusted half
    probe=tested("layer"),
    said=SAID,
)
