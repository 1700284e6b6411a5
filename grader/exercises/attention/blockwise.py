"""Attention over one block of keys at a time. Milakov and Gimelshein 2018, algorithm 3; Dao et al. 2022, algorithm 1.

For each block j:  m' = max(m, rowmax(S_j)),  l' = e^(m - m') l + rowsum(e^(S_j - m')),
O' = e^(m - m') O + e^(S_j - m') V_j;  at the end Y = O / l.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted

INF = float("inf")


def reference(Q, K, V, block, causal):
    (B, H, T, d), S, e = Q.shape, K.shape[2], V.shape[3]
    m = Q.new_full((B, H, T, 1), -INF)  # running maximum of each query's scores
    l = Q.new_zeros(B, H, T, 1)  # running sum of exponentials, relative to m
    O = Q.new_zeros(B, H, T, e)  # running sum of weighted values, relative to m
    i = torch.arange(T, device=Q.device)[:, None]
    for start in range(0, S, block):
        j = torch.arange(start, min(start + block, S), device=Q.device)
        S_j = Q @ K[:, :, j].mT / d**0.5  # (B, H, T, block)
        if causal:
            S_j = S_j.masked_fill(j > i, -INF)
        m_new = torch.maximum(m, S_j.amax(-1, keepdim=True))  # finite from the first block on: key 0 is never hidden
        P = torch.exp(S_j - m_new)
        shrink = torch.exp(m - m_new)
        l = shrink * l + P.sum(-1, keepdim=True)
        O = shrink * O + P @ V[:, :, j]
        m = m_new
    return O / l


TRUSTED = Trusted(reference)


def hidden(Q, start, stop):
    """Which of the keys from `start` to `stop` come after each query."""
    return torch.arange(start, stop, device=Q.device) > torch.arange(Q.shape[2], device=Q.device)[:, None]


def score_blocks(Q, K, V, block, causal, S=None):
    """Scores and values, block by block, of the first S keys."""
    S = K.shape[2] if S is None else S
    for start in range(0, S, block):
        stop = min(start + block, S)
        S_j = Q @ K[:, :, start:stop].mT / Q.shape[-1] ** 0.5
        if causal:
            S_j = S_j.masked_fill(hidden(Q, start, stop), -INF)
        yield S_j, V[:, :, start:stop]


def online(blocks, Q, V, rescale_l=True, rescale_O=True):
    """The online softmax over blocks of scores and values, with or without its rescaling."""
    m = Q.new_full((*Q.shape[:3], 1), -INF)
    l, O = torch.zeros_like(m), Q.new_zeros(*Q.shape[:3], V.shape[3])
    for S_j, V_j in blocks:
        m_new = torch.maximum(m, S_j.amax(-1, keepdim=True))
        P, shrink = torch.exp(S_j - m_new), torch.exp(m - m_new)
        l = (shrink * l if rescale_l else l) + P.sum(-1, keepdim=True)
        O = (shrink * O if rescale_O else O) + P @ V_j
        m = m_new
    return O / l


@TRUSTED.mistake(
    "Nothing is rescaled when the running maximum grows: sums over earlier blocks still refer to the old "
    "maximum. Multiply both, the denominator and the accumulator, by exp(old maximum - new maximum)."
)
def nothing_rescaled(Q, K, V, block, causal):
    return online(score_blocks(Q, K, V, block, causal), Q, V, rescale_l=False, rescale_O=False)


@TRUSTED.mistake(
    "The denominator is rescaled when the running maximum grows, the accumulated values are not: both refer "
    "to the old maximum and need the same factor."
)
def accumulator_not_rescaled(Q, K, V, block, causal):
    return online(score_blocks(Q, K, V, block, causal), Q, V, rescale_O=False)


@TRUSTED.mistake(
    "The accumulated values are rescaled when the running maximum grows, the denominator is not: both refer "
    "to the old maximum and need the same factor."
)
def denominator_not_rescaled(Q, K, V, block, causal):
    return online(score_blocks(Q, K, V, block, causal), Q, V, rescale_l=False)


@TRUSTED.mistake(
    "The maximum of the newest block takes the place of the running maximum, also when it is smaller, while "
    "earlier sums keep their scale: a running maximum never falls."
)
def maximum_of_the_block_only(Q, K, V, block, causal):
    l = O = 0
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        P = torch.exp(S_j - S_j.amax(-1, keepdim=True).clamp(min=-1e30))
        l, O = l + P.sum(-1, keepdim=True), O + P @ V_j
    return O / l


@TRUSTED.mistake(
    "The keys after the last full block are never seen: S need not be a multiple of the block size. Let the "
    "last block be shorter."
)
def last_block_dropped(Q, K, V, block, causal):
    whole = K.shape[2] - K.shape[2] % block
    return online(score_blocks(Q, K, V, block, causal, whole), Q, V)


@TRUSTED.mistake(
    "The last block is filled up with zeros and these are attended to: a padded key has the score 0, not "
    "-inf. Mask the padding, or let the last block be shorter."
)
def padding_attended(Q, K, V, block, causal):
    missing = -K.shape[2] % block
    return online(score_blocks(Q, F.pad(K, (0, 0, 0, missing)), F.pad(V, (0, 0, 0, missing)), block, causal), Q, V)


@TRUSTED.mistake(
    "Each block has a softmax of its own and the results are averaged. Blocks with larger scores must weigh "
    "more: carry the sums of exponentials along and divide once, at the end."
)
def blocks_averaged(Q, K, V, block, causal):
    results = [S_j.softmax(-1).nan_to_num() @ V_j for S_j, V_j in score_blocks(Q, K, V, block, causal)]
    return sum(results) / len(results)


@TRUSTED.mistake(
    "Each block has a softmax of its own and the results are added up: the weights of a row sum to more than 1."
)
def blocks_added(Q, K, V, block, causal):
    return sum(S_j.softmax(-1).nan_to_num() @ V_j for S_j, V_j in score_blocks(Q, K, V, block, causal))


@TRUSTED.mistake(
    "Without a maximum, exp overflows or vanishes when scores are large: subtract each row's running maximum"
    " before exp."
)
def no_maximum(Q, K, V, block, causal):
    l = O = 0
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        l, O = l + S_j.exp().sum(-1, keepdim=True), O + S_j.exp() @ V_j
    return O / l


@TRUSTED.mistake(
    "One running maximum serves all rows. Rows far below it vanish entirely and give 0/0: keep a maximum for"
    " each query."
)
def one_maximum_for_all_rows(Q, K, V, block, causal):
    m, l, O = Q.new_tensor(-INF), 0, 0
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        m_new = torch.maximum(m, S_j.max())
        P, shrink = torch.exp(S_j - m_new), torch.exp(m - m_new)
        l, O, m = shrink * l + P.sum(-1, keepdim=True), shrink * O + P @ V_j, m_new
    return O / l


@TRUSTED.mistake("The scores are not scaled: divide each block's scores by sqrt(d).")
def no_scale(Q, K, V, block, causal):
    return online(score_blocks(Q * Q.shape[-1] ** 0.5, K, V, block, causal), Q, V)


@TRUSTED.mistake("`causal` is ignored: with causal=True a query must not see the keys after it.")
def causal_ignored(Q, K, V, block, causal):
    return online(score_blocks(Q, K, V, block, False), Q, V)


@TRUSTED.mistake(
    "The mask goes by whole blocks: a query still sees the later keys of its own block. In the block on the "
    "diagonal, compare the positions of keys and queries one by one."
)
def causal_by_block_only(Q, K, V, block, causal):
    rows = []
    for start in range(0, Q.shape[2], block):
        Q_i, seen = Q[:, :, start : start + block], start + block if causal else K.shape[2]
        rows.append(online(score_blocks(Q_i, K[:, :, :seen], V[:, :, :seen], block, False), Q_i, V))
    return torch.cat(rows, 2)


@TRUSTED.mistake(
    "The mask counts the keys of every block from 0: add the block's start, so that you compare positions in"
    " the whole sequence."
)
def mask_without_the_blocks_start(Q, K, V, block, causal):
    blocks = score_blocks(Q, K, V, block, False)
    if causal:
        blocks = ((S_j.masked_fill(hidden(Q, 0, S_j.shape[-1]), -INF), V_j) for S_j, V_j in blocks)
    return online(blocks, Q, V)


@TRUSTED.mistake(
    "With causal=True the keys that come before a query are hidden and the later ones are seen: the "
    "comparison is the wrong way round."
)
def mask_inverted(Q, K, V, block, causal):
    if not causal:
        return reference(Q, K, V, block, causal)
    return reference(Q.flip(2), K.flip(2), V.flip(2), block, causal).flip(2)


@TRUSTED.mistake(
    "Blocks in which a query sees no key give NaN: their maximum is -inf, and -inf minus -inf is NaN. Take "
    "the running maximum, which is finite, or skip blocks that lie wholly in the future."
)
def hidden_blocks_give_nan(Q, K, V, block, causal):
    m = Q.new_full((*Q.shape[:3], 1), -INF)
    l, O = torch.zeros_like(m), 0
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        m_j = S_j.amax(-1, keepdim=True)
        P = torch.exp(S_j - m_j)
        m_new = torch.maximum(m, m_j)
        old, new = torch.exp(m - m_new), torch.exp(m_j - m_new)
        l, O, m = old * l + new * P.sum(-1, keepdim=True), old * O + new * (P @ V_j), m_new
    return O / l


@TRUSTED.mistake(
    "The values are right, but the whole T x S score matrix is made, which is what blocks are there to "
    "avoid: compute the scores of one block of keys, use them up, and go on."
)
def whole_score_matrix(Q, K, V, block, causal):
    scores = Q @ K.mT / Q.shape[-1] ** 0.5
    if causal:
        scores = scores.masked_fill(hidden(Q, 0, K.shape[2]), -INF)
    return online(((s, v) for s, v in zip(scores.split(block, 3), V.split(block, 2), strict=True)), Q, V)


@TRUSTED.mistake(
    "The scores come in blocks, but the causal mask is made whole, T x S: compare the positions of one block at a time."
)
def whole_causal_mask(Q, K, V, block, causal):
    if not causal:
        return reference(Q, K, V, block, causal)
    masks = hidden(Q, 0, K.shape[2]).split(block, 1)
    blocks = zip(score_blocks(Q, K, V, block, False), masks, strict=True)
    return online(((S_j.masked_fill(mask, -INF), V_j) for (S_j, V_j), mask in blocks), Q, V)


@TRUSTED.alternative
def library(Q, K, V, block, causal):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=causal)


@TRUSTED.alternative
def query_and_key_blocks(Q, K, V, block, causal):
    rows = []
    for start in range(0, Q.shape[2], block):
        stop = min(start + block, Q.shape[2])
        i, Q_i = torch.arange(start, stop, device=Q.device)[:, None], Q[:, :, start:stop] / Q.shape[-1] ** 0.5
        m, l, O = torch.full((1,), -INF, device=Q.device), 0.0, 0.0
        for first in range(0, stop if causal else K.shape[2], block):
            K_j, V_j = K[:, :, first : first + block], V[:, :, first : first + block]
            S_ij = torch.einsum("bhtd,bhsd->bhts", Q_i, K_j)
            if causal:
                j = first + torch.arange(K_j.shape[2], device=Q.device)
                S_ij = torch.where(j <= i, S_ij, -INF)
            m_new = torch.maximum(m, S_ij.amax(-1, keepdim=True))
            P, shrink = (S_ij - m_new).exp(), (m - m_new).exp()
            l, O, m = l * shrink + P.sum(-1, keepdim=True), O * shrink + P @ V_j, m_new
        rows.append(O / l)
    return torch.cat(rows, 2)


@TRUSTED.alternative
def merged_by_logsumexp(Q, K, V, block, causal):
    Y, total = 0, None
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        lse = torch.logsumexp(S_j, -1, keepdim=True)
        Y_j = S_j.softmax(-1).nan_to_num() @ V_j
        joint = lse if total is None else torch.logaddexp(total, lse)
        Y = Y_j if total is None else Y * (total - joint).exp() + Y_j * (lse - joint).exp()
        total = joint
    return Y


@TRUSTED.alternative
def two_passes(Q, K, V, block, causal):
    tops = [S_j.amax(-1, keepdim=True) for S_j, _ in score_blocks(Q, K, V, block, causal)]
    m = torch.stack(tops).amax(0)
    l = O = 0
    for S_j, V_j in score_blocks(Q, K, V, block, causal):
        P = (S_j - m).exp()
        l, O = l + P.sum(-1, keepdim=True), O + P @ V_j
    return O / l


@TRUSTED.alternative
def head_by_head_padded(Q, K, V, block, causal):
    S, missing = K.shape[2], -K.shape[2] % block
    K, V = F.pad(K, (0, 0, 0, missing)), F.pad(V, (0, 0, 0, missing))
    Y = Q.new_empty(*Q.shape[:3], V.shape[3])
    for b in range(Q.shape[0]):
        for h in range(Q.shape[1]):
            q, k, v = Q[b : b + 1, h : h + 1], K[b : b + 1, h : h + 1], V[b : b + 1, h : h + 1]
            starts = range(0, S + missing, block)
            real = (torch.arange(start, start + block, device=Q.device) < S for start in starts)
            blocks = zip(score_blocks(q, k, v, block, causal), real, strict=True)
            Y[b, h] = online(((S_j.masked_fill(~r, -INF), V_j) for (S_j, V_j), r in blocks), q, v)[0, 0]
    return Y
