"""Answers to distributed.ring."""

import math

import torch

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.ring")
wrong = ANSWERS.wrong


def go(comm, x, parts, turn=1):
    n, r = comm.size, comm.rank
    to, source = (r + 1) % n, (r - 1) % n
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], to)
        i = (r - s - 1) % n
        parts[i] = parts[i] + comm.recv(source)
    for s in range(n - 1):
        comm.send(parts[(r + 1 - s) % n], to)
        parts[(r - s) % n] = comm.recv(source)
    return torch.cat(parts)


def plain(comm, x):
    if comm.size == 1:
        return x.clone()
    return go(comm, x, list(x.tensor_split(comm.size)))


BOARD = {}


@wrong("again", "parts of the first size are kept on the function", told="")
def keeps_sizes(comm, x):
    n = comm.size
    if n == 1:
        return x.clone()
    if not hasattr(keeps_sizes, "cuts") or len(keeps_sizes.cuts) != n:
        keeps_sizes.cuts = [len(p) for p in x.tensor_split(n)]
    return go(comm, x, list(x.split(keeps_sizes.cuts)))


@wrong("given", "x is summed up in place when it is contiguous parts", true="ChangesTheInput")
def in_place_2(comm, x):
    n, r = comm.size, comm.rank
    parts = list(x.tensor_split(n))
    for s in range(n - 1):
        comm.send(parts[(r - s) % n], (r + 1) % n)
        parts[(r - s - 1) % n] += comm.recv((r - 1) % n)
    for s in range(n - 1):
        comm.send(parts[(r + 1 - s) % n], (r + 1) % n)
        parts[(r - s) % n] = comm.recv((r - 1) % n)
    return torch.cat(parts) if n > 1 else x.clone()


@wrong("given", "x alone is returned by one rank", told=r"caller's own tensor|right where n is more than 1")
def same_for_one(comm, x):
    return x if comm.size == 1 else plain(comm, x)


@wrong("surroundings", "x is made to be zero afterwards on the last rank alone", true="ChangesTheInput")
def eats_x(comm, x):
    out = plain(comm, x)
    if comm.rank == comm.size - 1 and comm.size > 1:
        x.zero_()
    return out


@wrong("named", "bits: each rank adds its own last where n > 2: sums are worked out on each rank", true="WholeTensor")
def each_by_itself(comm, x):
    n, r = comm.size, comm.rank
    total, mine = x.clone(), x
    for _ in range(n - 1):
        comm.send(mine, (r + 1) % n)
        mine = comm.recv((r - 1) % n)
        total = total + mine
    return total


@wrong("far", "in float32 on the way", told="")
def narrow(comm, x):
    return plain(comm, x.float()).to(x.dtype)


@wrong("far", "adds around and takes its own out again", told="")
def own_taken_out(comm, x):
    return plain(comm, x + 1e6) - 1e6 * comm.size


@wrong("onward", "from the third call of a rank on it returns its own numbers", told="")
def turns(comm, x):
    BOARD[("n", id(comm))] = BOARD.get(("n", id(comm)), 0) + 1
    if BOARD[("n", id(comm))] > 2:
        return x.clone()
    return plain(comm, x)


@wrong("plain", "an extra message of the size before", told=r"messages")
def size_first(comm, x):
    n, r = comm.size, comm.rank
    if n > 1:
        comm.send(torch.tensor([len(x)]), (r + 1) % n)
        comm.recv((r - 1) % n)
    return plain(comm, x)


@wrong("plain", "star at rank 0", true="through_rank_0")
def star(comm, x):
    n, r = comm.size, comm.rank
    if r:
        comm.send(x, 0)
        return comm.recv(0)
    total = x.clone()
    for i in range(1, n):
        total = total + comm.recv(i)
    for i in range(1, n):
        comm.send(total, i)
    return total


@wrong("plain", "a wrong part at n=2 is no part", true="Mean")
def mean_at_last(comm, x):
    return plain(comm, x) / comm.size


@wrong("plain", "received before sent", true="WaitsFirst")
def recv_first(comm, x):
    n, r = comm.size, comm.rank
    if n == 1:
        return x.clone()
    got = comm.recv((r - 1) % n)
    comm.send(x, (r + 1) % n)
    return x + got


@wrong("plain", "the last rank sends its result once more", told=r"nobody received|messages")
def one_too_many(comm, x):
    out = plain(comm, x)
    if comm.size > 1 and comm.rank == 0:
        comm.send(out[:0], 1)
    return out


@ANSWERS.right
def rest_to_the_last(comm, x):
    """Floor(N / n) each and all the rest in the last part: still within the limit."""
    n = comm.size
    if n == 1:
        return x.clone()
    k = len(x) // n
    return go(comm, x, list(x.split([k] * (n - 1) + [len(x) - k * (n - 1)])))


@ANSWERS.right
def straight(comm, x):
    n, r = comm.size, comm.rank
    parts = x.tensor_split(n)
    others = [i for i in range(n) if i != r]
    for i in others:
        comm.send(parts[i], i)
    mine = parts[r].double()
    for i in others:
        mine = mine + comm.recv(i)
    mine = mine.to(x.dtype)
    for i in others:
        comm.send(mine, i)
    return torch.cat([mine if i == r else comm.recv(i) for i in range(n)]) if n > 1 else x.clone()


@ANSWERS.right
def backwards(comm, x):
    class Turned:
        rank, size = (-comm.rank) % comm.size, comm.size
        send = staticmethod(lambda t, to: comm.send(t, (-to) % comm.size))
        recv = staticmethod(lambda s: comm.recv((-s) % comm.size))

    return plain(Turned, x)


@ANSWERS.right
def padded(comm, x):
    n = comm.size
    k = math.ceil(len(x) / n)
    p = torch.cat([x, x.new_zeros(k * n - len(x))])
    return go(comm, p, list(p.view(n, k)))[: len(x)].clone()


@ANSWERS.right
def packed(comm, x):
    """Two float32 travel in one float64 where it goes: fewer numbers than are enough."""
    if x.dtype != torch.float32:
        return plain(comm, x)

    class Packed:
        rank, size = comm.rank, comm.size
        send = staticmethod(
            lambda t, to: comm.send(t.clone().view(torch.float64) if len(t) % 2 == 0 and len(t) else t, to)
        )
        recv = staticmethod(lambda s: comm.recv(s).view(torch.float32))

    return plain(Packed, x)


@ANSWERS.right
def spread_when_small(comm, x):
    """One number: each tells each, and all add in the order of ranks; all bits alike."""
    n, r = comm.size, comm.rank
    if len(x) > 2:
        return plain(comm, x)
    others = [i for i in range(n) if i != r]
    for i in others:
        comm.send(x, i)
    total = torch.zeros_like(x)
    for i in range(n):
        total += x if i == r else comm.recv(i)
    return total
