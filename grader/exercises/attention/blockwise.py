"""Attention over one block of keys at a time. Milakov and Gimelshein 2018, algorithm 3; Dao et al. 2022, algorithm 1.

For each block j:  m' = max(m, rowmax(S_j)),  l' = e^(m - m') l + rowsum(e^(S_j - m')),
O' = e^(m - m') O + e^(S_j - m') V_j;  at the end Y = O / l.
"""

import torch
import torch.nn.functional as F

from grader.contract import Trusted
from grader.steps import attention as steps

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


class Online:
    """The same in steps: a mistake below is written as the one step in which it differs."""

    first = 0  # place of the first query in the sequence
    start = -INF  # of the running maximum

    def __call__(self, Q, K, V, block, causal):
        m = Q.new_full((*Q.shape[:3], 1), self.start)
        l, O = torch.zeros_like(m), Q.new_zeros(*Q.shape[:3], V.shape[3])
        for S_j, V_j in self.blocks(Q, K, V, block, causal):
            m, l, O = self.add(m, l, O, S_j, V_j)
        return O / l

    def blocks(self, Q, K, V, block, causal):
        """Scores and values, block by block."""
        for start in range(0, K.shape[2], block):
            stop = min(start + block, K.shape[2])
            S_j = self.scale(Q @ K[:, :, start:stop].mT, Q)
            yield S_j.masked_fill(self.hidden(Q, K, start, stop), -INF) if causal else S_j, V[:, :, start:stop]

    def scale(self, S_j, Q):
        return S_j / Q.shape[-1] ** 0.5

    def hidden(self, Q, K, start, stop):
        """Which of the keys from `start` to `stop` come after each query."""
        return (
            torch.arange(start, stop, device=Q.device) > self.first + torch.arange(Q.shape[2], device=Q.device)[:, None]
        )

    def add(self, m, l, O, S_j, V_j):
        m_new = self.maximum(m, S_j)
        P, shrink = torch.exp(S_j - m_new), torch.exp(m - m_new)
        return m_new, self.denominator(l, shrink, P), self.accumulator(O, shrink, P @ V_j)

    def maximum(self, m, S_j):
        return torch.maximum(m, S_j.amax(-1, keepdim=True))

    def denominator(self, l, shrink, P):
        return shrink * l + P.sum(-1, keepdim=True)

    def accumulator(self, O, shrink, PV):
        return shrink * O + PV


TRUSTED = Trusted(reference, budget="maximum, sums, blocks, mask and memory each have ways of their own to go wrong")
(wrong_step,) = TRUSTED.one_by_one(lambda wrong: wrong().__call__)


@wrong_step(
    "The denominator is rescaled when the running maximum grows, the accumulated values are not: both refer "
    "to the old maximum and need the same factor."
)
class AccumulatorNotRescaled(Online):
    def accumulator(self, O, shrink, PV):
        return O + PV


@wrong_step(
    "The accumulated values are rescaled when the running maximum grows, the denominator is not: both refer "
    "to the old maximum and need the same factor."
)
class DenominatorNotRescaled(Online):
    def denominator(self, l, shrink, P):
        return l + P.sum(-1, keepdim=True)


@wrong_step(
    "Nothing is rescaled when the running maximum grows: sums over earlier blocks still refer to the old "
    "maximum. Multiply both, the denominator and the accumulator, by exp(old maximum - new maximum)."
)
class NothingRescaled(AccumulatorNotRescaled, DenominatorNotRescaled):
    pass


@wrong_step(
    "The maximum of the newest block takes the place of the running maximum, also when it is smaller, while "
    "earlier sums keep their scale: a running maximum never falls."
)
class MaximumOfTheBlock(NothingRescaled):
    def maximum(self, m, S_j):
        return S_j.amax(-1, keepdim=True).clamp(min=-1e30)


@wrong_step(
    "Without a maximum, exp overflows or vanishes when scores are large: subtract each row's running maximum"
    " before exp."
)
class NoMaximum(NothingRescaled):
    def maximum(self, m, S_j):
        return torch.zeros_like(m)


@wrong_step("The scores are not scaled: divide Q K^T by sqrt(d).")
class NotScaled(Online):
    def scale(self, S_j, Q):
        return S_j


@wrong_step(
    "The maximum of the newest block takes the place of the running maximum, also when it is smaller. Then "
    "exp(old maximum - new maximum) overflows: a running maximum never falls."
)
class MaximumFalls(Online):
    def maximum(self, m, S_j):
        return S_j.amax(-1, keepdim=True).clamp(min=-1e30)


@wrong_step(
    "The running maximum starts at a finite number (0?) that is no score. Where all scores lie far below it, their "
    "exponentials vanish and give 0/0: start from -inf, or from the first block's maximum."
)
class MaximumFromZero(Online):
    start = 0.0


@wrong_step(
    "One running maximum serves all rows of a block. Rows far below it vanish entirely and give 0/0: keep a maximum "
    "for each query (along the keys only, with keepdim=True)."
)
class OneMaximumForABlock(Online):
    def __call__(self, Q, K, V, block, causal):
        Y = []
        for self.first in range(0, Q.shape[2], block):
            Y.append(super().__call__(Q[:, :, self.first : self.first + block], K, V, block, causal))
        return torch.cat(Y, 2)

    def maximum(self, m, S_j):
        return torch.maximum(m, S_j.amax((-1, -2), keepdim=True))


@wrong_step(
    "One running maximum serves all rows. Rows far below it vanish entirely and give 0/0: keep a maximum for"
    " each query."
)
class OneMaximumForAllRows(Online):
    def maximum(self, m, S_j):
        return torch.maximum(m, S_j.max())


@wrong_step(
    "Blocks in which a query sees no key give NaN: their maximum is -inf, and -inf minus -inf is NaN. Take "
    "the running maximum, which is finite, or skip blocks that lie wholly in the future."
)
class HiddenBlocksGiveNaN(Online):
    def add(self, m, l, O, S_j, V_j):
        m_j = S_j.amax(-1, keepdim=True)
        P, m_new = torch.exp(S_j - m_j), torch.maximum(m, m_j)
        old, new = torch.exp(m - m_new), torch.exp(m_j - m_new)
        return m_new, old * l + new * P.sum(-1, keepdim=True), old * O + new * (P @ V_j)


@wrong_step(
    "The keys after the last full block are never seen: S need not be a multiple of the block size. Let the "
    "last block be shorter."
)
class LastBlockDropped(Online):
    def blocks(self, Q, K, V, block, causal):
        return super().blocks(Q, K[:, :, : K.shape[2] // block * block], V, block, causal)


@wrong_step(
    "The last block is filled up with zeros and these are attended to: a padded key has the score 0, not "
    "-inf. Mask the padding, or let the last block be shorter."
)
class PaddingAttended(Online):
    def blocks(self, Q, K, V, block, causal):
        K, V = (F.pad(x, (0, 0, 0, -K.shape[2] % block)) for x in (K, V))
        return super().blocks(Q, K, V, block, causal)


@wrong_step(
    "Each block has a softmax of its own and the results are averaged. Blocks with larger scores must weigh "
    "more: carry the sums of exponentials along and divide once, at the end."
)
class BlocksAveraged(Online):
    def __call__(self, Q, K, V, block, causal):
        results = [S_j.softmax(-1).nan_to_num() @ V_j for S_j, V_j in self.blocks(Q, K, V, block, causal)]
        return sum(results) / len(results)


@wrong_step("Later keys are hidden whatever `causal` says: with causal=False every query sees all keys.")
class AlwaysCausal(Online):
    def blocks(self, Q, K, V, block, causal):
        return super().blocks(Q, K, V, block, True)


@wrong_step(steps.FiniteFill.sentence)
class FiniteFill(Online):
    def blocks(self, Q, K, V, block, causal):
        for i, (S_j, V_j) in enumerate(super().blocks(Q, K, V, block, causal)):
            hidden = self.hidden(Q, K, i * block, i * block + S_j.shape[3])
            yield S_j.masked_fill(hidden, -1e4) if causal else S_j, V_j


@wrong_step("`causal` is ignored: with causal=True a query must not see the keys after it.")
class CausalIgnored(Online):
    def blocks(self, Q, K, V, block, causal):
        return super().blocks(Q, K, V, block, False)


@wrong_step(
    "The mask goes by whole blocks: a query still sees the later keys of its own block. In the block on the "
    "diagonal, compare the positions of keys and queries one by one."
)
class CausalByBlockOnly(Online):
    def hidden(self, Q, K, start, stop):
        return start > torch.arange(Q.shape[2], device=Q.device)[:, None]


@wrong_step(
    "The mask counts the keys of every block from 0: add the block's start, so that you compare positions in"
    " the whole sequence."
)
class MaskWithoutTheBlocksStart(Online):
    def hidden(self, Q, K, start, stop):
        return super().hidden(Q, K, 0, stop - start)


@wrong_step(
    "The values are right, but something of the size T x S is made whole, the scores or a mask for them, which is what "
    "blocks are there to avoid: make it for one block of keys, use it up, and go on."
)
class WholeScoreMatrix(Online):
    def blocks(self, Q, K, V, block, causal):
        ((S, _),) = super().blocks(Q, K, V, K.shape[2], causal)
        return zip(S.split(block, 3), V.split(block, 2), strict=True)


@wrong_step(
    "The scores come in blocks, but the causal mask is made whole, T x S: compare the positions of one block at a time."
)
class WholeCausalMask(Online):
    def hidden(self, Q, K, start, stop):
        return super().hidden(Q, K, 0, K.shape[2])[:, start:stop]


TRUSTED.add_alternative("in_steps", Online().__call__)


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
    for S_j, V_j in Online().blocks(Q, K, V, block, causal):
        lse = torch.logsumexp(S_j, -1, keepdim=True)
        Y_j = S_j.softmax(-1).nan_to_num() @ V_j
        joint = lse if total is None else torch.logaddexp(total, lse)
        Y = Y_j if total is None else Y * (total - joint).exp() + Y_j * (lse - joint).exp()
        total = joint
    return Y


@TRUSTED.alternative
def two_passes(Q, K, V, block, causal):
    tops = [S_j.amax(-1, keepdim=True) for S_j, _ in Online().blocks(Q, K, V, block, causal)]
    m = torch.stack(tops).amax(0)
    l = O = 0
    for S_j, V_j in Online().blocks(Q, K, V, block, causal):
        P = (S_j - m).exp()
        l, O = l + P.sum(-1, keepdim=True), O + P @ V_j
    return O / l


class Padded(Online):
    """Filled up to whole blocks, and what was filled in is hidden."""

    def blocks(self, Q, K, V, block, causal):
        S = K.shape[2]
        K, V = (F.pad(x, (0, 0, 0, -S % block)) for x in (K, V))
        for i, (S_j, V_j) in enumerate(super().blocks(Q, K, V, block, causal)):
            filled = i * block + torch.arange(block, device=Q.device) >= S
            yield S_j.masked_fill(filled, -INF), V_j


@TRUSTED.alternative
def head_by_head_padded(Q, K, V, block, causal):
    heads = zip(*(x.split(1, 1) for x in (Q, K, V)), strict=True)
    return torch.cat([Padded()(*head, block, causal) for head in heads], 1)
