"""One order of all samples for an epoch, and each rank's part of it: torch.utils.data.DistributedSampler does the same.

order = a permutation of 0 ... N - 1 drawn from (seed, epoch), cut to k size or lengthened by its own beginning, with
k = floor(N / size) or ceil(N / size); rank r sees order[r], order[r + size], ...
"""

import random

import numpy as np
import torch

from grader.contract import Trusted


def reference(N, size, rank, epoch, seed, drop_last):
    g = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(N, generator=g)
    k = N // size if drop_last else -(-N // size)
    return order.repeat(-(-k * size // N) or 1)[: k * size][rank::size]


TRUSTED = Trusted(reference, budget="an order is drawn, lengthened, cut and dealt out, and each can go wrong by itself")


class Share:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, N, size, rank, epoch, seed, drop_last):
        self.N, self.size, self.rank, self.epoch, self.seed = N, size, rank, epoch, seed
        k = self.length(drop_last)
        return self.mine(self.fitted(self.order(), k), k)

    def length(self, drop_last):
        return self.N // self.size if drop_last else -(-self.N // self.size)

    def drawn_from(self):
        return self.seed + self.epoch

    def generator(self):
        return torch.Generator().manual_seed(self.drawn_from())

    def order(self):
        return torch.randperm(self.N, generator=self.generator())

    def fitted(self, order, k):
        """k size of them."""
        while len(order) < k * self.size:
            order = torch.cat([order, self.padding(order, k * self.size - len(order))])
        return order[: k * self.size]

    def padding(self, order, missing):
        return order[:missing]

    def mine(self, order, k):
        return order[self.rank :: self.size]


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. Do all ranks cut one and the same order? What would make the next epoch "
    "another one? And how long is the last rank's part?"
)
def as_given(N, size, rank, epoch, seed, drop_last):
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed + rank))
    k = N // size if drop_last else -(-N // size)
    return order[rank * k : (rank + 1) * k]


@slip(
    "Each rank draws an order of its own, so that some samples are seen by several ranks and others by none. All ranks "
    "have to draw the same order and cut their parts of it: the rank may have no say in the draw."
)
class SeededByRank(Share):
    def drawn_from(self):
        return self.seed + self.epoch + 1000 * self.rank


@slip("Every epoch has the same order: `epoch` has to go into the seed of the generator, say as seed + epoch.")
class EpochIgnored(Share):
    def drawn_from(self):
        return self.seed


@slip("Different seeds give the same orders: `seed` has to go into the draw, as `epoch` does.")
class SeedIgnored(Share):
    def drawn_from(self):
        return self.epoch


@slip("The tail is lost although drop_last is False: each rank gets N // size indices there, expected ceil(N / size).")
class TailLost(Share):
    def length(self, drop_last):
        return self.N // self.size


@slip(
    "Where size does not divide N, some ranks get one index more than others. They take one step more in the epoch, "
    "and wait for ever for ranks that are done."
)
class Unequal(Share):
    def fitted(self, order, k):
        return order


@slip(
    "The ranks cut one order into blocks, and where size does not divide N the last blocks are shorter, or empty. "
    "Lengthen the order to k size indices before it is cut."
)
class LastBlockShort(Share):
    def fitted(self, order, k):
        return order

    def mine(self, order, k):
        return order[self.rank * k : (self.rank + 1) * k]


@slip("`drop_last` makes no difference: with it each rank gets N // size indices, and the rest is left out.")
class DropLastIgnored(Share):
    def length(self, drop_last):
        return -(-self.N // self.size)


@slip("The order is lengthened by indices of no sample: lengthen it by its own beginning.")
class Beyond(Share):
    def padding(self, order, missing):
        return torch.arange(self.N, self.N + missing)


@slip(
    "One and the same sample fills all that is missing, and comes far more often than others. Lengthen the order by as "
    "many of its first indices as are missing."
)
class OneSampleFills(Share):
    def padding(self, order, missing):
        return order[:1].repeat(missing)


@slip(
    "Where N is smaller than size, some ranks are left without: there the order has to be repeated, several times if "
    "need be. (`order[:missing]` holds N indices at most.)"
)
class OnceLonger(Share):
    def fitted(self, order, k):
        return torch.cat([order, self.padding(order, k * self.size - len(order))])[: k * self.size]

    def padding(self, order, missing):
        return order[: max(missing, 0)]


@slip("Nothing is shuffled: every epoch goes through the samples in the order in which they are stored.")
class NotShuffled(Share):
    def order(self):
        return torch.arange(self.N)


@slip(
    "Each rank shuffles a fixed part of the samples, and never sees the others'. Draw an order of all samples first, "
    "and cut it then."
)
class InsideOfTheBlock(Share):
    def mine(self, order, k):
        fixed = torch.arange(len(order)) % self.N if len(order) > self.N else order.sort().values
        return fixed[self.rank * k : (self.rank + 1) * k][torch.randperm(k, generator=self.generator())]


@slip(
    "The tail is cut off, or lengthened, before anything is shuffled. So it is the same samples in every epoch that "
    "are left out, or that come once more. Shuffle first."
)
class TailFirst(Share):
    def fitted(self, order, k):
        fixed = super().fitted(torch.arange(self.N), k)
        return fixed[torch.randperm(len(fixed), generator=self.generator())]


@slip(
    "It is `torch.manual_seed` that is called: the seed that somebody else has set is lost, and everything "
    "else in this process draws other numbers. Use a generator of your own."
)
class GlobalSeed(Share):
    def order(self):
        torch.manual_seed(self.drawn_from())
        return torch.randperm(self.N)


@slip(
    "Only the place where an epoch begins is drawn, and then it goes through the samples as they are stored. Every "
    "order has to be as likely as any other: torch.randperm."
)
class Rotated(Share):
    def order(self):
        start = int(torch.randint(self.N, (), generator=self.generator()))
        return torch.arange(self.N).roll(-start)


@slip(
    "Each place is swapped with any place, and so some orders are likelier than others: N^N equally likely draws are "
    "not the same number for each of N! orders. Swap place i with one from i on, or call torch.randperm."
)
class AnyPlace(Share):
    def order(self):
        others = torch.randint(self.N, (self.N,), generator=self.generator()).tolist()
        order = list(range(self.N))
        for i, other in enumerate(others):
            order[i], order[other] = order[other], order[i]
        return torch.tensor(order)


@TRUSTED.alternative
def blocks_by_numpy(N, size, rank, epoch, seed, drop_last):
    order = np.random.default_rng([seed, epoch]).permutation(N)
    k = N // size if drop_last else (N + size - 1) // size
    return torch.from_numpy(np.resize(order, k * size).reshape(size, k)[rank].astype(np.int64))


@TRUSTED.alternative
def by_places(N, size, rank, epoch, seed, drop_last):
    """The places of this rank, and which samples stand there."""
    order = list(range(N))
    random.Random(seed * 1_000_003 + epoch).shuffle(order)
    steps = range((N - (N % size if drop_last else 0) + size - 1) // size)
    return torch.tensor([order[(rank + step * size) % N] for step in steps], dtype=torch.int32)


@TRUSTED.alternative
def keys_sorted(N, size, rank, epoch, seed, drop_last):
    """A random key for each sample."""
    keys = torch.rand(N, dtype=torch.float64, generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))
    order, rest = keys.argsort(), N % size
    if rest:
        order = order[: N - rest] if drop_last else order[torch.arange(N + size - rest) % N]
    return order.chunk(size)[rank] if len(order) else order
