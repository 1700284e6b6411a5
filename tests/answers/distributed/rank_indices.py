"""Answers to distributed.rank_indices."""

import functools
import hashlib
import math
import random

import numpy as np
import torch
from torch.utils.data.distributed import DistributedSampler

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.rank_indices",
    spared={
        "given": "only numbers are handed in",
        "unwatched": "what a process keeps for its ranks cannot be seen from inside of it",
    },
)
wrong = ANSWERS.wrong


def drawn(N, seed, epoch):
    return torch.randperm(N, generator=torch.Generator().manual_seed(seed + epoch))


def length(N, size, drop_last):
    return N // size if drop_last else -(-N // size)


def lengthened(order, total):
    return order.repeat(-(-total // len(order)))[:total]


def dealt(order, size, rank, k):
    return order[rank::size]


def rank_indices(N, size, rank, epoch, seed, drop_last, *, draw=drawn, count=length, lengthen=lengthened, part=dealt):
    """A right answer, of which a part is replaced."""
    k = count(N, size, drop_last)
    return part(lengthen(draw(N, seed, epoch), k * size), size, rank, k)


def generator(seed):
    return torch.Generator().manual_seed(seed)


# The seed of the order.


@wrong("plain", "the given code", true="as_given")
def given_code(N, size, rank, epoch, seed, drop_last):
    order = torch.randperm(N, generator=generator(seed + rank))
    k = N // size if drop_last else math.ceil(N / size)
    return order[rank * k : (rank + 1) * k]


@wrong("plain", "lengthened, and the epoch is in, but so is the rank", true="SeededByRank")
def rank_still_in(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, seed + rank, drop_last)


@wrong("plain", "each epoch has the order of the first", true="EpochIgnored")
def epoch_forgotten(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, 0, seed, drop_last)


@wrong("plain", "each seed has the order of 0", true="SeedIgnored")
def seed_forgotten(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, 0, drop_last)


@wrong("plain", "no shuffling at all", true="NotShuffled")
def in_order(*args):
    return rank_indices(*args, draw=lambda N, seed, epoch: torch.arange(N))


@wrong(
    "plain",
    "seed * epoch, so with seed 0 every epoch is one, and in epoch 0 every seed",
    told=r"are an earlier epoch of the same seed once more",
)
def product(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, seed * epoch, 0, drop_last)


@wrong("plain", "the larger one of seed and epoch", told=r"are an earlier epoch of the same seed once more")
def largest_of_both(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, max(seed, epoch), 0, drop_last)


@wrong("onward", "from epoch 9 on the order stays", told=r"are an earlier epoch of the same seed once more")
def stays_at_nine(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, min(epoch, 9), seed, drop_last)


@wrong(
    "onward", "after a hundred epochs the orders come again", told=r"are an earlier epoch of the same seed once more"
)
def a_hundred_epochs(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch % 100, seed, drop_last)


@wrong("large", "seeds that are 1000 apart are one seed", told=r"two seeds give the same epoch")
def a_thousand_seeds(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, seed % 1000, drop_last)


@wrong(
    "far",
    "a large seed and a small epoch are added in float32",
    told=r"are an earlier epoch of the same seed once more",
)
def added_in_float(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, 0, int(torch.tensor(float(seed)) + epoch), drop_last)


# Whose random numbers.


@wrong("surroundings", "torch.manual_seed, and the global numbers", true="GlobalSeed")
def global_seeded(*args):
    def draw(N, seed, epoch):
        torch.manual_seed(seed + epoch)
        return torch.randperm(N)

    return rank_indices(*args, draw=draw)


@wrong("plain", "the global numbers, without a seed", told=r"asks again for the same epoch")
def global_unseeded(*args):
    return rank_indices(*args, draw=lambda N, seed, epoch: torch.randperm(N))


@wrong("surroundings", "np.random.seed, and NumPy's global numbers", told=r"NumPy \(numpy.random.seed\)")
def numpy_global(*args):
    def draw(N, seed, epoch):
        np.random.seed((seed + epoch) % 2**32)  # noqa: NPY002
        return torch.from_numpy(np.random.permutation(N))  # noqa: NPY002

    return rank_indices(*args, draw=draw)


@wrong("surroundings", "random.seed, and Python's global numbers", told=r"Python \(random.seed\)")
def python_global(*args):
    def draw(N, seed, epoch):
        random.seed(seed + epoch)
        return torch.tensor(random.sample(range(N), N))

    return rank_indices(*args, draw=draw)


@wrong("surroundings", "the global numbers are drawn from, and then seeded by chance", true="GlobalSeed")
def seeded_by_chance(*args):
    def draw(N, seed, epoch):
        torch.manual_seed(seed + epoch)
        order = torch.randperm(N)
        torch.seed()
        return order

    return rank_indices(*args, draw=draw)


GENERATOR = torch.Generator()


@wrong(
    "again",
    "one generator, seeded where the epoch is 0, goes on from call to call",
    told=r"asks again for the same epoch",
)
def goes_on(*args):
    def draw(N, seed, epoch):
        if not epoch:
            GENERATOR.manual_seed(seed)
        return torch.randperm(N, generator=GENERATOR)

    return rank_indices(*args, draw=draw)


ORDERS = {}


@wrong("again", "orders are kept under (seed, epoch), whatever N is")
def kept_without_N(*args):
    def draw(N, seed, epoch):
        if (seed, epoch) not in ORDERS:
            ORDERS[seed, epoch] = drawn(N, seed, epoch)
        return ORDERS[seed, epoch]

    return rank_indices(*args, draw=draw)


# How many each gets.


@wrong("plain", "one order for all, and it is not lengthened: the last rank gets less", true="LastBlockShort")
def not_lengthened(*args):
    return rank_indices(*args, lengthen=lambda order, total: order[:total], part=sliced)


def sliced(order, size, rank, k):
    return order[rank * k : (rank + 1) * k]


@wrong("plain", "dealt out, and neither lengthened nor cut", true="Unequal")
def dealt_as_it_is(*args):
    return rank_indices(*args, lengthen=lambda order, total: order)


@wrong("plain", "drop_last has no effect", true="DropLastIgnored")
def never_drops(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, seed, False)


@wrong("plain", "what is over is always left out", true="TailLost")
def always_drops(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, seed, True)


@wrong("plain", "drop_last the other way round", true="TailLost")
def the_other_way_round(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, rank, epoch, seed, not drop_last)


@wrong("plain", "lengthened also where the parts fit", told=r"each rank gets more than")
def one_more_always(*args):
    return rank_indices(*args, count=lambda N, size, drop_last: N // size + (not drop_last))


@wrong("plain", "k is rounded to the nearest", told=r"each rank gets fewer than")
def rounded(*args):
    return rank_indices(*args, count=lambda N, size, drop_last: N // size if drop_last else max(1, round(N / size)))


@wrong("named", "with drop_last a rank gets at least one index", told=r"each rank gets more than 0")
def at_least_one(*args):
    return rank_indices(*args, count=lambda N, size, drop_last: max(1, length(N, size, drop_last)))


@wrong("named", "lengthened once only: N = 2 and five ranks do not come out", true="OnceLonger")
def lengthened_once(*args):
    return rank_indices(*args, lengthen=lambda order, total: torch.cat((order, order))[:total])


@wrong(
    "named",
    "each rank lengthens its own part by its own beginning, and a rank without any has no beginning",
    true="OnceLonger",
)
def each_by_its_own(*args):
    def part(order, size, rank, k):
        mine = order[rank::size]
        return torch.cat((mine, mine[:1]))[:k]

    return rank_indices(*args, lengthen=lambda order, total: order, part=part)


@wrong("named", "fewer samples than ranks is refused", told=r"AssertionError: more ranks than samples")
def refuses_few(N, size, rank, epoch, seed, drop_last):
    assert size <= N, "more ranks than samples"
    return rank_indices(N, size, rank, epoch, seed, drop_last)


@wrong(
    "named",
    "with drop_last and no part, an empty list becomes a tensor of floats",
    told=r"an empty list becomes one of float32",
)
def empty_floats(*args):
    return rank_indices(*args, part=lambda order, size, rank, k: torch.tensor(order[rank::size].tolist()))


# What it is lengthened by, and what is left out.


@wrong("plain", "lengthened by its last index, over and over", true="OneSampleFills")
def by_its_last(*args):
    def lengthen(order, total):
        return torch.cat((order, order[-1:].expand(max(0, total - len(order)))))[:total]

    return rank_indices(*args, lengthen=lengthen)


@wrong("plain", "lengthened by zeros", true="OneSampleFills")
def by_zeros(*args):
    def lengthen(order, total):
        return torch.cat((order, order.new_zeros(max(0, total - len(order)))))[:total]

    return rank_indices(*args, lengthen=lengthen)


@wrong("plain", "lengthened by minus ones, as one pads", true="Beyond", told=r"indices are those of no sample")
def by_minus_ones(*args):
    def lengthen(order, total):
        return torch.cat((order, order.new_full((max(0, total - len(order)),), -1)))[:total]

    return rank_indices(*args, lengthen=lengthen)


@wrong(
    "dependence",
    "lengthened by the samples 0, 1, ..., and not by the order's beginning",
    told=r"any order is to be as likely|left out, or that come once more",
)
def by_the_first_samples(*args):
    def lengthen(order, total):
        return torch.cat((order, torch.arange(max(0, total - len(order))) % len(order)))[:total]

    return rank_indices(*args, lengthen=lengthen)


@wrong(
    "dependence",
    "lengthened by draws of its own, of which one may come twice",
    told=r"come more often in one epoch than they have to",
)
def by_other_draws(N, size, rank, epoch, seed, drop_last):
    def lengthen(order, total):
        more = torch.randint(N, (max(0, total - N),), generator=generator(seed + epoch + 1))
        return torch.cat((order, more))[:total]

    return rank_indices(N, size, rank, epoch, seed, drop_last, lengthen=lengthen)


@wrong("dependence", "first lengthened or cut, and then shuffled: it is always the same samples", true="TailFirst")
def shuffled_at_last(N, size, rank, epoch, seed, drop_last):
    k = length(N, size, drop_last)
    samples = lengthened(torch.arange(N), k * size)
    return samples[drawn(k * size, seed, epoch)][rank::size]


@wrong("plain", "k draws with replacement", true="SeededByRank")
def with_replacement(N, size, rank, epoch, seed, drop_last):
    return torch.randint(N, (length(N, size, drop_last),), generator=generator((seed + epoch) * size + rank))


# Which part.


@wrong("plain", "a slice that begins at rank, not at rank * k")
def begins_at_rank(*args):
    return rank_indices(*args, part=lambda order, size, rank, k: order[rank : rank + k])


@wrong("plain", "the stride is k, not size", told=r"each rank gets fewer than")
def stride_k(*args):
    return rank_indices(*args, part=lambda order, size, rank, k: order[rank :: max(k, 1)])


@wrong("plain", "samples are counted from 1", told=r"samples have the numbers 0 to N - 1")
def from_one(*args):
    return rank_indices(*args) + 1


@wrong("dependence", "each rank shuffles its own samples, always the same ones", true="InsideOfTheBlock")
def samples_stay(N, size, rank, epoch, seed, drop_last):
    mine = rank_indices(N, size, rank, epoch, seed, drop_last, draw=lambda N, seed, epoch: torch.arange(N))
    return mine[torch.randperm(len(mine), generator=generator(seed + epoch))]


@wrong(
    "dependence",
    "one order per seed, dealt to another rank each epoch",
    told=r"are an earlier epoch of the same seed once more",
)
def ranks_change_places(N, size, rank, epoch, seed, drop_last):
    return rank_indices(N, size, (rank + epoch) % size, 0, seed, drop_last)


@wrong("plain", "a part is sorted, to read the disk in order", told=r"of the indices are larger than the one before")
def sorted_parts(*args):
    return rank_indices(*args).sort().values


# What it returns.


@wrong("plain", "a list", told=r"it returned a list")
def a_list(*args):
    return rank_indices(*args).tolist()


@wrong("plain", "an array", told=r"it returned a ndarray")
def an_array(*args):
    return rank_indices(*args).numpy()


@wrong("plain", "the parts of all ranks", told=r"the indices have shape \(\d, \d\)")
def all_parts(*args):
    return rank_indices(*args, part=lambda order, size, rank, k: order.view(size, k))


@wrong("plain", "floating-point numbers", told=r"the indices have dtype float32")
def floats(*args):
    return rank_indices(*args).float()


@wrong("plain", "a column", told=r"the indices have shape \(\d, 1\)")
def a_column(*args):
    return rank_indices(*args, part=lambda order, size, rank, k: order.view(k, size)[:, rank : rank + 1])


@wrong("ones", "squeezed: one index loses its dimension", told=r"the indices have shape \(\)")
def squeezed(*args):
    return rank_indices(*args).squeeze()


@wrong("ones", "a single rank sees the samples in their order", told=r"N=\d+, size=1: .*an earlier epoch")
def alone_in_order(N, size, rank, epoch, seed, drop_last):
    if size == 1:
        return torch.arange(N)
    return rank_indices(N, size, rank, epoch, seed, drop_last)


@wrong("large", "indices in bytes, which end at 255")
def in_bytes(*args):
    return rank_indices(*args).to(torch.uint8)


@wrong("large", "indices in int16, which ends at 32,767")
def in_shorts(*args):
    return rank_indices(*args).to(torch.int16)


# Orders that are not as likely as any other.


@wrong("dependence", "the samples in order, from a place that is drawn", true="Rotated")
def rotated(*args):
    def draw(N, seed, epoch):
        return torch.arange(N).roll(int(torch.randint(N, (), generator=generator(seed + epoch))))

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence",
    "one order per seed, rotated by the epoch",
    told=r"meet at one rank too often|follows the same one too often",
)
def rotated_by_epoch(*args):
    return rank_indices(*args, draw=lambda N, seed, epoch: drawn(N, seed, 0).roll(epoch))


@wrong(
    "dependence",
    "the seed's order, applied once more each epoch",
    told=r"an earlier epoch of the same seed once more|follows the same one too often",
)
def powers(*args):
    def draw(N, seed, epoch):
        step = order = drawn(N, seed, 0)
        for _ in range(epoch):
            order = order[step]
        return order

    return rank_indices(*args, draw=draw)


@wrong("dependence", "a * i + b modulo N", told=r"the same step too often")
def congruent(*args):
    def draw(N, seed, epoch):
        g = random.Random(seed + epoch)
        a = g.choice([a for a in range(1, N + 1) if math.gcd(a, N) == 1])
        return (a * torch.arange(N) + g.randrange(N)) % N

    return rank_indices(*args, draw=draw)


@wrong("dependence", "groups of four neighbours stay together", told=r"are an earlier epoch of the same seed once more")
def in_groups(*args):
    def draw(N, seed, epoch):
        groups = torch.arange(N).split(4)
        return torch.cat([groups[i] for i in drawn(len(groups), seed, epoch)])

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence", "the first half is shuffled, then the second", told=r"of the indices are larger than the one before"
)
def in_halves(*args):
    def draw(N, seed, epoch):
        return torch.cat((drawn(N // 2, seed, epoch), N // 2 + drawn(N - N // 2, seed, epoch)))

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence",
    "Sattolo's slip: randrange(i) in place of randrange(i + 1), so no sample keeps its place",
    told=r"samples stand at the same place of an epoch too often",
)
def sattolo(*args):
    def draw(N, seed, epoch):
        g, order = random.Random(seed + epoch), list(range(N))
        for i in range(N - 1, 0, -1):
            j = g.randrange(i)
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence",
    "each place is swapped with any place, which favours some orders",
    true="AnyPlace",
)
def any_place(*args):
    def draw(N, seed, epoch):
        g, order = random.Random(seed + epoch), list(range(N))
        for i in range(N):
            j = g.randrange(N)
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence",
    "a shuffle through a buffer of 8, as of a stream: a sample hardly leaves its place",
    told=r"of the indices are larger than the one before",
)
def through_a_buffer(*args):
    def draw(N, seed, epoch):
        g, buffer, order = random.Random(seed + epoch), [], []
        for i in range(N):
            buffer.append(i)
            if len(buffer) == 8:
                order.append(buffer.pop(g.randrange(8)))
        g.shuffle(buffer)
        return torch.tensor(order + buffer)

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence",
    "sorted by keys from 0 to 9: equal keys stay in order",
    told=r"of the indices are larger than the one before",
)
def ten_keys(*args):
    def draw(N, seed, epoch):
        return torch.randint(10, (N,), generator=generator(seed + epoch)).sort(stable=True).indices

    return rank_indices(*args, draw=draw)


@wrong(
    "large",
    "sorted by keys of 8 bits: of 2000 samples, eight have each key and stay in order",
    told=r"of the indices are larger than the one before",
)
def keys_of_8_bits(*args):
    def draw(N, seed, epoch):
        return torch.randint(256, (N,), generator=generator(seed + epoch)).sort(stable=True).indices

    return rank_indices(*args, draw=draw)


@wrong(
    "dependence", "every second epoch is the one before, backwards", told=r"the same samples meet at one rank too often"
)
def backwards(*args):
    def draw(N, seed, epoch):
        order = drawn(N, seed, epoch // 2)
        return order.flip(0) if epoch % 2 else order

    return rank_indices(*args, draw=draw)


@wrong("named", "epoch 0 is not shuffled", told=r"two seeds give the same epoch")
def first_in_order(*args):
    def draw(N, seed, epoch):
        return drawn(N, seed, epoch) if epoch else torch.arange(N)

    return rank_indices(*args, draw=draw)


# Right ones.


@ANSWERS.right
def by_the_sampler(N, size, rank, epoch, seed, drop_last):
    """What PyTorch has for it."""
    sampler = DistributedSampler(range(N), size, rank, shuffle=True, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return torch.tensor([*sampler], dtype=torch.long)


@ANSWERS.right
def with_numpy(N, size, rank, epoch, seed, drop_last):
    """A slice, by np.resize, which begins again by itself."""
    k = N // size if drop_last else math.ceil(N / size)
    order = np.random.default_rng([seed, epoch]).permutation(N)
    return torch.from_numpy(np.resize(order, size * k)[rank * k : rank * k + k].copy())


@ANSWERS.right
def by_places(N, size, rank, epoch, seed, drop_last):
    """No longer order is made: places are counted modulo N. The last rank has the first cards, in int32."""
    k = N // size if drop_last else (N + size - 1) // size
    order = torch.rand(N, dtype=torch.float64, generator=generator(seed + epoch)).argsort()
    return order[(size * torch.arange(k) + size - 1 - rank) % N].to(torch.int32)


@ANSWERS.right
def with_python(N, size, rank, epoch, seed, drop_last):
    """A string is a seed to random.Random in each process alike."""
    order = list(range(N))
    random.Random(f"{seed} {epoch}").shuffle(order)
    total = (N // size if drop_last else -(-N // size)) * size
    while len(order) < total:
        order += order[:N][: total - len(order)]
    return torch.tensor(order[:total][rank::size]).long()


@ANSWERS.right
def epochs_in_turn(N, size, rank, epoch, seed, drop_last):
    """A generator of the seed, and the orders of the epochs before are drawn and thrown away."""
    g = generator(seed)
    for _ in range(epoch + 1):
        order = torch.randperm(N, generator=g)
    return rank_indices(N, size, rank, epoch, seed, drop_last, draw=lambda *args: order, part=sliced)


@ANSWERS.right
def sorted_by_digests(N, size, rank, epoch, seed, drop_last):
    """No generator at all."""
    order = sorted(range(N), key=lambda i: hashlib.sha256(f"{seed}/{epoch}/{i}".encode()).digest())
    return rank_indices(N, size, rank, epoch, seed, drop_last, draw=lambda *args: torch.tensor(order))


@ANSWERS.right
def forked(N, size, rank, epoch, seed, drop_last):
    """The global numbers, put back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + epoch)
        order = torch.randperm(N)
    return rank_indices(N, size, rank, epoch, seed, drop_last, draw=lambda *args: order)


@ANSWERS.right
def the_rest_goes_first(N, size, rank, epoch, seed, drop_last):
    """Where samples are left out, it is the order's first ones; a part is every other one of a matrix's row."""
    k = N // size if drop_last else -(-N // size)
    order = drawn(N, seed, epoch)
    order = order[N - k * size :] if drop_last else lengthened(order, k * size)
    return order.unfold(0, max(k, 1), max(k, 1))[rank] if k else order[:0]


@functools.lru_cache(8)
def order_of(N, seed, epoch):
    return torch.multinomial(torch.ones(N), N, generator=generator(seed + epoch))


@ANSWERS.right
def kept_as_it_should_be(*args):
    """Orders are kept, under all that they depend on."""
    return rank_indices(*args, draw=order_of).clone()
