"""Query i attends to the keys j with i - w < j <= i. Jiang et al. 2023 (Mistral 7B), section 2.

The one-sided form of Beltagy et al. 2020 (Longformer), section 3.1.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted


def reference(Q, K, V, window):
    T, d = Q.shape[-2:]
    i = torch.arange(T, device=Q.device)[:, None]
    j = torch.arange(T, device=Q.device)
    seen = (i - window < j) & (j <= i)
    scores = Q @ K.mT / d**0.5
    return torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1) @ V


TRUSTED = Trusted(reference)


def grid(Q):
    at = torch.arange(Q.shape[-2], device=Q.device)
    return at[:, None], at


def raw(Q, K):
    return Q @ K.mT / Q.shape[-1] ** 0.5


def attention(Q, K, V, seen):
    return raw(Q, K).masked_fill(~seen, float("-inf")).softmax(-1) @ V


@TRUSTED.mistake(
    "Your window holds one key too many: a window of w counts the query's own position, so the oldest key is i - w + 1."
)
def one_too_wide(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i - window <= j) & (j <= i))


@TRUSTED.mistake(
    "Your window holds one key too few: a window of w holds w keys, from i - w + 1 to i. With w = 1 a token "
    "still sees itself."
)
def one_too_narrow(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i - window + 1 < j) & (j <= i))


@TRUSTED.mistake("Your window reaches to both sides: a query may not see the tokens after it.")
def both_sides(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i - j).abs() < window)


@TRUSTED.mistake("Your window looks ahead: query i sees the tokens after it instead of the ones before it.")
def looks_ahead(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i <= j) & (j < i + window))


@TRUSTED.mistake(
    "Only the old end of the window is masked: every query still sees the whole future. Keys with j > i must"
    " be hidden too."
)
def not_causal(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, i - window < j)


@TRUSTED.mistake("`window` is ignored: every query sees its whole past. Hide the keys with j <= i - window too.")
def window_ignored(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, j <= i)


@TRUSTED.mistake("A query does not see itself: the window ends at j = i, and that key belongs to it.")
def without_itself(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i - window < j) & (j < i))


@TRUSTED.mistake(
    "The sequence is cut into blocks of `window` tokens that cannot see each other. The window must slide: "
    "each query has its own, which ends at the query."
)
def blocks_for_windows(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i // window == j // window) & (j <= i))


@TRUSTED.mistake(
    "The mask comes after the softmax, so the weights of a row no longer sum to 1: hidden keys must get -inf"
    " as a score, before the softmax."
)
def mask_after_softmax(Q, K, V, window):
    i, j = grid(Q)
    return raw(Q, K).softmax(-1) * ((i - window < j) & (j <= i)) @ V


@TRUSTED.mistake("Hidden keys get the score 0, which is a score like any other: exp(0) = 1. Give them -inf.")
def zero_for_minus_infinity(Q, K, V, window):
    i, j = grid(Q)
    return raw(Q, K).masked_fill((i - window >= j) | (j > i), 0.0).softmax(-1) @ V


@TRUSTED.mistake("The mask is inverted: exactly the keys inside the window are hidden.")
def inverted(Q, K, V, window):
    i, j = grid(Q)
    return attention(Q, K, V, (i - window >= j) | (j > i))


@TRUSTED.mistake("The scores are not scaled: divide them by sqrt(d) before the softmax.")
def no_scale(Q, K, V, window):
    i, j = grid(Q)
    return (Q @ K.mT).masked_fill((i - window >= j) | (j > i), float("-inf")).softmax(-1) @ V


@TRUSTED.mistake(
    "Hidden keys get a finite score. A finite number is a score like any other: where visible scores lie lower, the "
    "hidden keys win. Only -inf is below every score."
)
def finite_fill(Q, K, V, window):
    i, j = grid(Q)
    return raw(Q, K).masked_fill(~((i - window < j) & (j <= i)), -1e4).softmax(-1) @ V


@TRUSTED.alternative
def slice_by_slice(Q, K, V, window):
    rows = []
    for i in range(Q.shape[-2]):
        old = max(0, i - window + 1)
        A = raw(Q[:, :, i : i + 1], K[:, :, old : i + 1]).softmax(-1)
        rows.append(A @ V[:, :, old : i + 1])
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
