"""Liu et al. 2023, "Ring Attention with Blockwise Transformers"; the softmax of blocks: Milakov and Gimelshein 2018."""

import math

import torch

from grader.contract import Trusted


class Ring:
    """In steps: a mistake is written as the one in which it differs.

    m, l and O are the running maximum, sum of exponentials and sum of values, all of them as if m were the last one.
    """

    def __call__(self, comm, Q, K, V):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        self.K, self.V = K, V  # the own ones
        m, l, O = self.empty(Q)
        for s in range(self.rounds()):
            S = self.scores(Q, K, s)
            if S is not None:
                m, l, O = self.add(m, l, O, S, V)
            if s < self.rounds() - 1:
                K, V = self.turn(K, V)
        return self.result(l, O)

    def rounds(self):
        return self.n

    def empty(self, Q):
        return Q.new_full((*Q.shape[:-1], 1), -math.inf), Q.new_zeros(*Q.shape[:-1], 1), torch.zeros_like(Q)

    def block(self, s):
        """Whose K and V are here after s rounds."""
        return (self.r - s) % self.n

    def scores(self, Q, K, s):
        """(H, Tn, Tn), -inf where a key is hidden; None where all are."""
        if self.block(s) > self.r:
            return None
        return self.masked(self.scaled(Q @ K.mT, Q), s)

    def scaled(self, S, Q):
        return S / Q.shape[-1] ** 0.5

    def masked(self, S, s):
        return S.masked_fill(self.hidden(S, s), -math.inf)

    def hidden(self, S, s):
        T = S.shape[-1]
        at = torch.arange(T, device=S.device)
        return self.block(s) * T + at > self.r * T + at[:, None]

    def add(self, m, l, O, S, V):
        new = self.maximum(m, S)
        P = (S - new).exp()
        old = (m - new).exp()
        return new, self.sum(l, old, P), self.mix(O, old, P, V)

    def maximum(self, m, S):
        return torch.maximum(m, S.amax(-1, keepdim=True))

    def sum(self, l, old, P):
        return l * old + P.sum(-1, keepdim=True)

    def mix(self, O, old, P, V):
        return O * old + P @ V

    def turn(self, K, V):
        """Both on to the right, and those of the left neighbour here."""
        self.comm.send(K, (self.r + 1) % self.n)
        self.comm.send(V, (self.r + 1) % self.n)
        return self.comm.recv((self.r - 1) % self.n), self.comm.recv((self.r - 1) % self.n)

    def result(self, l, O):
        return O / l


def reference(comm, Q, K, V):
    return Ring()(comm, Q, K, V)


TRUSTED = Trusted(reference, budget="masks, maxima, sums and rounds: four places, and each has slips of its own")
(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip(
    "Each block is masked by its own triangle, as if all blocks began at the same token. Compare places in the whole "
    "sequence: query i is token r Tn + i, key j of block b is token b Tn + j."
)
class LocalMask(Ring):
    def scores(self, Q, K, s):
        return self.masked(self.scaled(Q @ K.mT, Q), s)

    def hidden(self, S, s):
        return torch.ones_like(S, dtype=torch.bool).triu(1)


@slip("Earlier blocks are masked by a triangle, too. All of their tokens come before: the own block alone needs one.")
class TriangleForAll(Ring):
    def hidden(self, S, s):
        return torch.ones_like(S, dtype=torch.bool).triu(1)


@slip("Nothing is masked: each query sees the tokens behind it as well, of its own block and of all others.")
class NotCausal(LocalMask):
    def masked(self, S, s):
        return S


@slip("A rank's own block is not masked. In it, too, a query sees no token behind it.")
class OwnBlockUnmasked(Ring):
    def hidden(self, S, s):
        return torch.zeros_like(S, dtype=torch.bool)


@slip(
    "The block that is here is taken for that of another rank. After s rounds it is that of rank (r - s) % n where "
    "blocks are sent to the right, to rank r + 1, and that of rank (r + s) % n where they are sent to the left."
)
class WrongOffset(Ring):
    def block(self, s):
        return (self.r + s) % self.n


@slip("The scores are not divided by sqrt(d).")
class NoScale(Ring):
    def scaled(self, S, Q):
        return S


class BlockByBlock(Ring):
    """Each block has a softmax of its own."""

    def add(self, m, l, O, S, V):
        return m, l + 1, O + S.softmax(-1) @ V


@slip(
    "Each block has a softmax of its own, and the results are averaged. A block with large scores has to weigh more: "
    "one sum of exponentials runs over all blocks."
)
class Averaged(BlockByBlock):
    pass


@slip(
    "Each block has a softmax of its own, and the results are added, so that the weights of a query sum to more than "
    "1: one sum of exponentials runs over all blocks."
)
class BlocksAdded(BlockByBlock):
    def result(self, l, O):
        return O


@slip(
    "When the running maximum grows, what has been summed before is left as it is. It was made with the old maximum: "
    "multiply both sums by exp(old maximum - new maximum)."
)
class NoRescaling(Ring):
    def sum(self, l, old, P):
        return l + P.sum(-1, keepdim=True)

    def mix(self, O, old, P, V):
        return O + P @ V


@slip(
    "When the running maximum grows, the sum of values is brought to it, and the sum of exponentials is left as it "
    "is: multiply both by exp(old maximum - new maximum)."
)
class ExponentialsNotRescaled(Ring):
    def sum(self, l, old, P):
        return l + P.sum(-1, keepdim=True)


@slip(
    "When the running maximum grows, the sum of exponentials is brought to it, and the sum of values is left as it "
    "is: multiply both by exp(old maximum - new maximum)."
)
class ValuesNotRescaled(Ring):
    def mix(self, O, old, P, V):
        return O + P @ V


@slip(
    "A block whose keys are all hidden gives NaN: its maximum is -inf, and -inf - (-inf) is no number. Pass such a "
    "block on, and leave it out of the sums."
)
class HiddenBlock(Ring):
    def scores(self, Q, K, s):
        return self.masked(self.scaled(Q @ K.mT, Q), s)

    def add(self, m, l, O, S, V):
        own = S.amax(-1, keepdim=True)
        P = (S - own).exp()  # of this block alone
        new = torch.maximum(m, own)
        old, share = (m - new).exp(), (own - new).exp()
        return new, l * old + share * P.sum(-1, keepdim=True), O * old + share * (P @ V)


@slip("exp is taken of the scores as they are: far from 0 it is infinite or 0. Subtract the running maximum first.")
class NoMaximum(Ring):
    def maximum(self, m, S):
        return torch.zeros_like(m)

    def sum(self, l, old, P):
        return l + P.sum(-1, keepdim=True)

    def mix(self, O, old, P, V):
        return O + P @ V


@slip(
    "The maximum is taken over hidden keys, too. One that is far above leaves nothing for those that are seen: mask "
    "the scores first."
)
class MaximumBeforeMask(Ring):
    def masked(self, S, s):
        self.before = S.amax(-1, keepdim=True)
        return super().masked(S, s)

    def maximum(self, m, S):
        return torch.maximum(m, self.before)


@slip(
    "One maximum stands for several queries. Far below it, exp gives 0 for each key of a query, and nothing is left: "
    "every query has a maximum of its own, `amax(-1, keepdim=True)`."
)
class OneMaximum(Ring):
    def maximum(self, m, S):
        return torch.maximum(m, S.amax().expand_as(m))


@slip(
    "All blocks are collected first, and attended to at once: then each rank holds the keys and values of the whole "
    "sequence. Use a block, pass it on, and forget it."
)
class GatheredFirst(Ring):
    def __call__(self, comm, Q, K, V):
        self.comm, self.n, self.r = comm, comm.size, comm.rank
        blocks = [(K, V)]
        for _ in range(self.n - 1):
            blocks.append(self.turn(*blocks[-1]))
        K, V = (torch.cat([pair[i] for pair in blocks], 1) for i in (0, 1))
        T = Q.shape[1]
        owners = torch.tensor([self.block(s) for s in range(self.n)], device=Q.device)
        keys = (owners[:, None] * T + torch.arange(T, device=Q.device)).flatten()
        queries = self.r * T + torch.arange(T, device=Q.device)
        S = self.scaled(Q @ K.mT, Q).masked_fill(keys > queries[:, None], -math.inf)
        return S.softmax(-1) @ V


@slip("Every rank waits for a block before it sends one, so that all wait for ever. A send does not wait: send first.")
class ReceivesFirst(Ring):
    def turn(self, K, V):
        left, right = (self.r - 1) % self.n, (self.r + 1) % self.n
        came = self.comm.recv(left), self.comm.recv(left)
        self.comm.send(K, right)
        self.comm.send(V, right)
        return came


@slip("Each rank attends to its own block alone: the tokens of the ranks before it count as well.")
class OnlyOwnBlock(Ring):
    def rounds(self):
        return 1


@slip("In each round the own K and V are sent: pass on those that came in the round before.")
class SendsItsOwn(Ring):
    def turn(self, K, V):
        return super().turn(self.K, self.V)


@slip("One round is missing: it takes n - 1 until the first block has come to the last rank.")
class OneRoundShort(Ring):
    def rounds(self):
        return max(self.n - 1, 1)


@slip("Blocks are sent on once more when nobody needs them: after n - 1 rounds each rank has seen all.")
class OneRoundMore(Ring):
    def __call__(self, comm, Q, K, V):
        Y = super().__call__(comm, Q, K, V)
        if comm.size > 1:
            self.turn(K, V)
        return Y


@TRUSTED.alternative
def merged(comm, Q, K, V):
    """Each block's softmax and the logarithm of its sum; two of them are merged by their logarithms."""
    n, r = comm.size, comm.rank
    Y = log = None
    for block in range(r, r - n, -1):
        if block >= 0:
            S = torch.einsum("htd,hsd->hts", Q, K) * Q.shape[-1] ** -0.5
            if block == r:
                S = S + torch.full_like(S, -math.inf).triu(1)
            new_log, new_Y = S.logsumexp(-1), S.softmax(-1) @ V
            if Y is None:
                Y, log = new_Y, new_log
            else:
                share = torch.sigmoid(new_log - log)[..., None]
                Y, log = Y + share * (new_Y - Y), torch.logaddexp(log, new_log)
        if block > r - n + 1:
            both = torch.stack([K, V])
            comm.send(both, (r + 1) % n)
            K, V = comm.recv((r - 1) % n)
    return Y


@TRUSTED.alternative
def only_to_those_who_need_it(comm, Q, K, V):
    """No ring: each block goes straight to the ranks behind, which take the earliest first; row by row."""
    for other in range(comm.rank + 1, comm.size):
        comm.send(K, other)
        comm.send(V, other)
    rows = [[-math.inf, 0.0, 0.0] for _ in range(Q.shape[1])]
    for block in range(comm.rank + 1):
        k, v = (K, V) if block == comm.rank else (comm.recv(block), comm.recv(block))
        for i, row in enumerate(rows):
            seen = slice(i + 1 if block == comm.rank else None)
            s = (Q[:, i, None] * k[:, seen]).sum(-1) / math.sqrt(Q.shape[-1])  # (H, keys)
            top = s.amax(1).clamp(min=row[0]) if block == 0 else torch.maximum(s.amax(1), row[0])
            weights, old = torch.exp(s - top[:, None]), torch.exp(row[0] - top)
            row[:] = (
                top,
                row[1] * old + weights.sum(1),
                row[2] * old[:, None] + (weights[..., None] * v[:, seen]).sum(1),
            )
    return torch.stack([mixed / total[:, None] for _, total, mixed in rows], 1)
