"""Y = softmax(Q K^T / sqrt(d_k) + M) V, where M = -inf hides a key. Vaswani et al. 2017, section 3.2.3.

A key j is hidden when it is padding, or when causal and j lies after the query. The queries are the last T of
the S positions, so query i stands at position i + S - T.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps


def reference(Q, K, V, real, causal):
    T, S = Q.shape[2], K.shape[2]
    query = torch.arange(T, device=Q.device)[:, None] + S - T
    key = torch.arange(S, device=Q.device)
    M = torch.zeros(real.shape[0], 1, T, S, dtype=Q.dtype, device=Q.device)
    M = M.masked_fill(~real[:, None, None], float("-inf"))
    if causal:
        M = M.masked_fill(key > query, float("-inf"))
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5 + M, -1) @ V


def visible(T, S, real, causal, past=None):
    """Which keys each query sees, (B 1 T S): the real ones, and of these the `past` (T S) when causal."""
    past = torch.ones(T, S, dtype=torch.bool, device=real.device).tril(S - T) if past is None else past
    seen = real[:, None, None, :].expand(-1, 1, T, S)
    return seen & past if causal else seen


def attending(seen, attention=steps.Attention):
    """Attention over the keys that `seen(T, S, real, causal)` shows."""
    return lambda Q, K, V, real, causal: attention()(Q, K, V, seen(Q.shape[2], K.shape[2], real, causal))


TRUSTED = Trusted(reference, budget="a mask can be wrong in which keys, on which axis, and in how it hides")
TRUSTED.add_slips(
    lambda attention: attending(visible, attention),
    steps.MaskAfterSoftmax,
    steps.RenormalisedAfterSoftmax,
    steps.MaskInverted,
    steps.ScoreZero,
    steps.FiniteFill,
    steps.WeightsDetached,
)
(wrong_mask,) = TRUSTED.one_by_one(attending)


def triangle(T, S, real, last):
    """The keys up to `last` for query 0, and one more for each query."""
    return torch.ones(T, S, dtype=torch.bool, device=real.device).tril(last)


@wrong_mask("The causal triangle is the wrong way round: each query sees itself and the future, and not its past.")
def triangle_upside_down(T, S, real, causal):
    return visible(T, S, real, causal, ~triangle(T, S, real, S - T - 1))


@wrong_mask(
    "The causal mask is off by one: a query does not see its own position, and the first one may see nothing "
    "at all, which gives NaN. Query i sees every key up to and including its own position."
)
def own_position_hidden(T, S, real, causal):
    return visible(T, S, real, causal, triangle(T, S, real, S - T - 1))


@wrong_mask(
    "The causal mask is off by one: each query sees one position of the future, so a model could copy the "
    "token that it should predict."
)
def one_step_of_future(T, S, real, causal):
    return visible(T, S, real, causal, triangle(T, S, real, S - T + 1))


@wrong_mask(
    "The causal triangle starts in the top left corner, which is right only when T equals S. The queries are "
    "the last T of the S positions: query 0 has S - T positions before it and must see them."
)
def triangle_top_left(T, S, real, causal):
    return visible(T, S, real, causal, triangle(T, S, real, 0))


@wrong_mask(
    "The padding mask lies on the queries: whole rows are hidden (NaN), or the shapes do not fit. `real` "
    "says which keys are real, and keys are the last axis of the scores."
)
def padding_on_the_queries(T, S, real, causal):
    return real[:, None, :, None] & visible(T, S, torch.ones_like(real), causal)


@wrong_mask(
    "The padding mask is broadcast over the batch and laid along the heads: the scores are (B, H, T, S), so "
    "`real` (B, S) needs two new axes between its own. Where B equals H no error tells you."
)
def padding_along_the_heads(T, S, real, causal):
    return real[:, None, :] & visible(T, S, torch.ones_like(real[:1]), causal)[0]


@wrong_mask(
    "`real` (B, S) is used as it is, so its batch axis is laid along the queries: the scores are (B, H, T, "
    "S), so `real` needs two new axes between its own. Where B equals T no error tells you."
)
def padding_along_the_queries(T, S, real, causal):
    return real & visible(T, S, torch.ones_like(real[:1]), causal)[0, 0]


@wrong_mask("`real` is ignored: padding gets weight as if it were text.")
def padding_seen(T, S, real, causal):
    return visible(T, S, torch.ones_like(real), causal)


@wrong_mask("`causal` is ignored: the queries see the future even when it is True.")
def future_seen(T, S, real, causal):
    return visible(T, S, real, False)


@wrong_mask("`real` is forgotten when `causal` is True: then a key must be real as well as not in the future.")
def padding_seen_when_causal(T, S, real, causal):
    return visible(T, S, torch.ones_like(real) if causal else real, causal)


@wrong_mask(
    "`real` is only counted, as if all padding stood at the end: it may stand anywhere, on the left or in between. "
    "Hide the keys at which `real` is False."
)
def padding_at_the_end(T, S, real, causal):
    places = torch.arange(S, device=real.device)
    return visible(T, S, places < real.sum(-1, keepdim=True), causal)


@wrong_mask("Key 0 is seen by every query, padding or not: where a batch is padded on the left, key 0 is not real.")
def first_key_seen(T, S, real, causal):
    return visible(T, S, real, causal) | (torch.arange(S, device=real.device) == 0)


@wrong_mask("A key is seen when it passes either mask: it must pass both, so join them with & and not with |.")
def either_mask(T, S, real, causal):
    past = triangle(T, S, real, S - T)
    return real[:, None, None, :] | past if causal else visible(T, S, real, False)


@TRUSTED.mistake(
    "The mask is multiplied by -inf before it is added, and 0 times -inf is NaN: fill in -inf where a key is hidden "
    "(`masked_fill`, `torch.where`), and leave the other scores alone."
)
def mask_times_infinity(Q, K, V, real, causal):
    hidden = ~visible(Q.shape[2], K.shape[2], real, causal)
    return (Q @ K.mT / Q.shape[-1] ** 0.5 + hidden * float("-inf")).softmax(-1) @ V


@TRUSTED.mistake(
    "Padding is emptied in the keys and values, and not hidden: a key of zeros has the score 0, exp(0) = 1, and so it "
    "still takes a share of every row. Which score does the softmax turn into a weight of 0?"
)
def keys_emptied(Q, K, V, real, causal):
    T, S = Q.shape[2], K.shape[2]
    K, V = K * real[:, None, :, None], V * real[:, None, :, None]
    return steps.Attention()(Q, K, V, visible(T, S, torch.ones_like(real), causal))


@TRUSTED.mistake(
    "-1e9 does not exist in float16, whose lowest number is -65504: use -inf, which every floating-point type has."
)
def minus_1e9(Q, K, V, real, causal):
    hidden = ~visible(Q.shape[2], K.shape[2], real, causal)
    return (Q @ K.mT / Q.shape[-1] ** 0.5).masked_fill(hidden, -1e9).softmax(-1) @ V


@TRUSTED.alternative
def library(Q, K, V, real, causal):
    return F.scaled_dot_product_attention(Q, K, V, visible(Q.shape[2], K.shape[2], real, causal))


@TRUSTED.alternative
def exponentials_masked_before_the_sum(Q, K, V, real, causal):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5
    seen = visible(*Z.shape[2:], real, causal)
    Z = Z.where(seen, -torch.inf)
    e = (Z - Z.amax(-1, keepdim=True)).exp() * seen
    return torch.einsum("bhts,bhse->bhte", e / e.sum(-1, keepdim=True), V)


@TRUSTED.alternative
def lowest_number_of_the_type(Q, K, V, real, causal):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5
    hidden = ~visible(*Z.shape[2:], real, causal)
    return torch.softmax(Z.masked_fill(hidden, torch.finfo(Q.dtype).min), -1) @ V


@TRUSTED.alternative
def loop_over_queries(Q, K, V, real, causal):
    (B, H, T, d), S = Q.shape, K.shape[2]
    Y = Q.new_zeros(B, H, T, V.shape[-1])
    for b in range(B):
        for t in range(T):
            keys = [j for j in range(S) if real[b, j] and not (causal and j - t > S - T)]
            weights = torch.softmax((K[b, :, keys] @ Q[b, :, t, :, None]).mT / d**0.5, -1)
            Y[b, :, t] = (weights @ V[b, :, keys])[:, 0]
    return Y
