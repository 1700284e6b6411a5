"""Answers to distributed.ring_attention: a right answer in steps, of which one is replaced at a time."""

import functools
import math

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.ring_attention",
    spared={
        "dependence": "nothing is drawn",
        "onward": "one call is one event, and after it nothing goes on",
    },
)
wrong = ANSWERS.wrong


def open_scores(comm, Q, K, b):
    return Q @ K.mT / math.sqrt(Q.shape[-1])


def hidden(comm, Q, b):
    T = Q.shape[1]
    at = torch.arange(T, device=Q.device)
    return b * T + at > comm.rank * T + at[:, None]


def scores(comm, Q, K, b, *, hidden=hidden, open_scores=open_scores):
    """Q K^T / sqrt(d) of the block of rank b, hidden ones at -inf."""
    return open_scores(comm, Q, K, b).masked_fill(hidden(comm, Q, b), -torch.inf)


def begin(Q):
    H, T, _ = Q.shape
    return Q.new_full((H, T, 1), -torch.inf), Q.new_zeros(H, T, 1), torch.zeros_like(Q)


def add(sums, S, V):
    """Running maximum, sum of exponentials, and sum of values, with one block more."""
    m, l, o = sums
    new = torch.maximum(m, S.amax(-1, keepdim=True))
    P, old = (S - new).exp(), (m - new).exp()
    return new, old * l + P.sum(-1, keepdim=True), old * o + P @ V


def exchange(comm, K, V):
    comm.send(K, (comm.rank + 1) % comm.size)
    comm.send(V, (comm.rank + 1) % comm.size)
    return comm.recv((comm.rank - 1) % comm.size), comm.recv((comm.rank - 1) % comm.size)


def end(sums):
    return sums[2] / sums[1]


def ring(comm, Q, K, V, *, scores=scores, begin=begin, add=add, exchange=exchange, end=end, skip=True):
    """A right answer, of which a part is replaced."""
    sums = begin(Q)
    for s in range(comm.size):
        b = (comm.rank - s) % comm.size
        if b <= comm.rank or not skip:
            sums = add(sums, scores(comm, Q, K, b), V)
        if s < comm.size - 1:
            K, V = exchange(comm, K, V)
    return end(sums)


# The commonest slips.


@wrong("plain", "not causal: each query sees all keys", true="NotCausal")
def sees_all(comm, Q, K, V):
    return ring(comm, Q, K, V, scores=open_scores, skip=False)


@wrong("plain", "not causal within its own block; later blocks are left out", true="OwnBlockUnmasked")
def by_blocks(comm, Q, K, V):
    return ring(comm, Q, K, V, scores=open_scores)


@wrong("plain", "every block has the mask of the own one", true="TriangleForAll")
def local_mask(comm, Q, K, V):
    return ring(comm, Q, K, V, scores=lambda comm, Q, K, b: scores(comm, Q, K, comm.rank))


@wrong(
    "plain", "a query does not see its own key", told=r"Y on rank 0 is NaN in 10 of 40 entries, first at \[0, 0, 0\]"
)
def strictly_before(comm, Q, K, V):
    def strict(comm, Q, b):
        T = Q.shape[1]
        at = torch.arange(T, device=Q.device)
        return b * T + at >= comm.rank * T + at[:, None]

    return ring(comm, Q, K, V, scores=functools.partial(scores, hidden=strict))


@wrong("plain", "the rank's own block alone: nothing is sent", true="OnlyOwnBlock")
def own_block(comm, Q, K, V):
    return end(add(begin(Q), scores(comm, Q, K, comm.rank), V))


@wrong("plain", "the block that is here is taken for rank r + s's", true="WrongOffset")
def other_way(comm, Q, K, V):
    sums = begin(Q)
    for s in range(comm.size):
        b = (comm.rank + s) % comm.size
        if b <= comm.rank:
            sums = add(sums, scores(comm, Q, K, b), V)
        if s < comm.size - 1:
            K, V = exchange(comm, K, V)
    return end(sums)


@wrong("plain", "scores are not divided", true="NoScale")
def unscaled(comm, Q, K, V):
    return ring(comm, Q * math.sqrt(Q.shape[-1]), K, V)


@wrong("plain", "scores are divided by d")
def by_d(comm, Q, K, V):
    return ring(comm, Q / math.sqrt(Q.shape[-1]), K, V)


@wrong("plain", "scores are divided by the root of H")
def by_heads(comm, Q, K, V):
    return ring(comm, Q * math.sqrt(Q.shape[-1] / Q.shape[0]), K, V)


@wrong("plain", "the softmax of each block, and the mean of the results", true="Averaged")
def mean_of_blocks(comm, Q, K, V):
    def add(sums, S, V):
        return sums[0], sums[1] + 1, sums[2] + S.softmax(-1) @ V

    return ring(comm, Q, K, V, add=add)


@wrong("plain", "softmax over the queries")
def over_queries(comm, Q, K, V):
    def add(sums, S, V):
        P = S.exp()
        return sums[0], sums[1] + 1, sums[2] + P / P.sum(-2, keepdim=True) @ V

    return ring(comm, Q, K, V, add=add)


@wrong("plain", "one round too few", true="OneRoundShort")
def last_block_missed(comm, Q, K, V):
    sums = begin(Q)
    for s in range(max(comm.size - 1, 1)):
        b = (comm.rank - s) % comm.size
        if b <= comm.rank:
            sums = add(sums, scores(comm, Q, K, b), V)
        if s < comm.size - 2:
            K, V = exchange(comm, K, V)
    return end(sums)


@wrong("plain", "one round too many: the own block comes home", true="OneRoundMore")
def comes_home(comm, Q, K, V):
    sums = begin(Q)
    for s in range(comm.size):
        b = (comm.rank - s) % comm.size
        if b <= comm.rank:
            sums = add(sums, scores(comm, Q, K, b), V)
        if comm.size > 1:
            K, V = exchange(comm, K, V)
    return end(sums)


@wrong(
    "plain",
    "blocks of later ranks are not passed on, and the next rank waits for them: deadlock",
    told=r"Deadlock: rank 0 has ended; rank 1 waits for a message from rank 0",
)
def not_passed_on(comm, Q, K, V):
    sums, n = begin(Q), comm.size
    for s in range(n):
        b = (comm.rank - s) % n
        if b <= comm.rank:
            sums = add(sums, scores(comm, Q, K, b), V)
            if s < n - 1:
                comm.send(K, (comm.rank + 1) % n), comm.send(V, (comm.rank + 1) % n)
        if s < n - 1:
            K, V = comm.recv((comm.rank - 1) % n), comm.recv((comm.rank - 1) % n)
    return end(sums)


@wrong("plain", "each waits before it sends", true="ReceivesFirst")
def waits_first(comm, Q, K, V):
    def exchange(comm, K, V):
        left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
        got = comm.recv(left), comm.recv(left)
        comm.send(K, right), comm.send(V, right)
        return got

    return ring(comm, Q, K, V, exchange=exchange)


@wrong("plain", "K goes round and V stays")
def values_stay(comm, Q, K, V):
    def exchange(comm, K, V):
        comm.send(K, (comm.rank + 1) % comm.size)
        return comm.recv((comm.rank - 1) % comm.size), V

    return ring(comm, Q, K, V, exchange=exchange)


@wrong("plain", "K and V change places on the way: V is received first")
def exchanged(comm, Q, K, V):
    return ring(comm, Q, K, V, exchange=lambda comm, K, V: exchange(comm, K, V)[::-1])


@wrong(
    "plain",
    "K and V are gathered by comm.all_gather",
    told=r"comm\.all_gather is called, and this is to be made of send and recv",
)
def gathers(comm, Q, K, V):
    K, V = (comm.all_gather(x).transpose(0, 1).flatten(1, 2) for x in (K, V))
    T = Q.shape[1]
    S = Q @ K.mT / math.sqrt(Q.shape[-1])
    at = torch.arange(K.shape[1])
    return S.masked_fill(at > comm.rank * T + at[:T, None], -torch.inf).softmax(-1) @ V


# Far apart.


@wrong("far", "no maximum is taken off", true="NoMaximum")
def bare_exp(comm, Q, K, V):
    def add(sums, S, V):
        return sums[0], sums[1] + S.exp().sum(-1, keepdim=True), sums[2] + S.exp() @ V

    return ring(comm, Q, K, V, add=add)


@wrong("far", "each block's own maximum, and old sums stay as they are")
def not_rescaled(comm, Q, K, V):
    def add(sums, S, V):
        P = (S - S.amax(-1, keepdim=True)).exp()
        return sums[0], sums[1] + P.sum(-1, keepdim=True), sums[2] + P @ V

    return ring(comm, Q, K, V, add=add)


@wrong("far", "the first block's maximum for all of them")
def first_maximum(comm, Q, K, V):
    def add(sums, S, V):
        m, l, o = sums
        m = torch.where(m.isinf(), S.amax(-1, keepdim=True), m)
        P = (S - m).exp()
        return m, l + P.sum(-1, keepdim=True), o + P @ V

    return ring(comm, Q, K, V, add=add)


@wrong("far", "the sum of exponentials is not rescaled, that of values is", true="ExponentialsNotRescaled")
def sum_not_rescaled(comm, Q, K, V):
    def new(sums, S, V):
        m, l, o = add(sums, S, V)
        return m, sums[1] + (S - m).exp().sum(-1, keepdim=True), o

    return ring(comm, Q, K, V, add=new)


@wrong("far", "the sum of values is not rescaled, that of exponentials is", true="ValuesNotRescaled")
def values_not_rescaled(comm, Q, K, V):
    def new(sums, S, V):
        m, l, o = add(sums, S, V)
        return m, l, sums[2] + (S - m).exp() @ V

    return ring(comm, Q, K, V, add=new)


@wrong("far", "rescaled by exp(m' - m), the wrong way round")
def upside_down(comm, Q, K, V):
    def new(sums, S, V):
        m, l, o = sums
        m2 = torch.maximum(m, S.amax(-1, keepdim=True))
        P = (S - m2).exp()
        old = torch.where(m.isinf(), 0, (m2 - m).exp())
        return m2, old * l + P.sum(-1, keepdim=True), old * o + P @ V

    return ring(comm, Q, K, V, add=new)


@wrong("far", "one maximum for all queries of a head", true="OneMaximum")
def one_for_a_head(comm, Q, K, V):
    def new(sums, S, V):
        m, l, o = sums
        m2 = torch.maximum(m, S.amax((-2, -1), keepdim=True))
        P, old = (S - m2).exp(), (m - m2).exp()
        return m2, old * l + P.sum(-1, keepdim=True), old * o + P @ V

    return ring(comm, Q, K, V, add=new)


@wrong(
    "far", "the maximum begins at 0: scores far below it are all 0", told=r"all scores near -20000: Y on rank 0 is NaN"
)
def begins_at_zero(comm, Q, K, V):
    return ring(comm, Q, K, V, begin=lambda Q: (0 * Q[..., :1], *begin(Q)[1:]))


@wrong(
    "far", "the maximum is taken before the mask: a hidden key far above makes all of them 0", true="MaximumBeforeMask"
)
def hidden_counts(comm, Q, K, V):
    def both(comm, Q, K, b):
        return open_scores(comm, Q, K, b), hidden(comm, Q, b)

    def new(sums, S, V):
        (S, later), (m, l, o) = S, sums
        m2 = torch.maximum(m, S.amax(-1, keepdim=True))
        P, old = (S - m2).exp().masked_fill(later, 0), (m - m2).exp()
        return m2, old * l + P.sum(-1, keepdim=True), old * o + P @ V

    return ring(comm, Q, K, V, scores=both, add=new)


@wrong("far", "-10,000 in place of -inf: hidden keys weigh more than those that are seen")
def large_number(comm, Q, K, V):
    def low(comm, Q, K, b):
        return open_scores(comm, Q, K, b).masked_fill(hidden(comm, Q, b), -1e4)

    return ring(comm, Q, K, V, scores=low)


@wrong("far", "scores are raised to -10,000 where they lie below, hidden ones with them")
def raised(comm, Q, K, V):
    return ring(comm, Q, K, V, scores=lambda *given: scores(*given).clamp_min(-1e4))


@wrong("far", "scores are clamped to what exp can bear")
def clamped(comm, Q, K, V):
    def add(sums, S, V):
        P = S.clamp(-80, 80).exp().masked_fill(S.isinf(), 0)
        return sums[0], sums[1] + P.sum(-1, keepdim=True), sums[2] + P @ V

    return ring(comm, Q, K, V, add=add)


# Sizes and kinds of input.


@wrong("ones", "squeeze takes away heads, tokens and d where there is one", told=r"has lost a dimension of size 1")
def squeezed(comm, Q, K, V):
    return ring(comm, Q, K, V).squeeze()


@wrong(
    "ones",
    "squeeze() of the maximum: where there is one token, each head's stands for a token",
    told=r"Tn=1, d=3: Y on rank 0 has shape \(2, 2, 3\)",
)
def lost_head(comm, Q, K, V):
    def new(sums, S, V):
        m, l, o = sums
        m2 = torch.maximum(m.squeeze(-1), S.amax(-1)).squeeze()[..., None]
        P, old = (S - m2).exp(), (m - m2).exp()
        return m2, old * l + P.sum(-1, keepdim=True), old * o + P @ V

    return ring(comm, Q, K, V, add=new)


@wrong(
    "ones",
    "the next block is asked for before the loop: with one rank from itself",
    told=r"rank 0 sends to itself",
    advice=r"right where n is more than 1",
)
def alone_asks_itself(comm, Q, K, V):
    sums = begin(Q)
    for s in range(comm.size):
        b = (comm.rank - s) % comm.size
        if s == 0 or s < comm.size - 1:
            comm.send(K, (comm.rank + 1) % comm.size)
            comm.send(V, (comm.rank + 1) % comm.size)
        if b <= comm.rank:
            sums = add(sums, scores(comm, Q, K, b), V)
        if s < comm.size - 1:
            K, V = comm.recv((comm.rank - 1) % comm.size), comm.recv((comm.rank - 1) % comm.size)
    return end(sums)


@wrong("named", "sums in float32, whatever Q is", told=r"a step in a coarser dtype")
def in_single(comm, Q, K, V):
    return ring(comm, Q.float(), K.float(), V.float()).to(Q.dtype)


@wrong("named", "sums begin as torch.zeros(...), in float32", told=r"Y on rank 0 has dtype float32, expected float64")
def default_zeros(comm, Q, K, V):
    def begin(Q):
        H, T, d = Q.shape
        return torch.full((H, T, 1), -torch.inf), torch.zeros(H, T, 1), torch.zeros(H, T, d)

    def new(sums, S, V):
        return tuple(x.float() for x in add(sums, S, V))

    return ring(comm, Q, K, V, begin=begin, add=new)


@wrong("named", "K.view(H * T, d), where K lies in memory as it was cut", told=r"Use \.reshape")
def viewed(comm, Q, K, V):
    H, T, d = K.shape
    return ring(comm, Q, K.view(H * T, d).view(H, T, d), V)


@wrong("large", "places in int8, which ends at 127")
def places_in_int8(comm, Q, K, V):
    def short(comm, Q, b):
        T = Q.shape[1]
        keys, queries = ((rank * T + torch.arange(T)).to(torch.int8) for rank in (b, comm.rank))
        return keys > queries[:, None]

    return ring(comm, Q, K, V, scores=functools.partial(scores, hidden=short))


@wrong(
    "large", "products of each query and key, d numbers each, before they are added", told=r"a rank holds \d+ numbers"
)
def all_products(comm, Q, K, V):
    def wide(comm, Q, K, b):
        return (Q[:, :, None] * K[:, None]).sum(-1) / math.sqrt(Q.shape[-1])

    return ring(comm, Q, K, V, scores=functools.partial(scores, open_scores=wide))


@wrong("large", "eight ranks at most")
def eight_ranks(comm, Q, K, V):
    return ring(comm, Q, K, V, scores=lambda comm, Q, K, b: scores(comm, Q, K, b if comm.rank - b < 8 else comm.size))


# Calls and what is around.


PLACES = []


@wrong(
    "again", "the first call's places are kept", told=r"size of tensor a \(4\) must match the size of tensor b \(3\)"
)
def kept_places(comm, Q, K, V):
    def first(comm, Q, b):
        if not PLACES:
            PLACES.append(torch.arange(Q.shape[1]))
        return b * Q.shape[1] + PLACES[0] > comm.rank * Q.shape[1] + PLACES[0][:, None]

    return ring(comm, Q, K, V, scores=functools.partial(scores, hidden=first))


SUMS = {}


@wrong("again", "sums go on from the last call, where shapes are the same")
def sums_go_on(comm, Q, K, V):
    def kept(sums):
        SUMS[comm.rank, Q.shape, Q.dtype] = sums
        return end(sums)

    return ring(comm, Q, K, V, begin=lambda Q: SUMS.get((comm.rank, Q.shape, Q.dtype)) or begin(Q), end=kept)


@wrong(
    "given", "what is received is written into the K and V that were given", told=r"changes its input K and V in place"
)
def into_the_given(comm, Q, K, V):
    def exchange(comm, K, V):
        comm.send(K, (comm.rank + 1) % comm.size)
        comm.send(V, (comm.rank + 1) % comm.size)
        left = (comm.rank - 1) % comm.size
        return K.copy_(comm.recv(left)), V.copy_(comm.recv(left))

    return ring(comm, Q, K, V, exchange=exchange)


@wrong("given", "Q is divided in place", told=r"changes its input Q in place")
def divides_in_place(comm, Q, K, V):
    Q /= math.sqrt(Q.shape[-1])
    return ring(comm, Q * math.sqrt(Q.shape[-1]), K, V)


@wrong("surroundings", "the default dtype is left at float64", told=r"changes torch's default dtype")
def default_dtype(comm, Q, K, V):
    torch.set_default_dtype(torch.float64)
    return ring(comm, Q, K, V)


# Costs.


@wrong(
    "plain", "all blocks are kept, and one softmax is taken at the end", told=r"keep no block when the next one is here"
)
def keeps_all(comm, Q, K, V):
    kept = {}
    for s in range(comm.size):
        b = (comm.rank - s) % comm.size
        kept[b] = K, V
        if s < comm.size - 1:
            K, V = exchange(comm, K, V)
    seen = range(comm.rank + 1)
    S = torch.cat([scores(comm, Q, kept[b][0], b) for b in seen], -1)
    return S.softmax(-1) @ torch.cat([kept[b][1] for b in seen], 1)


@wrong(
    "large",
    "by recursion: each call keeps its block and its sums until the last one returns",
    told=r"keep no block when the next one is here",
)
def by_recursion(comm, Q, K, V):
    floor = torch.finfo(Q.dtype).min
    T = Q.shape[1]
    mine = comm.rank * T + torch.arange(T, device=Q.device)

    def rest(K, V, s, m, l, o):
        if s < comm.size - 1:
            for x in (K, V):
                comm.send(x, (comm.rank + 1) % comm.size)
        keys = (comm.rank - s) % comm.size * T + torch.arange(T, device=Q.device)
        S = (Q @ K.transpose(1, 2) * Q.shape[-1] ** -0.5).masked_fill(keys > mine[:, None], floor)
        new = S.max(-1, keepdim=True).values.maximum(m)
        P = torch.exp(S - new)
        o = torch.baddbmm(o * torch.exp(m - new), P, V)
        l = l * torch.exp(m - new) + P.sum(-1, keepdim=True)
        del K, V, S, P
        if s == comm.size - 1:
            return o / l
        return rest(*(comm.recv((comm.rank - 1) % comm.size) for _ in range(2)), s + 1, new, l, o)

    return rest(K, V, 0, torch.full_like(Q[..., :1], floor), torch.zeros_like(Q[..., :1]), torch.zeros_like(Q))


@wrong(
    "plain",
    "twice round the ring: for the maxima and sums, and then for the values",
    told=r"a rank sends 16 messages, and 8 are enough",
)
def twice_round(comm, Q, K, V):
    m, l, _ = ring(comm, Q, K, V, end=lambda sums: sums)

    def add(sums, S, V):
        return m, l, sums[2] + (S - m).exp() @ V

    return ring(comm, Q, K, V, add=add)


@wrong("plain", "each head is a message", told=r"a rank sends 16 messages, and 8 are enough")
def head_by_head(comm, Q, K, V):
    return torch.cat([ring(comm, Q[h : h + 1], K[h : h + 1], V[h : h + 1]) for h in range(len(Q))])


@wrong("plain", "Q goes along, though nobody needs it", told=r"a rank sends 144 numbers in all, and 96 are enough")
def sends_q(comm, Q, K, V):
    def exchange(comm, K, V):
        comm.send(torch.cat([K, V, Q]), (comm.rank + 1) % comm.size)
        return comm.recv((comm.rank - 1) % comm.size).split(len(Q))[:2]

    return ring(comm, Q, K, V, exchange=exchange)


@wrong(
    "plain",
    "a chain that sends on after the last rank: nobody receives it",
    told=r"messages were sent that nobody received",
)
def nobody_receives(comm, Q, K, V):
    n, r = comm.size, comm.rank
    sums = add(begin(Q), scores(comm, Q, K, r), V)
    for s in range(1, n):
        comm.send(K, (r + 1) % n), comm.send(V, (r + 1) % n)
        if s > r:
            break
        K, V = comm.recv(r - 1), comm.recv(r - 1)
        sums = add(sums, scores(comm, Q, K, r - s), V)
    return end(sums)


BLOCKS = {}


@wrong(
    "unwatched", "K and V of other ranks are read where they lie: nothing is sent", told=r"nobody can know the result"
)
def reads_others(comm, Q, K, V):
    BLOCKS[comm.rank] = K, V
    sums = begin(Q)
    for b in range(comm.rank, -1, -1):  # the ranks before have begun before
        sums = add(sums, scores(comm, Q, BLOCKS[b][0], b), BLOCKS[b][1])
    return end(sums)


@wrong("unwatched", "K and V are views of whole sequences, which are there without a message")
def looks_at_the_base(comm, Q, K, V):
    T, n = Q.shape[1], comm.size
    if n > 1:
        K, V = K._base[:, : n * T], V._base[:, : n * T]
    sums = begin(Q)
    for b in range(comm.rank, -1, -1):
        sums = add(sums, scores(comm, Q, K[:, b * T : (b + 1) * T], b), V[:, b * T : (b + 1) * T])
    return end(sums)


# Right ones.


@ANSWERS.right
def in_a_chain(comm, Q, K, V):
    """Blocks go to later ranks alone, and the last rank sends nothing."""
    n, r = comm.size, comm.rank
    sums = begin(Q)
    for b in range(r, -1, -1):
        if b < r:
            K, V = comm.recv(r - 1), comm.recv(r - 1)
        if r < n - 1:
            comm.send(K, r + 1)
            comm.send(V, r + 1)
        sums = add(sums, scores(comm, Q, K, b), V)
    return end(sums)


@ANSWERS.right
def one_message(comm, Q, K, V):
    """K and V side by side, and the partial results weighed by their logarithms of sums."""
    n, r, (_, T, d) = comm.size, comm.rank, Q.shape
    KV = torch.cat([K, V], -1)
    total, Y = None, None
    later = torch.ones(T, T, dtype=torch.bool, device=Q.device).triu(1)
    for s in range(n):
        if s <= r:
            S = torch.einsum("hid,hjd->hij", Q, KV[..., :d]).div_(d**0.5)
            if s == 0:
                S.masked_fill_(later, -torch.inf)
            here = S.logsumexp(-1, keepdim=True)
            part = torch.einsum("hij,hjd->hid", S.sub_(here).exp_(), KV[..., d:])
            if total is None:
                total, Y = here, part
            else:
                both = torch.logaddexp(total, here)
                Y = Y * (total - both).exp() + part * (here - both).exp()
                total = both
        if s < n - 1:
            comm.send(KV, (r + 1) % n)
            del KV
            KV = comm.recv((r - 1) % n)
    return Y


@ANSWERS.right
def odd_and_even(comm, Q, K, V):
    """As with messages that wait until they are received: even ranks send first. The ring goes down."""
    n, r = comm.size, comm.rank
    up, down = (r + 1) % n, (r - 1) % n
    sums = add(begin(Q), scores(comm, Q, K, r), V)
    for s in range(1, n):
        KV = torch.stack([K, V])
        if r % 2 == 0:
            comm.send(KV, down)
            K, V = comm.recv(up)
        else:
            got = comm.recv(up)
            comm.send(KV, down)
            K, V = got
            del got
        del KV
        b = (r + s) % n
        if b < r:
            sums = add(sums, scores(comm, Q, K, b), V)
    return end(sums)


@ANSWERS.right
def sent_before(comm, Q, K, V):
    """Sends first and adds what it has meanwhile; the smallest number in place of -inf; no block is left out."""
    floor, T, n = torch.finfo(Q.dtype).min, Q.shape[1], comm.size
    queries = comm.rank * T + torch.arange(T, device=Q.device)
    m, l, o = torch.full_like(Q[..., :1], floor), torch.zeros_like(Q[..., :1]), torch.zeros_like(Q)
    for s in range(n):
        if s < n - 1:
            for x in (K, V):
                comm.send(x, (comm.rank + 1) % n)
        keys = (comm.rank - s) % n * T + torch.arange(T, device=Q.device)
        S = (Q @ K.transpose(1, 2) * Q.shape[-1] ** -0.5).masked_fill(keys > queries[:, None], floor)
        new = S.max(-1, keepdim=True).values.maximum(m)
        P = torch.exp(S - new)
        o = torch.baddbmm(o * torch.exp(m - new), P, V)
        l = l * torch.exp(m - new) + P.sum(-1, keepdim=True)
        m = new
        if s < n - 1:
            K, V = (comm.recv((comm.rank - 1) % n) for _ in range(2))
    return o / l


@ANSWERS.right
def key_by_key(comm, Q, K, V):
    """One key after the other, in place."""
    T, n = Q.shape[1], comm.size
    Q = Q / math.sqrt(Q.shape[-1])
    m, l, o = begin(Q)
    for s in range(n):
        for j in range(T if s <= comm.rank else 0):
            first = j if s == 0 else 0  # the queries that see it
            S = (Q[:, first:] * K[:, j : j + 1]).sum(-1, keepdim=True)
            new = m[:, first:].maximum(S)
            old, p = (m[:, first:] - new).exp(), (S - new).exp()
            l[:, first:].mul_(old).add_(p)
            o[:, first:].mul_(old).addcmul_(p, V[:, j : j + 1])
            m[:, first:] = new
        if s < n - 1:
            K, V = exchange(comm, K, V)
    return o.div_(l)
