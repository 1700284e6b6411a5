"""Masked attention, Vaswani et al. 2017, section 3.2.3, extended to the empty row.

A_ij = exp(S_ij) / sum_k exp(S_ik), where k runs over the allowed keys. Where there are none the mixture of no
values is 0, and a constant has the gradient 0.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps

INF = float("inf")


def scores(Q, K):
    return Q @ K.mT / Q.shape[-1] ** 0.5


def reference(Q, K, V, allowed):
    S = scores(Q, K)
    top = S.detach().masked_fill(~allowed, -INF).amax(-1, keepdim=True)
    top = torch.where(top == -INF, 0.0, top)  # of an empty row: no infinity is subtracted from another
    e = torch.exp((S - top).masked_fill(~allowed, -INF))
    total = e.sum(-1, keepdim=True)
    A = e / torch.where(total == 0, 1.0, total)
    return A @ V


def guarded(attention):
    """Empty rows look at everything and are set to 0 afterwards."""

    def attend(Q, K, V, allowed):
        empty = ~allowed.any(-1, keepdim=True)
        return torch.where(empty, 0.0, attention()(Q, K, V, allowed | empty))

    return attend


TRUSTED = Trusted(reference, budget="a row may be found in the wrong way, and repaired in many")
TRUSTED.add_slips(
    guarded,
    steps.NotScaled,
    steps.NoMaximum,
    steps.MaskAfterSoftmax,
    steps.ScoreZero,
    steps.FiniteFill,
    steps.WeightsDetached,
)


@TRUSTED.mistake(
    "A query without any allowed key gives NaN: all its scores are -inf, and the softmax divides 0 by 0. "
    "Such a row needs a treatment of its own."
)
def not_guarded(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, -INF).softmax(-1) @ V


@TRUSTED.mistake(
    "The result is right but the gradient of V is NaN: you repair Y at the end, when the weights are NaN "
    "already, and in the backward pass NaN times 0 is NaN. No NaN must ever arise: repair the weights, or "
    "better the scores."
)
def result_repaired(Q, K, V, allowed):
    return torch.nan_to_num(not_guarded(Q, K, V, allowed))


@TRUSTED.mistake(
    "This does what the code as it was given does: the result is right, and the gradients of Q and K are NaN. Where "
    "does the NaN arise, and by what does the softmax's own backward pass multiply?"
)
def weights_repaired(Q, K, V, allowed):
    M = torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -INF)
    return torch.nan_to_num((scores(Q, K) + M).softmax(-1)) @ V


@TRUSTED.mistake(
    "The result is right but gradients are NaN: the NaN is replaced in Y now, a line later than in the code as it was "
    "given, and flows back through weights and scores all the same. No NaN must ever arise."
)
def repaired_a_line_later(Q, K, V, allowed):
    M = torch.zeros_like(allowed, dtype=Q.dtype).masked_fill(~allowed, -INF)
    return torch.nan_to_num((scores(Q, K) + M).softmax(-1) @ V)


@TRUSTED.mistake(
    "Queries that are not empty see all keys, hidden ones too: what finds empty rows hides no key in the others yet."
)
def only_empty_rows(Q, K, V, allowed):
    return scores(Q, K).softmax(-1) @ V * allowed.any(-1, keepdim=True)


@TRUSTED.mistake(
    "A query without any allowed key gives the plain average of all values: with one equal, very low score "
    "everywhere the softmax is uniform. It must give 0."
)
def uniform_average(Q, K, V, allowed):
    return scores(Q, K).masked_fill(~allowed, torch.finfo(Q.dtype).min).softmax(-1) @ V


@TRUSTED.mistake(
    "A query without any allowed key still mixes values: you add -1e9 to its scores, and a shift that is the "
    "same for the whole row changes nothing (in float32 it rounds the scores away and averages instead). It "
    "must give 0."
)
def minus_1e9_added(Q, K, V, allowed):
    return (scores(Q, K) + torch.where(allowed, 0.0, -1e9).to(Q.dtype)).softmax(-1) @ V


@TRUSTED.mistake(
    "A query without any allowed key attends to every key: you lift its mask to avoid NaN, but never set its "
    "row to 0 afterwards."
)
def mask_lifted(Q, K, V, allowed):
    return not_guarded(Q, K, V, allowed | ~allowed.any(-1, keepdim=True))


@TRUSTED.mistake(
    "A query without any allowed key gives the value of key 0: you show it that key to avoid NaN, but never set its "
    "row to 0 afterwards."
)
def first_key_shown(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape).clone()
    allowed[..., 0] |= ~allowed.any(-1)
    return not_guarded(Q, K, V, allowed)


@TRUSTED.mistake("The mask is inverted: True in `allowed` means that the query may see the key.")
def mask_inverted(Q, K, V, allowed):
    return reference(Q, K, V, ~allowed)


@TRUSTED.mistake(
    "Everything becomes 0 as soon as one query has no allowed key: look for empty rows along the last axis "
    "of `allowed`, with keepdim=True, one answer for each query."
)
def everything_zeroed(Q, K, V, allowed):
    return reference(Q, K, V, allowed) * allowed.any(-1).all()


@TRUSTED.mistake(
    "Hidden keys are let into the softmax, or its maximum, and taken out afterwards. Where one of them has a far "
    "higher score, nothing is left of the allowed keys, and the query gives 0. Hide them in the scores, before "
    "anything else."
)
def hidden_afterwards(Q, K, V, allowed):
    A = scores(Q, K).softmax(-1) * allowed
    return A / A.sum(-1, keepdim=True).clamp_min(1e-30) @ V


@TRUSTED.mistake(
    "A query gives 0 as soon as one key is hidden from it: a row is empty where no key at all is allowed, which is "
    "`~allowed.any(-1)`, not `(~allowed).any(-1)`."
)
def any_hidden(Q, K, V, allowed):
    return reference(Q, K, V, allowed & allowed.all(-1, keepdim=True))


@TRUSTED.mistake(
    "Empty columns are looked for in place of empty rows: each query is a row of the mask, and its keys are the last "
    "axis. A query without any allowed key is still NaN."
)
def empty_columns(Q, K, V, allowed):
    allowed = allowed.expand(scores(Q, K).shape)
    empty = ~allowed.any(-2, keepdim=True)
    return scores(Q, K).masked_fill(~allowed & ~empty, -INF).softmax(-1).masked_fill(empty, 0.0) @ V


TRUSTED.add_alternative("rows_lifted_then_zeroed", guarded(steps.Attention))


@TRUSTED.alternative
def lowest_number_then_masked(Q, K, V, allowed):
    A = torch.softmax(scores(Q, K).masked_fill(~allowed, -1e30), -1)
    return torch.einsum("bhts,bhse->bhte", A * allowed, V)


@TRUSTED.alternative
def weights_repaired_behind_a_fill(Q, K, V, allowed):
    # Right, though by luck: masked_fill's backward pass sets the NaN gradients of the hidden scores to 0.
    return torch.nan_to_num(scores(Q, K).masked_fill(~allowed, -INF).softmax(-1)) @ V


@TRUSTED.alternative
def library(Q, K, V, allowed):
    return F.scaled_dot_product_attention(Q, K, V, allowed)


@TRUSTED.alternative
def loop_over_rows(Q, K, V, allowed):
    B, H, T, d = Q.shape
    seen = allowed.expand(B, H, T, K.shape[2])
    rows = []
    for b, h, t in torch.cartesian_prod(torch.arange(B), torch.arange(H), torch.arange(T)).tolist():
        keys = seen[b, h, t]
        rows.append(torch.softmax(K[b, h, keys] @ Q[b, h, t] / d**0.5, 0) @ V[b, h, keys])
    return torch.stack(rows).view(B, H, T, -1)
