"""Right and wrong sliding windows: query i attends to the keys j with i - w < j <= i. Jiang et al. 2023, section 2."""

import torch

from coursekit.checking.testing import of_each
from grader.contract import Trusted

# A wrong one differs from this in one line.
SOURCE = """
def attend(Q, K, V, window):
    T, d = Q.shape[-2:]
    i, j = torch.arange(T)[:, None], torch.arange(T)
    seen = {seen}
    Z = {scores}
    A = {weights}
    return {mixed}
"""
PARTS = {
    "seen": "(i - window < j) & (j <= i)",
    "scores": "Q @ K.mT / d**0.5",
    "weights": "Z.masked_fill(~seen, float('-inf')).softmax(-1)",
    "mixed": "A @ V",
}


def written(**parts):
    return SOURCE.format(**(PARTS | parts))


RIGHT = {
    "the formula": written(),
    "by torch's own function": "def attend(Q, K, V, window):\n"
    "    T = Q.shape[-2]\n"
    "    band = torch.ones(T, T, dtype=torch.bool).tril().triu(1 - window)\n"
    "    return torch.nn.functional.scaled_dot_product_attention(Q, K, V, band)\n",
    "a loop over queries": "def attend(Q, K, V, window):\n"
    "    rows = []\n"
    "    for i in range(Q.shape[-2]):\n"
    "        k, v = K[:, :, max(0, i - window + 1) : i + 1], V[:, :, max(0, i - window + 1) : i + 1]\n"
    "        rows.append((Q[:, :, i : i + 1] * Q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v)\n"
    "    return torch.cat(rows, -2)\n",
}
MUTANTS = {
    "the old end": (
        written(seen="(i - window <= j) & (j <= i)"),
        written(seen="(i - window + 1 < j) & (j <= i)"),
        written(seen="j <= i"),
    ),
    "the near end": (
        written(seen="(i - window < j) & (j <= i + 1)"),
        written(seen="(i - j).abs() < window"),
        written(seen="i - window < j"),
    ),
    "what slides": (
        written(seen="(i // window == j // window) & (j <= i)"),
        written(seen="(i <= j) & (j < i + window)"),
    ),
    "the mask": (
        written(weights="(Z.softmax(-1) * seen)"),
        written(weights="Z.masked_fill(~seen, 0.0).softmax(-1)"),
        written(weights="(Z + seen).softmax(-1)"),
    ),
    # No lower ones: scores whose keys are a hundred times as large must be found below them.
    "scores far apart": (
        written(weights="Z.masked_fill(~seen, -25.0).softmax(-1)"),
        written(weights="Z.masked_fill(~seen, -50.0).softmax(-1)"),
    ),
    "windows of some widths": (
        written(seen="(i - max(window, 2) < j) & (j <= i)"),
        written(seen="(i - min(window, T - 1) < j) & (j <= i)"),
        written(seen="(i - (window if window < T else 1) < j) & (j <= i)"),
    ),
    "the scores": (
        written(scores="Q @ K.mT"),
        written(scores="K @ Q.mT / d**0.5"),
        written(scores="Q @ K.mT / d"),
    ),
}


def expected(Q, K, V, window):
    at = torch.arange(Q.shape[-2])
    seen = (at[:, None] - window < at) & (at <= at[:, None])
    return (Q @ K.mT / Q.shape[-1] ** 0.5).masked_fill(~seen, float("-inf")).softmax(-1) @ V


def tensors(scale=1.0, T=7, dtype=torch.float64):
    """Q, K and V (2 2 T 4), the keys `scale` times as large as usual."""
    Q, K, V = torch.randn(3, 2, 2, T, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)
    return Q, scale * K, V


def compared(attend_window, windows=(1, 2, 3, 7, 60), scales=(1.0, 200.0), **sizes):
    for scale in scales:
        for window in windows:
            inputs = (*tensors(scale, **sizes), window)
            torch.testing.assert_close(attend_window(*inputs), expected(*inputs))


def reference(attend_window):
    compared(attend_window)


TRUSTED = Trusted(reference, cases=of_each(RIGHT, MUTANTS))


@TRUSTED.mistake(
    "Your test lets every wrong function pass: nothing in it could fail, or it tries only what all of them get right. "
    "Compare with what you expect, by `assert`; what a test returns is not looked at."
)
def accepts_everything(attend_window):
    attend_window(*tensors(), 3)


@TRUSTED.mistake(
    "Your test refuses every right function. Hand it `window_of` from above: which assertion fails, and is what it "
    "expects the right number?"
)
def refuses_everything(attend_window):
    raise AssertionError("no")


@TRUSTED.mistake(
    "Your test refuses a right function: the same numbers in another order of steps differ in their last digits, so "
    "compare with a tolerance."
)
def exact(attend_window):
    for scale in (1.0, 200.0):
        for window in (1, 2, 3, 60):
            inputs = (*tensors(scale), window)
            assert (attend_window(*inputs) == expected(*inputs)).all()


@TRUSTED.mistake(
    "Functions that see too much or too little of the past pass your test. In a window as wide as the text, or wider, "
    "every causal attention is right: try narrow ones."
)
def wide_alone(attend_window):
    compared(attend_window, windows=(8, 60))


@TRUSTED.mistake(
    "Your test tells which keys are seen, and not how they are weighed (where all scores are 0, say, or only what "
    "moves is looked at). Let the scores differ, also by a lot, and compare numbers with those of the formula."
)
def equal_scores_alone(attend_window):
    Q, K, _ = tensors(0.0)
    V = torch.eye(7, dtype=torch.float64).expand(2, 2, 7, 7)
    for window in (1, 2, 3, 60):
        torch.testing.assert_close(attend_window(Q, K, V, window), expected(Q, K, V, window))


@TRUSTED.mistake(
    "A hidden key with a finite score passes your test: it wins as soon as all keys that are seen lie far below. Try "
    "keys a hundred times as large."
)
def small_scores_alone(attend_window):
    compared(attend_window, scales=(0.2,))


@TRUSTED.mistake(
    "What a function does with scores, and with other keys than a token's own, passes unseen: in a window of 1 every "
    "token gets its own value. Try wider ones."
)
def window_of_one_alone(attend_window):
    compared(attend_window, windows=(1,))


@TRUSTED.mistake("Functions that read the future pass your test. The last query has none: look at all of them.")
def last_query_alone(attend_window):
    for scale in (1.0, 200.0):
        for window in (2, 3, 60):
            inputs = (*tensors(scale), window)
            torch.testing.assert_close(attend_window(*inputs)[:, :, -1], expected(*inputs)[:, :, -1])


@TRUSTED.mistake("Your test does not find out what a query sees of its past: a window has an old end too.")
def future_alone(attend_window):
    for scale in (1.0, 200.0):
        Q, K, V = tensors(scale)
        before = attend_window(Q, K, V, 3)
        for t in range(1, 7):
            K_new, V_new = K.clone(), V.clone()
            K_new[:, :, t:] += 1000 * Q[:, :, :1]
            V_new[:, :, t:] -= 5
            torch.testing.assert_close(attend_window(Q, K_new, V_new, 3)[:, :, :t], before[:, :, :t])


@TRUSTED.mistake(
    "Some functions are wrong for windows of some widths alone, and pass: try a window of 1, one in between, and one "
    "that is wider than the text."
)
def one_width(attend_window):
    compared(attend_window, windows=(3,))


@TRUSTED.alternative
def against_a_loop(attend_window):
    for scale in (1.0, 300.0):
        Q, K, V = tensors(scale, T=6)
        for window in (1, 2, 4, 100):
            Y = attend_window(Q, K, V, window)
            for i in range(6):
                seen = slice(max(0, i - window + 1), i + 1)
                y = (Q[:, :, i : i + 1] @ K[:, :, seen].mT / 2).softmax(-1) @ V[:, :, seen]
                assert torch.allclose(Y[:, :, i], y[:, :, 0])


@TRUSTED.alternative
def in_float32(attend_window):
    compared(attend_window, windows=(1, 2, 3, 5, 9), scales=(1.0, 100.0), T=9, dtype=torch.float32)
