"""Query i attends to the keys j with i - w < j <= i. Jiang et al. 2023 (Mistral 7B), section 2.

The one-sided form of Beltagy et al. 2020 (Longformer), section 3.1.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps


def reference(Q, K, V, window):
    T, d = Q.shape[-2:]
    i = torch.arange(T, device=Q.device)[:, None]
    j = torch.arange(T, device=Q.device)
    seen = (i - window < j) & (j <= i)
    scores = Q @ K.mT / d**0.5
    return torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1) @ V


def attending(seen, attention=steps.Attention):
    """Attention of query i to the keys j for which `seen(i, j, window)` is true."""

    def attend(Q, K, V, window):
        at = torch.arange(Q.shape[-2], device=Q.device)
        return attention()(Q, K, V, seen(at[:, None], at, window))

    return attend


TRUSTED = Trusted(reference)
TRUSTED.add_slips(
    lambda attention: attending(lambda i, j, window: (i - window < j) & (j <= i), attention),
    steps.MaskAfterSoftmax,
    steps.RenormalisedAfterSoftmax,
    steps.NoMaximum,
    steps.MaskInverted,
    steps.ScoreZero,
    steps.FiniteFill,
    steps.NotScaled,
)
(wrong_window,) = TRUSTED.one_by_one(attending)


@wrong_window(
    "Your window holds one key too many: a window of w counts the query's own position, so the oldest key is i - w + 1."
)
def one_too_wide(i, j, window):
    return (i - window <= j) & (j <= i)


@wrong_window(
    "Your window holds one key too few: a window of w holds w keys, from i - w + 1 to i. With w = 1 a token "
    "still sees itself."
)
def one_too_narrow(i, j, window):
    return (i - window + 1 < j) & (j <= i)


@wrong_window("Your window reaches to both sides: a query may not see the tokens after it.")
def both_sides(i, j, window):
    return (i - j).abs() < window


@wrong_window("Your window looks ahead: query i sees the tokens after it instead of the ones before it.")
def looks_ahead(i, j, window):
    return (i <= j) & (j < i + window)


@wrong_window(
    "Only the old end of the window is masked: every query still sees the whole future. Keys with j > i must"
    " be hidden too."
)
def not_causal(i, j, window):
    return i - window < j


@wrong_window("`window` is ignored: every query sees its whole past. Hide the keys with j <= i - window too.")
def window_ignored(i, j, window):
    return j <= i


@wrong_window("A query does not see itself: the window ends at j = i, and that key belongs to it.")
def without_itself(i, j, window):
    return (i - window < j) & (j < i)


@wrong_window(
    "The sequence is cut into blocks of `window` tokens that cannot see each other. The window must slide: "
    "each query has its own, which ends at the query."
)
def blocks_for_windows(i, j, window):
    return (i // window == j // window) & (j <= i)


@TRUSTED.alternative
def slice_by_slice(Q, K, V, window):
    rows = []
    for i in range(Q.shape[-2]):
        old = max(0, i - window + 1)
        rows.append(steps.Attention()(Q[:, :, i : i + 1], K[:, :, old : i + 1], V[:, :, old : i + 1]))
    return torch.cat(rows, -2)


@TRUSTED.alternative
def band_and_library(Q, K, V, window):
    T = Q.shape[-2]
    band = torch.ones(T, T, dtype=torch.bool, device=Q.device).tril().triu(1 - window)
    return F.scaled_dot_product_attention(Q, K, V, band)


@TRUSTED.alternative
def gathered_keys(Q, K, V, window):
    at = torch.arange(Q.shape[-2], device=Q.device)[:, None] - torch.arange(window, device=Q.device)  # (T, w)
    K_w, V_w = K[:, :, at.clamp(min=0)], V[:, :, at.clamp(min=0)]
    scores = torch.einsum("bhtd,bhtwd->bhtw", Q, K_w) / Q.shape[-1] ** 0.5
    A = scores.masked_fill(at < 0, float("-inf")).softmax(-1)
    return torch.einsum("bhtw,bhtwe->bhte", A, V_w)
