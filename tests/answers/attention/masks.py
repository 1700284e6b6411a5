"""Answers to attention.masks by a reader who did not write its mistakes."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.masks",
    spared={
        "onward": "nothing happens after which it would go on",
        "dependence": "nothing is drawn",
        "unwatched": "nothing but values and gradients is watched",
    },
)
KEPT = {}
BLOCK = torch.ones(1024, 1024, dtype=torch.bool).tril()


def attend(Q, K, V, allowed, hidden=-torch.inf):
    return (Q @ K.mT / math.sqrt(Q.shape[-1])).masked_fill(~allowed, hidden).softmax(-1) @ V


def past(Q, K, diagonal=None):
    T, S = Q.shape[-2], K.shape[-2]
    return torch.ones(T, S, dtype=torch.bool).tril(S - T if diagonal is None else diagonal)


@ANSWERS.wrong("plain", "the first query is taken for position 0, as is_causal=True has it", true="triangle_top_left")
def as_is_causal(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K, 0) if causal else allowed)


@ANSWERS.wrong("plain", "a query does not see its own place", true="own_position_hidden")
def strictly_before(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K, K.shape[2] - Q.shape[2] - 1) if causal else allowed)


@ANSWERS.wrong("plain", "causal is not looked at: padding alone", true="future_seen")
def never_causal(Q, K, V, real, causal):
    return attend(Q, K, V, real[:, None, None])


@ANSWERS.wrong("plain", "causal masks without padding: real is forgotten there", true="padding_seen_when_causal")
def either(Q, K, V, real, causal):
    return attend(Q, K, V, past(Q, K) if causal else real[:, None, None])


@ANSWERS.wrong("plain", "or in place of and", true="either_mask")
def joined_by_or(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed | past(Q, K) if causal else allowed)


@ANSWERS.wrong(
    "plain", "the mask is upside down: True is taken for hidden, as in nn.MultiheadAttention", true="MaskInverted"
)
def upside_down(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    return (Q @ K.mT / math.sqrt(Q.shape[-1])).masked_fill(allowed, -torch.inf).softmax(-1) @ V


@ANSWERS.wrong("plain", "-1e9, which float16 cannot hold", true="minus_1e9")
def billion(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed, -1e9)


@ANSWERS.wrong("plain", "real lies along the heads", true="padding_along_the_heads")
def along_heads(Q, K, V, real, causal):
    allowed = real[None, :, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed)


@ANSWERS.wrong(
    "plain", "weights are zeroed after the softmax, and no scale", told="does not sum to 1 along dimension -1"
)
def zeroed_unscaled(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    return ((Q @ K.mT).softmax(-1) * allowed) @ V


@ANSWERS.wrong(
    "plain",
    "keys and values are multiplied by 0 where they are filler: their score of 0 is still read",
    true="keys_emptied",
)
def keys_zeroed(Q, K, V, real, causal):
    K, V = K * real[:, None, :, None], V * real[:, None, :, None]
    allowed = past(Q, K) if causal else torch.ones(1, 1, dtype=torch.bool)
    return attend(Q, K, V, allowed)


@ANSWERS.wrong("named", "padding is taken to lie at the end: only its length is used", true="padding_at_the_end")
def lengths(Q, K, V, real, causal):
    allowed = (torch.arange(K.shape[2]) < real.sum(-1, keepdim=True))[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed)


@ANSWERS.wrong("named", "key 0 may always be seen, so that no row is empty", true="first_key_seen")
def first_key_seen(Q, K, V, real, causal):
    allowed = real[:, None, None].expand(-1, -1, Q.shape[2], -1)
    allowed = (allowed & past(Q, K) if causal else allowed).clone()
    allowed[..., 0] = True
    return attend(Q, K, V, allowed)


@ANSWERS.wrong(
    "named",
    "queries that are filler see nothing of the future, without causal as well",
    told="query 1 takes nothing from the value of key 3, which it must see",
)
def filler_queries(Q, K, V, real, causal):
    T, S = Q.shape[2], K.shape[2]
    allowed = real[:, None, None].expand(-1, -1, T, -1)
    if not causal and T <= S:
        queries = real[:, S - T :][:, None, :, None]
        allowed = allowed & (queries | past(Q, K))
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed)


@ANSWERS.wrong("far", "-10000 in place of -inf", true="FiniteFill")
def ten_thousand(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed, -1e4)


@ANSWERS.wrong(
    "far", "softmax, mask, renormalise: 0/0 where a hidden key lies far above", true="RenormalisedAfterSoftmax"
)
def renormalised(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    A = (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) * allowed
    return A / A.sum(-1, keepdim=True) @ V


@ANSWERS.wrong(
    "far", "the same with a small number below the line, so that no NaN shows", told="hidden keys far above: Y differs"
)
def renormalised_safely(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    A = (Q @ K.mT / math.sqrt(Q.shape[-1])).double().softmax(-1) * allowed
    return (A / (A.sum(-1, keepdim=True) + 1e-9)).to(V.dtype) @ V


@ANSWERS.wrong(
    "ones", "squeeze of the mask: with one sequence a dimension is missing", told="has lost a dimension of size 1"
)
def mask_squeezed(Q, K, V, real, causal):
    allowed = real.squeeze()
    allowed = allowed[:, None, None] if allowed.dim() == 2 else allowed
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed).squeeze(1)


@ANSWERS.wrong("ones", "a single query is taken for the first position", told="wrong where it is 1")
def single_query(Q, K, V, real, causal):
    allowed = real[:, None, None]
    if causal:
        allowed = allowed & (past(Q, K) if Q.shape[2] > 1 else past(Q, K, 0))
    return attend(Q, K, V, allowed)


@ANSWERS.wrong("large", "a triangle of 1024 positions, as minGPT registers it", told="wrong where it is 2100 or more")
def triangle_of_1024(Q, K, V, real, causal):
    T, S = Q.shape[2], K.shape[2]
    allowed = real[:, None, None]
    if causal:
        rows = BLOCK[max(S - T, 0) : S, :S] if S <= 1024 else torch.ones(T, S, dtype=torch.bool)
        allowed = allowed & rows
    return attend(Q, K, V, allowed)


@ANSWERS.wrong("given", "the triangle is put into real in place", told="changes its input real in place")
def real_changed(Q, K, V, real, causal):
    out = attend(Q, K, V, real[:, None, None] & past(Q, K) if causal else real[:, None, None])
    real &= False
    return out


@ANSWERS.wrong("given", "filler keys are emptied in place", told="changes its input V in place")
def keys_emptied(Q, K, V, real, causal):
    with torch.no_grad():
        V.masked_fill_(~real[:, None, :, None], 0)
    return attend(Q, K, V, real[:, None, None] & past(Q, K) if causal else real[:, None, None])


@ANSWERS.wrong("again", "the mask is kept by its sizes, without real and causal", told="differ in causal alone")
def mask_kept(Q, K, V, real, causal):
    allowed = real[:, None, None]
    key = Q.shape[2], K.shape[2]
    if key not in KEPT:
        KEPT[key] = allowed & past(Q, K) if causal else allowed
    return attend(Q, K, V, KEPT[key])


@ANSWERS.wrong(
    "surroundings", "switches gradients off for the mask, and not on again", told="leaves gradients switched off"
)
def gradients_off(Q, K, V, real, causal):
    out = attend(Q, K, V, real[:, None, None] & past(Q, K) if causal else real[:, None, None])
    torch.set_grad_enabled(False)
    return out


@ANSWERS.wrong("plain", "what is hidden times -inf is added: 0 times -inf is NaN", true="mask_times_infinity")
def times_infinity(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    return (Q @ K.mT / math.sqrt(Q.shape[-1]) + ~allowed * -torch.inf).softmax(-1) @ V


@ANSWERS.wrong(
    "plain", "a causal mask for as many keys as queries, as minGPT cuts its buffer", told=r"Z is \(1, 2, 3, 7\)"
)
def square(Q, K, V, real, causal):
    T = Q.shape[2]
    Z = Q @ K.mT / math.sqrt(Q.shape[-1])
    if causal:
        Z = Z.masked_fill(BLOCK[:T, :T] == 0, -torch.inf)
    return Z.masked_fill(~real[:, None, None], -torch.inf).softmax(-1) @ V


@ANSWERS.wrong("named", "causal only where there are as many queries as keys", told="differ in causal alone")
def causal_if_square(Q, K, V, real, causal):
    allowed = real[:, None, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal and Q.shape[2] == K.shape[2] else allowed)


@ANSWERS.wrong(
    "plain", "the first sequence's padding for all", told="takes from the value of key 1, which it must not see"
)
def first_sequence(Q, K, V, real, causal):
    allowed = real[:1, None, None]
    return attend(Q, K, V, allowed & past(Q, K) if causal else allowed)


@ANSWERS.wrong("far", "-100 is added to hidden scores", told="hidden keys far above: Y differs")
def hundred_lower(Q, K, V, real, causal):
    allowed = real[:, None, None]
    allowed = allowed & past(Q, K) if causal else allowed
    return (Q @ K.mT / math.sqrt(Q.shape[-1]) - 100 * (~allowed).to(Q.dtype)).softmax(-1) @ V


@ANSWERS.wrong("again", "the mask is kept by real and by shape, whatever causal says", told="differ in causal alone")
def kept_without_causal(Q, K, V, real, causal):
    key = "no causal", Q.shape, K.shape, str(real.tolist())
    if key not in KEPT:
        KEPT[key] = real[:, None, None] & past(Q, K) if causal else real[:, None, None]
    return attend(Q, K, V, KEPT[key])


@ANSWERS.right
def with_a_bias_in_double(Q, K, V, real, causal):
    T, S = Q.shape[-2:][0], K.shape[-2]
    i, j = torch.arange(S - T, S).view(-1, 1), torch.arange(S).view(1, -1)
    seen = torch.logical_and(real.view(len(real), 1, 1, S), (j <= i) | (not causal))
    bias = torch.where(seen, 0.0, -math.inf)
    Z = torch.einsum("bhtd,bhsd->bhts", Q.double(), K.double()) / Q.shape[-1] ** 0.5 + bias
    return (Z.softmax(-1) @ V.double()).to(V.dtype)


@ANSWERS.right
def added_mask(Q, K, V, real, causal):
    T, S = Q.shape[2], K.shape[2]
    M = Q.new_zeros(len(Q), 1, T, S).masked_fill(~real[:, None, None], -torch.inf)
    if causal:
        M = M + Q.new_full((T, S), -torch.inf).triu(S - T + 1)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=M)


@ANSWERS.right
def smallest_number(Q, K, V, real, causal):
    allowed = real[:, None, None]
    if causal and Q.shape[2] > 1:  # a single query is the last: it sees all
        allowed = allowed & past(Q, K)
    return attend(Q, K, V, allowed, torch.finfo(Q.dtype).min)


@ANSWERS.right
def by_cumulative_positions(Q, K, V, real, causal):
    place = real.long().cumsum(-1)
    allowed = real[:, None, None]
    if causal:
        allowed = allowed & (place[:, None, None] <= place[:, None, K.shape[2] - Q.shape[2] :, None])
    return (
        attend(Q.float(), K.float(), V.float(), allowed).to(Q.dtype)
        if Q.dtype.itemsize < 4
        else attend(Q, K, V, allowed)
    )


@ANSWERS.right
def key_by_key(Q, K, V, real, causal):
    B, H, T, _ = Q.shape
    S = K.shape[2]
    rows = []
    for b in range(B):
        for h in range(H):
            for i in range(T):
                seen = [j for j in range(S) if real[b, j] and (not causal or j <= i + S - T)]
                z = K[b, h, seen] @ Q[b, h, i] / math.sqrt(Q.shape[-1])
                rows.append(z.softmax(0) @ V[b, h, seen])
    return torch.stack(rows).reshape(B, H, T, -1)
