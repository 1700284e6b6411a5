"""Y = softmax(Q K^T / sqrt(d_k) + M) V, where M = -inf hides a key. Vaswani et al. 2017, section 3.2.3.

A key j is hidden when it is padding, or when causal and j lies after the query. The queries are the last T of
the S positions, so query i stands at position i + S - T.
"""

import torch

from grader.contract import Trusted


def visible(T, S, real, causal, diagonal=None):
    """Which keys each query sees, Bool (B, 1, T, S); `diagonal` overrides where the causal triangle ends."""
    seen = real[:, None, None, :].expand(-1, 1, T, S)
    return seen.tril(S - T if diagonal is None else diagonal) if causal else seen


def scores(Q, K):
    return Q @ K.mT / Q.shape[-1] ** 0.5


def attend(Q, K, V, seen):
    return scores(Q, K).masked_fill(~seen, float("-inf")).softmax(-1) @ V


def sizes(Q, K):
    return Q.shape[2], K.shape[2]


def reference(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    query = torch.arange(T, device=Q.device)[:, None] + S - T
    key = torch.arange(S, device=Q.device)
    M = torch.zeros(real.shape[0], 1, T, S, dtype=Q.dtype, device=Q.device)
    M = M.masked_fill(~real[:, None, None], float("-inf"))
    if causal:
        M = M.masked_fill(key > query, float("-inf"))
    return torch.softmax(scores(Q, K) + M, -1) @ V


TRUSTED = Trusted(reference)


@TRUSTED.mistake(
    "The mask comes after the softmax: hidden keys have already taken their share of every row, so the "
    "weights that are left sum to less than 1. Hide the keys in the scores, before the softmax."
)
def mask_after_softmax(Q, K, V, real, causal):
    return (scores(Q, K).softmax(-1) * visible(*sizes(Q, K), real, causal)) @ V


@TRUSTED.mistake(
    "The mask is inverted: you hide the keys that should be seen and keep the others. True means a real "
    "token, and `masked_fill` fills where its mask is True."
)
def mask_inverted(Q, K, V, real, causal):
    return attend(Q, K, V, ~visible(*sizes(Q, K), real, causal))


@TRUSTED.mistake("The causal triangle is the wrong way round: each query sees itself and the future, and not its past.")
def triangle_upside_down(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    seen = real[:, None, None, :].expand(-1, 1, T, S)
    return attend(Q, K, V, seen.triu(S - T) if causal else seen)


@TRUSTED.mistake(
    "The causal mask is off by one: a query does not see its own position, and the first one may see nothing "
    "at all, which gives NaN. Query i sees every key up to and including its own position."
)
def own_position_hidden(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, visible(T, S, real, causal, S - T - 1))


@TRUSTED.mistake(
    "The causal mask is off by one: each query sees one position of the future, so a model could copy the "
    "token that it should predict."
)
def one_step_of_future(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, visible(T, S, real, causal, S - T + 1))


@TRUSTED.mistake(
    "The causal triangle starts in the top left corner, which is right only when T equals S. The queries are "
    "the last T of the S positions: query 0 has S - T positions before it and must see them."
)
def triangle_top_left(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), real, causal, 0))


@TRUSTED.mistake(
    "The causal mask is T by T, which fits only when T equals S: it needs a row for each query and a column "
    "for each key."
)
def square_of_queries(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    triangle = torch.ones(T, T, dtype=torch.bool, device=Q.device).tril()
    return attend(Q, K, V, real[:, None, None] & triangle if causal else visible(T, S, real, False))


@TRUSTED.mistake(
    "The causal mask is S by S, which fits only when T equals S: it needs a row for each query and a column "
    "for each key."
)
def square_of_keys(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    triangle = torch.ones(S, S, dtype=torch.bool, device=Q.device).tril()
    return attend(Q, K, V, real[:, None, None] & triangle if causal else visible(T, S, real, False))


@TRUSTED.mistake(
    "Hidden scores are set to 0, but exp(0) = 1: hidden keys still get weight. Which score does the softmax "
    "turn into a weight of 0?"
)
def zero_for_minus_infinity(Q, K, V, real, causal):
    return scores(Q, K).masked_fill(~visible(*sizes(Q, K), real, causal), 0.0).softmax(-1) @ V


@TRUSTED.mistake(
    "The Bool mask is added to the scores as 0 and 1: that favours the visible keys a little and hides none. "
    "What is added must be 0 for a visible key and -inf for a hidden one."
)
def mask_added_as_numbers(Q, K, V, real, causal):
    return (scores(Q, K) + visible(*sizes(Q, K), real, causal)).softmax(-1) @ V


@TRUSTED.mistake(
    "-1e9 does not exist in float16, whose lowest number is -65504: use -inf, which every floating-point type has."
)
def minus_1e9(Q, K, V, real, causal):
    return scores(Q, K).masked_fill(~visible(*sizes(Q, K), real, causal), -1e9).softmax(-1) @ V


@TRUSTED.mistake(
    "The padding mask lies on the queries: whole rows are hidden (NaN), or the shapes do not fit. `real` "
    "says which keys are real, and keys are the last axis of the scores."
)
def padding_on_the_queries(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, real[:, None, :, None] & visible(T, S, torch.ones_like(real), causal))


@TRUSTED.mistake(
    "The padding mask lies on the queries: the rows of padded queries are hidden whole and give NaN. `real` "
    "says which keys are real, and keys are the last axis of the scores."
)
def padding_on_the_last_queries(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, real[:, None, -T:, None] & visible(T, S, torch.ones_like(real), causal))


@TRUSTED.mistake(
    "The padding mask is broadcast over the batch and laid along the heads: the scores are (B, H, T, S), so "
    "`real` (B, S) needs two new axes between its own. Where B equals H no error tells you."
)
def padding_along_the_heads(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, real[:, None, :] & visible(T, S, torch.ones_like(real[:1]), causal)[0])


@TRUSTED.mistake(
    "`real` (B, S) is used as it is, so its batch axis is laid along the queries: the scores are (B, H, T, "
    "S), so `real` needs two new axes between its own. Where B equals T no error tells you."
)
def padding_along_the_queries(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    return attend(Q, K, V, real & visible(T, S, torch.ones_like(real[:1]), causal)[0, 0])


@TRUSTED.mistake("The padding of the first sequence is used for the whole batch: each sequence has its own.")
def padding_of_the_first_sequence(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), real[:1].expand_as(real), causal))


@TRUSTED.mistake("`real` is ignored: padding gets weight as if it were text.")
def padding_seen(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), torch.ones_like(real), causal))


@TRUSTED.mistake("`causal` is ignored: the queries see the future even when it is True.")
def future_seen(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), real, False))


@TRUSTED.mistake("The causal mask is applied even when `causal` is False.")
def always_causal(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), real, True))


@TRUSTED.mistake(
    "Each mask is right alone, but when `causal` is True padding is seen again: a key must pass both masks."
)
def causal_replaces_padding(Q, K, V, real, causal):
    return attend(Q, K, V, visible(*sizes(Q, K), torch.ones_like(real) if causal else real, causal))


@TRUSTED.mistake("A key is seen when it passes either mask: it must pass both, so join them with & and not with |.")
def either_mask(Q, K, V, real, causal):
    T, S = sizes(Q, K)
    past = visible(T, S, torch.ones_like(real), causal)
    return attend(Q, K, V, real[:, None, None, :] | past if causal else visible(T, S, real, False))


@TRUSTED.mistake("The masks are right, but the scores are not divided by sqrt(d).")
def no_scale(Q, K, V, real, causal):
    return attend(Q * Q.shape[-1] ** 0.5, K, V, visible(*sizes(Q, K), real, causal))


@TRUSTED.mistake(
    "Hidden keys get a finite score. A finite number is a score like any other: where visible scores lie lower, the "
    "hidden keys win. Only -inf is below every score."
)
def finite_fill(Q, K, V, real, causal):
    seen = visible(*sizes(Q, K), real, causal)
    return scores(Q, K).masked_fill(~seen, -1e4).softmax(-1) @ V


@TRUSTED.mistake(
    "The values are right but no gradient passes through the weights: somewhere the scores are detached, so the "
    "queries and keys could never learn."
)
def weights_detached(Q, K, V, real, causal):
    seen = visible(*sizes(Q, K), real, causal)
    return scores(Q, K).masked_fill(~seen, float("-inf")).softmax(-1).detach() @ V


@TRUSTED.alternative
def library(Q, K, V, real, causal):
    seen = visible(*sizes(Q, K), real, causal)
    return torch.nn.functional.scaled_dot_product_attention(Q, K, V, seen)


@TRUSTED.alternative
def exponentials_masked_before_the_sum(Q, K, V, real, causal):
    e = (scores(Q, K) - scores(Q, K).amax(-1, keepdim=True)).exp() * visible(*sizes(Q, K), real, causal)
    return torch.einsum("bhts,bhse->bhte", e / e.sum(-1, keepdim=True), V)


@TRUSTED.alternative
def lowest_number_of_the_type(Q, K, V, real, causal):
    hidden = ~visible(*sizes(Q, K), real, causal)
    return torch.softmax(scores(Q, K).masked_fill(hidden, torch.finfo(Q.dtype).min), -1) @ V


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
