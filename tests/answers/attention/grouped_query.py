"""Answers to attention.grouped_query."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.grouped_query",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the result",
    },
)


def attended(Q, K, V):
    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V


@ANSWERS.wrong("plain", "repeat: heads are dealt out in turns", true="repeated_not_interleaved")
def tiled(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat(1, n, 1, 1), V.repeat(1, n, 1, 1))


@ANSWERS.wrong("plain", "Q is split into (H/G, G): heads are dealt out in turns", true="repeated_not_interleaved")
def split_the_other_way(Q, K, V):
    G = K.shape[1]
    return attended(Q.unflatten(1, (-1, G)), K[:, None], V[:, None]).flatten(1, 2)


@ANSWERS.wrong("plain", "h % G", true="repeated_not_interleaved")
def remainder(Q, K, V):
    group = torch.arange(Q.shape[1]) % K.shape[1]
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("plain", "keys in neighbours, values in turns", true="values_repeated")
def keys_and_values_apart(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat_interleave(n, 1), V.repeat(1, n, 1, 1))


@ANSWERS.wrong("plain", "repeats along the keys: the number of heads stays", told=r"V is \(2, 2, 10, 4\)")
def wrong_dimension(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat_interleave(n, 2), V.repeat_interleave(n, 2))


@ANSWERS.wrong("plain", "repeats G times in place of H / G times", told=r"V is \(2, 9, 2, 4\)")
def repeated_g_times(Q, K, V):
    G = K.shape[1]
    return attended(Q, K.repeat_interleave(G, 1), V.repeat_interleave(G, 1))


@ANSWERS.wrong("plain", "the queries of a group are averaged", true="queries_averaged")
def queries_averaged(Q, K, V):
    G = K.shape[1]
    n = Q.shape[1] // G
    return attended(Q.unflatten(1, (G, n)).mean(2), K, V).repeat_interleave(n, 1)


@ANSWERS.wrong("plain", "no scale", true="NotScaled")
def unscaled(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return (Q @ K.repeat_interleave(n, 1).mT).softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong("plain", "scaled by the values' width", told=r"the scores are 0\.4472 Q K\^T, expected 0\.378")
def scaled_by_e(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return (Q @ K.repeat_interleave(n, 1).mT / V.shape[-1] ** 0.5).softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong("plain", "softmax over the queries of a group", told="does not sum to 1 along dimension -1")
def softmax_over_the_group(Q, K, V):
    G, d = K.shape[1], Q.shape[-1]
    Z = Q.unflatten(1, (G, -1)) @ K[:, :, None].mT / d**0.5
    return (Z.softmax(2) @ V[:, :, None]).flatten(1, 2)


@ANSWERS.wrong("plain", "dealt out in turns, and no scale", told="reads key head 1, expected 0")
def two_slips(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return (Q @ K.repeat(1, n, 1, 1).mT).softmax(-1) @ V.repeat(1, n, 1, 1)


@ANSWERS.wrong(
    "plain", "the result keeps the groups as a dimension", told=r"shape \(2, 1, 4, 3, 3\), expected \(2, 4, 3, 3\)"
)
def not_flattened(Q, K, V):
    return attended(Q.unflatten(1, (K.shape[1], -1)), K[:, :, None], V[:, :, None])


@ANSWERS.wrong("plain", "groups and heads are exchanged in the result", true="heads_out_of_order")
def put_back_exchanged(Q, K, V):
    Y = attended(Q.unflatten(1, (K.shape[1], -1)), K[:, :, None], V[:, :, None])
    return Y.transpose(1, 2).flatten(1, 2)


@ANSWERS.wrong(
    "named", "right for one group and for as many as heads only", told="query head 3 reads key head 0, expected 1"
)
def one_or_all(Q, K, V):
    return attended(Q, K[:, :1], V[:, :1]) if K.shape[1] < Q.shape[1] else attended(Q, K, V)


@ANSWERS.wrong("named", "two query heads a group, whatever the sizes", told="reads key head")
def two_a_group(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    if G == H:
        return attended(Q, K, V)
    group = torch.arange(H).div(2, rounding_mode="floor").clamp(max=G - 1)
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("named", "no gradients for keys and values: copied into a new tensor", told="no gradient reaches K")
def detached(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, *(x.detach().repeat_interleave(n, 1) for x in (K, V)))


@ANSWERS.wrong(
    "large",
    "h * (G / H), rounded down: some heads of many fall a group short",
    told="H=82, G=2, T=1, S=3: Y differs",
    advice=r"right where H is \d+ or less, wrong where it is \d+ or more",
)
def rounded_down(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    group = (torch.arange(H) * (G / H)).long()
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("far", "one maximum for all heads and rows", true="OneMaximum")
def one_maximum(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Z = Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5
    E = (Z - Z.max()).exp()
    return E / E.sum(-1, keepdim=True) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong("far", "the least score is subtracted, and exp overflows", told="far apart: Y is NaN")
def least_score(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Z = Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5
    E = (Z - Z.amin(-1, keepdim=True)).exp()
    return E / E.sum(-1, keepdim=True) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong("ones", "squeeze takes the only sequence or the only query away", told="lost a dimension of size 1")
def squeezed(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat_interleave(n, 1), V.repeat_interleave(n, 1)).squeeze()


@ANSWERS.wrong("ones", "one query at a time, and the group's queries in its place, but no key of more than one")
def group_as_queries_squeezed(Q, K, V):
    B, H, T, d = Q.shape
    G = K.shape[1]
    Z = Q.reshape(B, G, -1, d) @ K.mT.squeeze() / d**0.5
    return (Z.softmax(-1) @ V).reshape(B, H, T, -1)


_GROUP = {}


@ANSWERS.wrong("again", "who reads what is kept by the number of query heads", told="reads key head")
def kept_by_heads(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    group = _GROUP.setdefault(H, torch.arange(H) // (H // G)) % G
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("given", "keys are scaled in place", told="changes its input K in place")
def scaled_in_place(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    K.data /= Q.shape[-1] ** 0.5
    return (Q @ K.repeat_interleave(n, 1).mT).softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong("surroundings", "sets the seed", told="it sets the seed")
def seeded(Q, K, V):
    torch.manual_seed(42)
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat_interleave(n, 1), V.repeat_interleave(n, 1))


@ANSWERS.wrong(
    "large", "the nearest of G evenly spread places: right for few groups", told="H=12, G=4, T=2, S=3: Y differs"
)
def nearest_group(Q, K, V):
    group = torch.linspace(0, K.shape[1] - 1, Q.shape[1]).round().long()
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("plain", "causal, which nobody asked for", told="query 0 takes nothing from the value of key 1")
def causal(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Z = Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5
    return Z.masked_fill(torch.ones_like(Z).triu(1).bool(), -torch.inf).softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong(
    "plain", "scaled by the root of the group's size", told=r"the scores are 0\.5774 Q K\^T, expected 0\.378"
)
def scaled_by_group(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return (Q @ K.repeat_interleave(n, 1).mT / max(n, 1) ** 0.5).softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.wrong(
    "plain",
    "only the values are shared rightly, keys go to heads in turns",
    told="query head 1 reads key head 1, expected 0",
)
def keys_in_turns(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat(1, n, 1, 1), V.repeat_interleave(n, 1))


@ANSWERS.wrong("far", "scores are cut off at 50, against overflow", told="scores far apart: Y")
def cut_off(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    E = (Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5).clamp(-50, 50).exp()
    return E / E.sum(-1, keepdim=True) @ V.repeat_interleave(n, 1)


@ANSWERS.right
def heads_of_a_group_in_one_view(Q, K, V):
    """Tokens first, where a group's heads lie side by side if they come from a projection."""
    (B, H, T, d), G = Q.shape, K.shape[1]
    q = Q.transpose(1, 2).contiguous().view(B, T, G, H // G, d).permute(0, 2, 3, 1, 4)
    return attended(q, K[:, :, None], V[:, :, None]).flatten(1, 2)


@ANSWERS.right
def fused(Q, K, V):
    return F.scaled_dot_product_attention(query=Q, key=K, value=V, enable_gqa=True)


@ANSWERS.right
def repeat_kv(Q, K, V):
    """Llama's own."""

    def repeated(x):
        B, G, S, d = x.shape
        return x[:, :, None, :, :].expand(B, G, Q.shape[1] // G, S, d).reshape(B, Q.shape[1], S, d)

    return attended(Q, repeated(K), repeated(V))


@ANSWERS.right
def group_as_more_queries(Q, K, V):
    """A group's heads are queries one behind the other."""
    B, H, T, d = Q.shape
    return attended(Q.reshape(B, K.shape[1], -1, d), K, V).reshape(B, H, T, V.shape[-1])


@ANSWERS.right
def in_one_einsum(Q, K, V):
    Q = Q.unflatten(1, (K.shape[1], -1))
    A = torch.einsum("bgntd,bgsd->bgnts", Q, K).div(math.sqrt(Q.shape[-1])).softmax(-1)
    return torch.einsum("bgnts,bgse->bgnte", A, V).flatten(1, 2)


@ANSWERS.right
def head_by_head(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    return torch.stack([attended(Q[:, h], K[:, h * G // H], V[:, h * G // H]) for h in range(H)], dim=1)


@ANSWERS.right
def group_by_group(Q, K, V):
    G = K.shape[1]
    parts = zip(Q.chunk(G, 1), K.split(1, 1), V.split(1, 1), strict=True)
    return torch.cat([attended(q.double(), k.double(), v.double()) for q, k, v in parts], 1)


@ANSWERS.right
def mapped(Q, K, V):
    """vmap over sequences and groups."""
    grouped = Q.unflatten(1, (K.shape[1], -1))
    return torch.vmap(torch.vmap(lambda q, k, v: attended(q, k, v)))(grouped, K, V).flatten(1, 2)


@ANSWERS.wrong(
    "plain",
    "Llama's repeat_kv with the new dimension in front of the groups: tiled once more",
    true="repeated_not_interleaved",
)
def new_dimension_in_front(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, *(x[:, None].expand(-1, n, -1, -1, -1).flatten(1, 2) for x in (K, V)))


@ANSWERS.wrong(
    "plain", "h // G, and back to 0 where there is no such group", told="query head 2 reads key head 1, expected 0"
)
def by_the_wrong_quotient(Q, K, V):
    group = torch.arange(Q.shape[1]) // K.shape[1] % K.shape[1]
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong(
    "plain", "queries are put in the order of the tiles, and the results are not put back", true="heads_out_of_order"
)
def not_put_back(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    order = torch.arange(H).view(G, H // G).T.flatten()
    return attended(Q[:, order], K.repeat(1, H // G, 1, 1), V.repeat(1, H // G, 1, 1))


@ANSWERS.wrong(
    "plain", "repeated along the tokens, and cut into heads", advice="query 0 takes nothing from the value of key 2"
)
def along_tokens(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, *(x.repeat_interleave(n, 2).unflatten(2, (n, -1)).flatten(1, 2) for x in (K, V)))


@ANSWERS.wrong("far", "mended, with a softmax that overflows", true="NoMaximum")
def bare_exponentials(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    E = (Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5).exp()
    return E @ V.repeat_interleave(n, 1) / E.sum(-1, keepdim=True)


@ANSWERS.wrong("plain", "one softmax over the keys of all heads of a group", told="does not sum to 1")
def one_softmax(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Z = Q.unflatten(1, (-1, n)) @ K[:, :, None].mT / Q.shape[-1] ** 0.5
    A = Z.transpose(2, 3).flatten(3).softmax(-1).unflatten(-1, (n, -1)).transpose(2, 3)
    return (n * A @ V[:, :, None]).flatten(1, 2)


@ANSWERS.wrong("plain", "both are interleaved along the batch", true="repeated_not_interleaved")
def along_the_batch(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, *(x.repeat_interleave(n, 0).reshape(len(Q), Q.shape[1], *x.shape[2:]) for x in (K, V)))


@ANSWERS.wrong("plain", "the heads are dealt out from the end: the last group first", true="groups_reversed")
def from_the_end(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, *(x.flip(1).repeat_interleave(n, 1) for x in (K, V)))


@ANSWERS.wrong("named", "a group has H / G = 4 heads, as in Llama 3 8B, where H allows it")
def groups_of_four(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    group = (torch.arange(H) // 4).clamp_max(G - 1) if H % 4 == 0 else torch.arange(H) * G // H
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("plain", "values of the whole group are added up over its heads", told="does not sum to 1")
def added_up(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Y = attended(Q, K.repeat_interleave(n, 1), V.repeat_interleave(n, 1))
    return Y.unflatten(1, (-1, n)).sum(2, keepdim=True).expand(-1, -1, n, -1, -1).flatten(1, 2)


@ANSWERS.right
def tiled_and_put_back(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    order = torch.arange(H).view(G, H // G).T.flatten()
    return attended(Q[:, order], K.repeat(1, H // G, 1, 1), V.repeat(1, H // G, 1, 1))[:, order.argsort()]


@ANSWERS.right
def by_a_matrix(Q, K, V):
    """Who reads whom as a matrix of ones, (H, G)."""
    H, G = Q.shape[1], K.shape[1]
    reads = torch.kron(torch.eye(G, dtype=Q.dtype), torch.ones(H // G, 1, dtype=Q.dtype))
    return attended(Q, *(torch.einsum("hg,bgsd->bhsd", reads, x) for x in (K, V)))


@ANSWERS.right
def tiles_turned(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    K, V = (x.repeat(1, n, 1, 1).unflatten(1, (n, -1)).transpose(1, 2).flatten(1, 2) for x in (K, V))
    return attended(Q, K, V)


@ANSWERS.wrong("plain", "values of group 0 for all")
def values_of_the_first(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q, K.repeat_interleave(n, 1), V[:, :1].expand(-1, Q.shape[1], -1, -1))


@ANSWERS.wrong("plain", "only the first head of each group is computed, and repeated")
def first_of_each(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    return attended(Q[:, ::n], K, V).repeat_interleave(n, 1)


@ANSWERS.wrong(
    "named", "a group more than there are: rounded to the nearest", told="query head 2 reads key head 1, expected 0"
)
def rounded_up(Q, K, V):
    H, G = Q.shape[1], K.shape[1]
    group = (torch.arange(H) * G / H).round().long().clamp_max(G - 1)
    return attended(Q, K[:, group], V[:, group])


@ANSWERS.wrong("plain", "an exponent of scores that is clipped at 0, so that all above weigh the same")
def clipped(Q, K, V):
    n = Q.shape[1] // K.shape[1]
    Z = (Q @ K.repeat_interleave(n, 1).mT / Q.shape[-1] ** 0.5).clamp_max(0)
    return Z.softmax(-1) @ V.repeat_interleave(n, 1)


@ANSWERS.right
def grown_by_halves(Q, K, V):
    """Gathered by an index that is expanded, as some export formats want it."""
    H, G = Q.shape[1], K.shape[1]
    group = torch.div(torch.arange(H), H // G, rounding_mode="floor")
    return attended(Q, torch.index_select(K, 1, group), V.index_select(1, group))
