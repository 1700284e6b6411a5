"""test_window(attend_window): a test that tells right sliding windows from wrong ones."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.probing import Wrong, unsealed


def cases(g):
    return []  # all of them are drawn in the trusted half


def probe(case, test_window):
    attend = unsealed(case["source"])["attend"]
    try:
        found = test_window(attend)
    except AssertionError:
        return {"accepted": torch.tensor(False)}
    if found is not None:
        raise Wrong("your test returns something: it should raise an AssertionError where a function is wrong (assert)")
    return {"accepted": torch.tensor(True)}


EXERCISE = Exercise(
    id="attention.test_window",
    title="Write the test, a sliding window",
    parts={"right ones": 1, "wrong ones": 2},
    minutes=20,
    difficulty="core",
    importance=3,
    calls=("test_window(attend_window)",),
    cases=cases,
    probe=probe,
)
