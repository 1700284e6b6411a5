"""|g| = sqrt(sum of the squares of all ranks' shards + that of what is replicated, once).

A norm of a shard is none of the model: it is too small by about sqrt(n), and what is clipped by it depends on the rank
(pytorch issue 170862, torchtitan issue 596).
"""

import torch

from grader.contract import Trusted


def reference(comm, shards, replicated):
    squares = torch.zeros((), dtype=torch.float64)
    for x in [*shards, *(replicated if comm.rank == 0 else [])]:
        squares = squares + x.double().square().sum()
    return comm.all_reduce(squares).sqrt()


TRUSTED = Trusted(reference)


class Norm:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, comm, shards, replicated):
        self.comm = comm
        return self.root(self.everybody(self.own(shards), self.once(replicated)))

    def own(self, shards):
        return self.added(shards)

    def once(self, replicated):
        return self.added(replicated)

    def added(self, tensors):
        return sum((self.squares(x) for x in tensors), torch.zeros((), dtype=torch.float64))

    def squares(self, x):
        return (x.double() ** 2).sum()

    def everybody(self, own, once):
        return self.comm.all_reduce(own) + once

    def root(self, x):
        return x.sqrt()


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. Are norms of parts added, or their squares? On how many ranks is each "
    "number counted? And what does a rank give that holds nothing?"
)
def as_given(comm, shards, replicated):
    squares = sum((x.double() ** 2).sum() for x in [*shards, *replicated])
    return comm.all_reduce(squares.sqrt())


@slip("What is replicated is counted once for each rank: all of them hold the same numbers, so it belongs in once.")
class CountedOnEachRank(Norm):
    def everybody(self, own, once):
        return self.comm.all_reduce(own + once)


@slip("The root is taken before the ranks are summed: norms of parts do not add up, their squares do.")
class RootFirst(Norm):
    def everybody(self, own, once):
        share = own + (once if self.comm.rank == 0 else 0)
        return self.comm.all_reduce(share.sqrt())

    def root(self, x):
        return x


@slip("The norms of all tensors are added up. Add their squares, and take the root of the whole at the end.")
class NormsAdded(Norm):
    def squares(self, x):
        return x.double().norm()

    def root(self, x):
        return x


@slip(
    "Each rank returns the norm of what it holds itself, so all of them clip by another factor. What the others hold "
    "has to come in by an all-reduce."
)
class Local(Norm):
    def everybody(self, own, once):
        return own + once


@slip("What is replicated is left out: it belongs to the model's gradient as the shards do, once.")
class ReplicatedLeftOut(Norm):
    def once(self, replicated):
        return self.added([])


@slip("The root is missing: what is returned is the square of the norm.")
class Squared(Norm):
    def root(self, x):
        return x


@slip(
    "The ranks' squares are averaged, as if the ranks held the same numbers. They hold different ones, which make up "
    "one long vector: add them."
)
class MeanOfRanks(Norm):
    def everybody(self, own, once):
        return self.comm.all_reduce(own) / self.comm.size + once


@slip("The largest of the ranks' norms is returned: the norm of all is longer than that of any part.")
class Largest(Norm):
    def everybody(self, own, once):
        return self.comm.all_reduce(own + once, op="max")


@slip(
    "A rank that holds no shards leaves before the all-reduce, and the others wait for it for ever. It has nothing "
    "to add, and has to take part."
)
class LeavesEarly(Norm):
    def __call__(self, comm, shards, replicated):
        if not shards:
            return self.root(self.once(replicated))
        return super().__call__(comm, shards, replicated)


@slip(
    "There is an all-reduce for every shard. Ranks hold different numbers of them, and so get out of step. Add up "
    "what the rank holds, and send one number."
)
class ShardByShard(Norm):
    def own(self, shards):
        return sum((self.comm.all_reduce(self.squares(x)) for x in shards), torch.zeros((), dtype=torch.float64))

    def everybody(self, own, once):
        return own + once


@slip(
    "All shards are gathered on every rank. The whole gradient travels, and one number is enough: a rank can square "
    "and add what it holds itself."
)
class Gathered(Norm):
    def own(self, shards):
        flat = torch.cat([torch.zeros(0, dtype=torch.float64), *(x.double().flatten() for x in shards)])
        longest = int(self.comm.all_reduce(torch.tensor(len(flat)), op="max"))
        return self.squares(self.comm.all_gather(torch.nn.functional.pad(flat, (0, longest - len(flat)))))

    def everybody(self, own, once):
        return own + once


@slip(
    "Squares are made, added or sent in float32, in which the square of 1e25 is infinite. Go over to float64 before "
    "you square, and before `norm` does, and stay there."
)
class SquaredInFloat32(Norm):
    def squares(self, x):
        return (x**2).sum().double()


@slip(
    "A rank that holds nothing has no tensor to begin with, and an empty list cannot be put together: begin the sum "
    "with a zero of float64."
)
class NothingBreaks(Norm):
    def own(self, shards):
        return torch.stack([self.squares(x) for x in shards]).sum()


@TRUSTED.alternative
def a_share_of_the_replicated(comm, shards, replicated):
    """Every rank takes the n-th part of what all of them hold; one number of shape (1)."""
    mine = [torch.linalg.vector_norm(x, dtype=torch.float64) for x in shards]
    ours = [torch.linalg.vector_norm(x, dtype=torch.float64) / comm.size**0.5 for x in replicated]
    norm = torch.tensor([float(x) for x in mine + ours], dtype=torch.float64).norm()
    return comm.all_reduce((norm**2)[None])[0].sqrt()


@TRUSTED.alternative
def in_plain_numbers(comm, shards, replicated):
    total = 0.0
    for x in shards:
        total += x.flatten().double().dot(x.flatten().double()).item()
    total = comm.all_reduce(torch.tensor(total, dtype=torch.float64)).item()
    total += sum(v * v for x in replicated for v in x.double().flatten().tolist())
    return torch.tensor(total**0.5, dtype=torch.float64)


@TRUSTED.alternative
def one_long_vector(comm, shards, replicated):
    """Rank 0 puts what is replicated behind its shards; each rank's norm is squared again for the way."""
    held = shards + replicated if comm.rank == 0 else shards
    flat = torch.cat([x.reshape(-1) for x in held]).double() if held else torch.zeros(1, dtype=torch.float64)
    return torch.linalg.vector_norm(comm.all_reduce(flat.norm() ** 2) ** 0.5)
