"""test_norm(BatchNorm): a test that tells right batch norms from wrong ones, in training and at rest."""

from coursekit.checking.contract import Exercise
from coursekit.checking.testing import SAID, tested

EXERCISE = Exercise(
    id="core.test_norm",
    title="Write the test, batch norm",
    parts={"right ones": 1, "wrong ones": 2},
    minutes=25,
    difficulty="core",
    importance=3,
    calls=("test_norm(BatchNorm)",),
    cases=lambda g: [],  # all of them are drawn in the trusted half
    probe=tested("BatchNorm"),
    said=SAID,
)
