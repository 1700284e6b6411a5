"""mask_test(layer): raises AssertionError where a real token of layer(X, real) reads filler."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.probing import unsealed


def cases(g):
    return []  # all of them are drawn in the trusted half


def probe(case, mask_test):
    """Whether the test accepts the layer; it runs without gradients, as most of them would be written."""
    layer = unsealed(case["source"])["layer"]
    try:
        mask_test(layer)
    except AssertionError:
        return {"accepted": torch.tensor(False)}
    return {"accepted": torch.tensor(True)}


EXERCISE = Exercise(
    id="bert.test_mask",
    title="A test that tells whether padding is read",
    parts={"right ones": 1, "wrong ones": 2},
    minutes=20,
    difficulty="stretch",
    importance=3,
    calls=("mask_test(layer)",),
    cases=cases,
    probe=probe,
)
