"""Answers to attention.blockwise."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.blockwise",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
    },
)


def online(
    Q,
    K,
    V,
    block,
    causal,
    *,
    start=-math.inf,
    highest=lambda Z: Z.amax(-1, keepdim=True),
    shrink_n=True,
    shrink_y=True,
    newest=False,
    hides=lambda i, j: j > i,
    scale=None,
    soft_hides=None,
    divide_each_time=False,
):
    """The online softmax, with places where it can go wrong."""
    T, S, scale = Q.shape[-2], K.shape[-2], scale or Q.shape[-1] ** -0.5
    Y = []
    for i in range(0, T, block):
        q = Q[..., i : i + block, :]
        m = torch.full_like(q[..., :1], start)
        n, y = torch.zeros_like(m), torch.zeros(*q.shape[:-1], V.shape[-1], dtype=q.dtype)
        for j in range(0, S, block):
            Z = q @ K[..., j : j + block, :].mT * scale
            if causal:
                rows, columns = i + torch.arange(Z.shape[-2]), j + torch.arange(Z.shape[-1])
                Z = Z.masked_fill(hides(rows[:, None], columns), -math.inf)
            if soft_hides:
                rows, columns = i + torch.arange(Z.shape[-2]), j + torch.arange(Z.shape[-1])
                Z = Z.masked_fill(soft_hides(rows[:, None], columns), -1e4)
            new = highest(Z) if newest else torch.maximum(m, highest(Z))
            E, by = (Z - new).exp(), (m - new).exp()
            n = n * (by if shrink_n else 1) + E.sum(-1, keepdim=True)
            y = y * (by if shrink_y else 1) + E @ V[..., j : j + block, :]
            m = new
            y = y / n if divide_each_time else y
        Y.append(y if divide_each_time else y / n)
    return torch.cat(Y, -2)


@ANSWERS.wrong("plain", "the running sum is not shrunk when the maximum grows", true="DenominatorNotRescaled")
def sum_not_shrunk(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, shrink_n=False)


@ANSWERS.wrong("plain", "the running result is not shrunk when the maximum grows", true="AccumulatorNotRescaled")
def result_not_shrunk(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, shrink_y=False)


@ANSWERS.wrong("plain", "neither is shrunk", true="NothingRescaled")
def nothing_shrunk(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, shrink_n=False, shrink_y=False)


@ANSWERS.wrong("far", "the maximum starts at 0: scores far below it give 0 / 0", true="MaximumFromZero")
def maximum_from_zero(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, start=0.0)


@ANSWERS.wrong("far", "one maximum for all rows of a block", true="OneMaximumForABlock")
def one_maximum(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, highest=lambda Z: Z.amax((-1, -2), keepdim=True))


@ANSWERS.wrong(
    "far", "the newest block's maximum, not the largest so far: what is far above overflows", true="MaximumFalls"
)
def newest_maximum(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, newest=True, highest=lambda Z: Z.amax(-1, keepdim=True).clamp(min=-1e30))


@ANSWERS.wrong("far", "no maximum at all", true="NoMaximum")
def no_maximum(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, start=0.0, highest=lambda Z: torch.zeros_like(Z[..., :1]))


@ANSWERS.wrong("plain", "the scale is forgotten", true="NotScaled")
def unscaled(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, scale=1.0)


@ANSWERS.wrong("plain", "the scale is forgotten, and nothing is shrunk")
def two_slips(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, scale=1.0, shrink_n=False, shrink_y=False)


@ANSWERS.wrong("plain", "each block has a softmax of its own, and their results are averaged", true="BlocksAveraged")
def blocks_averaged(Q, K, V, block, causal):
    d, found = Q.shape[-1], []
    for j in range(0, K.shape[-2], block):
        Z = Q @ K[..., j : j + block, :].mT / d**0.5
        if causal:
            Z = Z.masked_fill(j + torch.arange(Z.shape[-1]) > torch.arange(Z.shape[-2])[:, None], -math.inf)
        found.append(Z.softmax(-1).nan_to_num() @ V[..., j : j + block, :])
    return torch.stack(found).mean(0)


@ANSWERS.wrong("plain", "causal within each block, as if it began at 0", told="which it must not see")
def causal_in_each_block(Q, K, V, block, causal):
    def hides(i, j):
        return j % block > i % block

    return online(Q, K, V, block, causal, hides=hides)


@ANSWERS.wrong(
    "plain",
    "causal without the token itself",
    told="which it must not see",
    advice="right where causal is False, wrong where it is True",
)
def not_itself(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, hides=lambda i, j: (j >= i) & (i > 0))


@ANSWERS.wrong("named", "causal is not read", true="CausalIgnored")
def never_causal(Q, K, V, block, causal):
    return online(Q, K, V, block, False)


@ANSWERS.wrong("named", "always causal", true="AlwaysCausal")
def always_causal(Q, K, V, block, causal):
    return online(Q, K, V, block, True)


@ANSWERS.wrong(
    "named",
    "whole blocks only: what is left over is dropped",
    true="LastBlockDropped",
    told="takes nothing from the value of key 6",
)
def rest_dropped(Q, K, V, block, causal):
    S = max(K.shape[-2] // block * block, min(block, K.shape[-2]))
    return online(Q, K[..., :S, :], V[..., :S, :], block, causal)


@ANSWERS.wrong("named", "as many keys as queries")
def keys_like_queries(Q, K, V, block, causal):
    T = Q.shape[-2]
    return online(Q, K[..., :T, :], V[..., :T, :], block, causal)


@ANSWERS.wrong(
    "unwatched",
    "all scores, in NumPy",
    told="arrays and lists outside of torch take",
    advice=r"right where T is \d+ or less, wrong where it is \d+ or more",
)
def all_scores_in_numpy(Q, K, V, block, causal):
    q, k, v = (x.numpy() for x in (Q, K, V))
    Z = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        Z = np.where(np.tri(Z.shape[-2], Z.shape[-1], dtype=bool), Z, -np.inf).astype(Z.dtype)
    A = np.exp(Z - Z.max(-1, keepdims=True))
    return torch.from_numpy(A / A.sum(-1, keepdims=True) @ v)


@ANSWERS.wrong(
    "unwatched",
    "all scores, in Python's lists",
    told="arrays and lists outside of torch take",
    advice=r"right where T is \d+ or less, wrong where it is \d+ or more",
)
def all_scores_in_lists(Q, K, V, block, causal):
    heads = []
    for q, k, v in zip(Q.flatten(0, 1), K.flatten(0, 1), V.flatten(0, 1), strict=True):
        k, v, rows = k.double(), v.double(), []
        Z = [(k @ x / len(x) ** 0.5).tolist() for x in q.double()]
        for i, z in enumerate(Z):
            z = z[: i + 1] if causal else z
            weights = torch.tensor([math.exp(s - max(z)) for s in z], dtype=v.dtype)
            rows.append(weights @ v[: len(z)] / weights.sum())
        heads.append(torch.stack(rows))
    return torch.stack(heads).view(*Q.shape[:-1], -1).to(Q.dtype)


@ANSWERS.wrong("unwatched", "all scores at once", true="WholeScoreMatrix")
def all_scores(Q, K, V, block, causal):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5
    if causal:
        Z = Z.masked_fill(torch.ones_like(Z, dtype=torch.bool).triu(1), -math.inf)
    return Z.softmax(-1) @ V


@ANSWERS.wrong("unwatched", "all scores of a head, one head after another", true="WholeScoreMatrix")
def all_scores_of_a_head(Q, K, V, block, causal):
    heads = zip(Q.flatten(0, 1), K.flatten(0, 1), V.flatten(0, 1), strict=True)
    return torch.stack([all_scores(q, k, v, block, causal) for q, k, v in heads]).unflatten(0, Q.shape[:2])


@ANSWERS.wrong("unwatched", "a block of queries with all keys", told="a block of queries has 256 with all keys")
def all_keys(Q, K, V, block, causal):
    Y = []
    for i in range(0, Q.shape[-2], block):
        Z = Q[..., i : i + block, :] @ K.mT / Q.shape[-1] ** 0.5
        if causal:
            at = torch.arange(K.shape[-2])
            Z = Z.masked_fill(at > i + torch.arange(Z.shape[-2])[:, None], -math.inf)
        Y.append(Z.softmax(-1) @ V)
    return torch.cat(Y, -2)


@ANSWERS.wrong(
    "unwatched",
    "a block of queries with all keys, one head after another",
    told="a block of queries has 256 with all keys",
)
def all_keys_of_a_head(Q, K, V, block, causal):
    heads = zip(Q.flatten(0, 1), K.flatten(0, 1), V.flatten(0, 1), strict=True)
    return torch.stack([all_keys(q, k, v, block, causal) for q, k, v in heads]).unflatten(0, Q.shape[:2])


@ANSWERS.wrong("unwatched", "a mask for all scores, cut to blocks", true="WholeScoreMatrix")
def mask_for_all(Q, K, V, block, causal):
    mask = torch.ones(Q.shape[-2], K.shape[-2], dtype=torch.bool).triu(1)
    return online(Q, K, V, block, causal, hides=lambda i, j: mask[i, j])


@ANSWERS.wrong("large", "sixteen blocks at most", told="T=180, S=600, block=30, causal=False: Y differs")
def at_most_sixteen_blocks(Q, K, V, block, causal):
    S = min(K.shape[-2], 16 * block)
    return online(Q, K[..., :S, :], V[..., :S, :], block, causal)


@ANSWERS.wrong("ones", "squeeze takes the only sequence or the only query away", told="lost a dimension of size 1")
def squeezed(Q, K, V, block, causal):
    return online(Q, K, V, block, causal).squeeze()


@ANSWERS.wrong(
    "ones",
    "a single query sees the first block only",
    told="T=1, S=7, block=3, causal=False: Y differs",
    advice="right where T is more than 1, wrong where it is 1",
)
def one_query_one_block(Q, K, V, block, causal):
    S = block if Q.shape[-2] == 1 else K.shape[-2]
    return online(Q, K[..., :S, :], V[..., :S, :], block, causal)


_HIDDEN = {}


@ANSWERS.wrong("again", "a block's mask is kept by its size, whatever its place", told="which it must")
def mask_by_size(Q, K, V, block, causal):
    def hides(i, j):
        return _HIDDEN.setdefault((len(i), len(j)), j > i)

    return online(Q, K, V, block, causal, hides=hides)


@ANSWERS.wrong("given", "queries are scaled in place", told="changes its input Q in place")
def scaled_in_place(Q, K, V, block, causal):
    return online(Q.mul_(Q.shape[-1] ** -0.5), K, V, block, causal, scale=1.0)


@ANSWERS.wrong("surroundings", "gradients stay switched off", told="leaves gradients switched off")
def gradients_off(Q, K, V, block, causal):
    torch.set_grad_enabled(False)
    return online(Q, K, V, block, causal)


@ANSWERS.wrong("far", "hidden scores are -10000, and so is the first maximum")
def finite_mask(Q, K, V, block, causal):
    Y = online(Q, K, V, block, causal, start=-1e4)
    if not causal:
        return Y
    return online(Q, K, V, block, False, start=-1e4, soft_hides=lambda i, j: j > i)


@ANSWERS.wrong("plain", "divided by the sum after every block", told="does not sum to 1")
def divided_each_time(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, divide_each_time=True)


@ANSWERS.wrong("plain", "scaled by the block's root", told=r"the scores are 0\.5774 Q K\^T, expected 0\.4472")
def scaled_by_block(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, scale=block**-0.5)


@ANSWERS.wrong(
    "plain",
    "causal: the block on the diagonal is left out",
    told="query 1 takes nothing from the value of key 1, which it must see",
    advice="right where causal is False, wrong where it is True",
)
def diagonal_left_out(Q, K, V, block, causal):
    return online(Q, K, V, block, causal, hides=lambda i, j: (j // block >= i // block) & (j > 0))


@ANSWERS.wrong(
    "unwatched",
    "all scores in NumPy where causal is False",
    told="arrays and lists outside of torch take",
    advice=r"right where T is \d+ or less, wrong where it is \d+ or more",
)
def scores_in_numpy_sometimes(Q, K, V, block, causal):
    if causal:
        return online(Q, K, V, block, causal)
    q, k, v = (x.double().numpy() for x in (Q, K, V))
    Z = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    Z = np.exp(Z - Z.max(-1, keepdims=True))
    return torch.from_numpy(Z / Z.sum(-1, keepdims=True) @ v).to(Q.dtype)


def in_numpy(Q, K, V, causal):
    """All scores in NumPy, one head after another and in place."""
    Y = torch.empty(*Q.shape[:-1], V.shape[-1], dtype=Q.dtype)
    for b, h in np.ndindex(*Q.shape[:2]):
        q, k, v = (x[b, h].numpy() for x in (Q, K, V))
        Z = q @ k.T
        Z *= q.shape[-1] ** -0.5
        if causal:
            Z[~np.tri(*Z.shape, dtype=bool)] = -np.inf
        Z -= Z.max(-1, keepdims=True)
        np.exp(Z, out=Z)
        Z /= Z.sum(-1, keepdims=True)
        Y[b, h] = torch.from_numpy(Z @ v)
    return Y


@ANSWERS.wrong("unwatched", "all scores in NumPy where causal", told="arrays and lists outside of torch take")
def scores_in_numpy_where_causal(Q, K, V, block, causal):
    return in_numpy(Q, K, V, causal) if causal else online(Q, K, V, block, causal)


@ANSWERS.wrong("unwatched", "all scores in NumPy where T = S", told="arrays and lists outside of torch take")
def scores_in_numpy_where_square(Q, K, V, block, causal):
    return in_numpy(Q, K, V, causal) if Q.shape[-2] == K.shape[-2] else online(Q, K, V, block, causal)


@ANSWERS.wrong("unwatched", "all scores in NumPy where T < S", told="arrays and lists outside of torch take")
def scores_in_numpy_where_wide(Q, K, V, block, causal):
    return in_numpy(Q, K, V, causal) if Q.shape[-2] < K.shape[-2] else online(Q, K, V, block, causal)


@ANSWERS.wrong("unwatched", "a block of queries with all keys, in NumPy", told="arrays and lists outside of torch take")
def all_keys_in_numpy(Q, K, V, block, causal):
    if causal:
        return online(Q, K, V, block, causal)
    return torch.cat([in_numpy(q, K, V, False) for q in Q.split(block, -2)], -2)


@ANSWERS.wrong("far", "hidden scores are -10000, the first maximum is -inf", true="FiniteFill")
def finite_fill(Q, K, V, block, causal):
    return online(Q, K, V, block, False, soft_hides=(lambda i, j: j > i) if causal else None)


@ANSWERS.wrong(
    "plain", "the values' rows are not those of the keys' block", told="query 0 takes from the value of key 1"
)
def values_one_on(Q, K, V, block, causal):
    return online(Q, K, V.roll(-1, -2), block, causal)


@ANSWERS.right
def keys_only(Q, K, V, block, causal):
    """All queries at once, keys in blocks."""
    T, S, d = Q.shape[-2], K.shape[-2], Q.shape[-1]
    m, n, y = torch.full_like(Q[..., :1], -math.inf), torch.zeros_like(Q[..., :1]), 0
    for j in range(0, S, block):
        Z = Q @ K[..., j : j + block, :].mT / d**0.5
        if causal:
            Z = torch.where(torch.arange(j, j + Z.shape[-1]) > torch.arange(T)[:, None], -math.inf, Z)
        new = torch.maximum(m, Z.amax(-1, keepdim=True))
        E = torch.exp(Z - new)
        n = n * torch.exp(m - new) + E.sum(-1, keepdim=True)
        y = y * torch.exp(m - new) + E @ V[..., j : j + block, :]
        m = new
    return y / n


@ANSWERS.right
def by_logarithms(Q, K, V, block, causal):
    """Each block's own softmax, joined by the logarithms of their sums."""
    Y = []
    for i in range(0, Q.shape[-2], block):
        q, y, total = Q[..., i : i + block, :], 0, None
        for j in range(0, K.shape[-2], block):
            if causal and j > i + q.shape[-2] - 1:
                break
            Z = q @ K[..., j : j + block, :].mT / Q.shape[-1] ** 0.5
            if causal:
                hidden = torch.arange(i, i + Z.shape[-2])[:, None] < torch.arange(j, j + Z.shape[-1])
                Z.masked_fill_(hidden, -math.inf)
            own = Z.logsumexp(-1, keepdim=True)
            joined = own if total is None else torch.logaddexp(total, own)
            part = (Z - joined).exp() @ V[..., j : j + block, :]
            y = part if total is None else y * (total - joined).exp() + part
            total = joined
        Y.append(y)
    return torch.cat(Y, dim=-2)


@ANSWERS.right
def twice_through_the_keys(Q, K, V, block, causal):
    T, S, d = Q.shape[-2], K.shape[-2], Q.shape[-1]
    Y = torch.empty(*Q.shape[:-1], V.shape[-1], dtype=Q.dtype)
    for i in range(0, T, block):
        q, rows = Q[..., i : i + block, :] / d**0.5, slice(i, min(i + block, T))

        def scores(j, q=q, i=i):
            Z = q @ K[..., j : j + block, :].mT
            gap = torch.arange(i, i + Z.shape[-2])[:, None] - torch.arange(j, j + Z.shape[-1])
            return Z.masked_fill(gap < 0, -math.inf) if causal else Z

        m = torch.stack([scores(j).amax(-1, keepdim=True) for j in range(0, S, block)]).amax(0)
        n = sum((scores(j) - m).exp().sum(-1, keepdim=True) for j in range(0, S, block))
        Y[..., rows, :] = sum((scores(j) - m).exp() / n @ V[..., j : j + block, :] for j in range(0, S, block))
    return Y


@ANSWERS.right
def blocks_in_numpy(Q, K, V, block, causal):
    q, k, v = (x.double().numpy() for x in (Q, K, V))
    T, S = q.shape[-2], k.shape[-2]
    Y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for i in range(0, T, block):
        m = np.full((*q.shape[:2], min(block, T - i), 1), -np.inf)
        n, y = np.zeros_like(m), 0
        for j in range(0, S, block):
            Z = q[:, :, i : i + block] @ k[:, :, j : j + block].swapaxes(-1, -2) / math.sqrt(q.shape[-1])
            if causal:
                Z[..., np.arange(i, i + Z.shape[-2])[:, None] < np.arange(j, j + Z.shape[-1])] = -np.inf
            new = np.maximum(m, Z.max(-1, keepdims=True))
            E, by, m = np.exp(Z - new), np.exp(m - new), new
            n, y = n * by + E.sum(-1, keepdims=True), y * by + E @ v[:, :, j : j + block]
        Y[:, :, i : i + block] = y / n
    return torch.from_numpy(Y).to(Q.dtype)


@ANSWERS.right
def keys_in_numpy(Q, K, V, block, causal):
    """All queries at once, in NumPy's float64, without a thought of memory."""
    q, k, v = (x.double().numpy() for x in (Q, K, V))
    m, n, y = np.full((*q.shape[:-1], 1), -np.inf), 0, 0
    for j in range(0, k.shape[-2], block):
        Z = q @ k[:, :, j : j + block].swapaxes(-1, -2) / math.sqrt(q.shape[-1])
        if causal:
            Z = np.where(np.arange(q.shape[-2])[:, None] < np.arange(j, j + Z.shape[-1]), -np.inf, Z)
        new = np.maximum(m, Z.max(-1, keepdims=True))
        n = n * np.exp(m - new) + np.exp(Z - new).sum(-1, keepdims=True)
        y = y * np.exp(m - new) + np.exp(Z - new) @ v[:, :, j : j + block]
        m = new
    return torch.from_numpy(y / n).to(Q.dtype)


@ANSWERS.right
def head_by_head(Q, K, V, block, causal):
    Y = [[online(q[None, None], k[None, None], v[None, None], block, causal)[0, 0] for q, k, v in zip(*x, strict=True)]
         for x in zip(Q, K, V, strict=True)]  # fmt: skip
    return torch.stack([torch.stack(y) for y in Y])


@ANSWERS.right
def fused(Q, K, V, block, causal):
    """torch's own, block by block of queries: it makes no scores either."""
    if causal:
        return F.scaled_dot_product_attention(Q, K, V, is_causal=True)
    return torch.cat([F.scaled_dot_product_attention(q, K, V) for q in Q.split(block, -2)], -2)


@ANSWERS.right
def halves(Q, K, V, block, causal):
    """Keys are halved until they fit into a block, and two halves are joined."""

    def part(first, last):
        if last - first > block:
            middle = (first + last) // 2
            (m, n, y), (m2, n2, y2) = part(first, middle), part(middle, last)
            top = torch.maximum(m, m2).clamp(min=torch.finfo(y.dtype).min)
            a, b = (m - top).exp(), (m2 - top).exp()
            return top, n * a + n2 * b, y * a + y2 * b
        Z = Q @ K[..., first:last, :].mT / Q.shape[-1] ** 0.5
        if causal:
            Z = Z.masked_fill(torch.arange(first, last) > torch.arange(Q.shape[-2])[:, None], -math.inf)
        m = Z.amax(-1, keepdim=True).clamp(min=torch.finfo(Z.dtype).min)
        E = (Z - m).exp()
        return m, E.sum(-1, keepdim=True), E @ V[..., first:last, :]

    _, n, y = part(0, K.shape[-2])
    return y / n
