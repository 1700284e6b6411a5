"""test_blocks(blocks): a test that tells right blocks of text, with their next tokens, from wrong ones."""

from coursekit.checking.contract import Exercise
from coursekit.checking.testing import SAID, tested

EXERCISE = Exercise(
    id="gpt.test_blocks",
    title="Write the test, blocks of text",
    parts={"right ones": 1, "wrong ones": 1},
    minutes=20,
    difficulty="core",
    importance=3,
    calls=("test_blocks(blocks)",),
    cases=lambda g: [],  # all of them are drawn in the trusted half
    probe=tested("blocks"),
    said=SAID,
)
