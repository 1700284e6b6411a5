"""Answers to distributed.rank_indices."""

import math
import random

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.rank_indices")
wrong = ANSWERS.wrong


def seeded(N, s):
    return torch.randperm(N, generator=torch.Generator().manual_seed(s))


def usual(N, seed, epoch):
    return seeded(N, seed * 1_000_003 + epoch)


def cut(order, N, size, rank, drop_last):
    k = N // size if drop_last else -(-N // size)
    if k * size > N:
        order = order.repeat(-(-k * size // N))
    return order[: k * size][rank::size]


def made(draw):
    def rank_indices(N, size, rank, epoch, seed, drop_last):
        return cut(draw(N, seed, epoch), N, size, rank, drop_last)

    return rank_indices


def bad(kind, says, **k):
    def register(draw):
        f = made(draw)
        f.__name__ = draw.__name__
        wrong(kind, says, **k)(f)
        return draw

    return register


@bad("surroundings", "hash of a text: other processes have another salt", told=r"process")
def salted(N, seed, epoch):
    return seeded(N, hash(f"{seed}-{epoch}") % 2**63)


@bad("surroundings", "Python's global numbers are seeded", told=r"random")
def python_random_2(N, seed, epoch):
    random.seed(seed * 1_000_003 + epoch)
    order = list(range(N))
    random.shuffle(order)
    return torch.tensor(order, dtype=torch.long)


@bad("surroundings", "NumPy's global numbers are seeded", told=r"random")
def numpy_random_2(N, seed, epoch):
    np.random.seed((seed + epoch) % 2**32)  # noqa: NPY002
    return torch.from_numpy(np.random.permutation(N))  # noqa: NPY002


@bad("surroundings", "torch's global numbers are seeded", true="GlobalSeed")
def torch_random(N, seed, epoch):
    torch.manual_seed(seed + epoch)
    return torch.randperm(N)


@bad("large", "epochs begin again at 1024", told=r"once more")
def epochs_1024(N, seed, epoch):
    return seeded(N, seed * 1024 + epoch % 1024)


@bad("large", "65536 seeds", told=r"two seeds")
def seeds_16(N, seed, epoch):
    return seeded(N, (seed % 65536) * 1_000_003 + epoch)


@bad("large", "65536 orders in all", told=r"two seeds|once more")
def orders_16(N, seed, epoch):
    return seeded(N, (seed * 1_000_003 + epoch) % 65536)


@bad("large", "drawn from a buffer of 4096: the first sample is never late", told=r"likely|half")
def buffered(N, seed, epoch):
    g = random.Random(seed * 1_000_003 + epoch)
    buffer, out = [], []
    for i in range(N):
        if len(buffer) < 4096:
            buffer.append(i)
            continue
        j = g.randrange(len(buffer))
        out.append(buffer[j])
        buffer[j] = i
    g.shuffle(buffer)
    return torch.tensor(out + buffer, dtype=torch.long)


@bad("dependence", "the odd epoch is the even one backwards", told=r"meet at one rank")
def backwards_2(N, seed, epoch):
    order = usual(N, seed, epoch // 2)
    return order.flip(0) if epoch % 2 else order


@bad("dependence", "Sattolo: nothing stays at its place", told=r"same place")
def sattolo_2(N, seed, epoch):
    g = random.Random(seed * 1_000_003 + epoch)
    order = list(range(N))
    for i in range(N - 1, 0, -1):
        j = g.randrange(i)
        order[i], order[j] = order[j], order[i]
    return torch.tensor(order, dtype=torch.long)


@bad("dependence", "each seed's epochs are one order, its names changed by the same order over and over", told="")
def powers_2(N, seed, epoch):
    step, order = seeded(N, seed), seeded(N, seed + 1)
    for _ in range(epoch % 60):
        order = step[order]
    return order


@bad("dependence", "halves stay halves", told=r"")
def halves(N, seed, epoch):
    g = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    h = N // 2
    a, b = torch.randperm(h, generator=g), h + torch.randperm(N - h, generator=g)
    return torch.cat([a, b] if torch.rand((), generator=g) < 0.5 else [b, a])


@bad("plain", "the seed is seed * (epoch + 1): of seed 0 all epochs are one", told="earlier epoch of the same seed")
def product(N, seed, epoch):
    return seeded(N, seed * (epoch + 1))


@wrong("named", "lengthened once", true="OnceLonger")
def by_its_end_once(N, size, rank, epoch, seed, drop_last):
    order, k = usual(N, seed, epoch), N // size if drop_last else -(-N // size)
    order = torch.cat([order, order[: k * size - N]]) if not drop_last else order
    return order[rank * k : (rank + 1) * k]


@wrong("onward", "drop_last leaves out before it shuffles", told=r"same samples")
def drops_first(N, size, rank, epoch, seed, drop_last):
    M = N // size * size if drop_last else N
    return cut(usual(M, seed, epoch), N, size, rank, drop_last)


@ANSWERS.right
def by_numpy(N, size, rank, epoch, seed, drop_last):
    order = np.random.default_rng([seed, epoch]).permutation(N)
    k = N // size if drop_last else math.ceil(N / size)
    return torch.from_numpy(np.resize(order, k * size).reshape(size, k)[rank].astype(np.int32))


@ANSWERS.right
def forked_2(N, size, rank, epoch, seed, drop_last):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed ^ epoch)
        order = torch.randperm(N)
    return cut(order, N, size, rank, drop_last)


@ANSWERS.right
def by_keys(N, size, rank, epoch, seed, drop_last):
    order = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + epoch)).argsort()
    k = N // size if drop_last else -(-N // size)
    return order[torch.arange(rank * k, rank * k + k) % N]


@ANSWERS.right
def by_sample(N, size, rank, epoch, seed, drop_last):
    g = random.Random(f"{seed}/{epoch}")
    order, k = g.sample(range(N), N), N // size if drop_last else -(-N // size)
    return torch.tensor([order[(rank + i * size) % N] for i in range(k)], dtype=torch.long)
