"""Answers to distributed.global_norm."""

import math

import numpy as np
import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.global_norm", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong

ZERO = torch.zeros((), dtype=torch.float64)


def square(x):
    return x.double().square().sum()


def squares(tensors, square=square):
    return sum((square(x) for x in tensors), ZERO.clone())


def norm_of(comm, shards, replicated, *, square=square, reduce=None, add=lambda comm, r: r, end=torch.sqrt):
    """A right answer, of which a part is replaced."""
    mine = squares(shards, square)
    total = reduce(comm, mine) if reduce else comm.all_reduce(mine)
    return end(total + add(comm, squares(replicated, square)))


@wrong("plain", "the given code", true="as_given")
def given_norm(comm, shards, replicated):
    squares = sum((x.double() ** 2).sum() for x in [*shards, *replicated])
    return comm.all_reduce(squares.sqrt())


@wrong(
    "plain", "half mended: the root comes last, and what is replicated counts on every rank", true="CountedOnEachRank"
)
def root_last_alone(comm, shards, replicated):
    return comm.all_reduce(squares([*shards, *replicated])).sqrt()


@wrong("plain", "half mended: what is replicated counts once, and norms are added")
def norms_added(comm, shards, replicated):
    return comm.all_reduce(squares(shards).sqrt()) + squares(replicated).sqrt()


@wrong("plain", "half mended: replicated once, norms of shards are added, and the root of squares is taken then")
def shard_norms_added(comm, shards, replicated):
    return (comm.all_reduce(squares(shards).sqrt()) ** 2 + squares(replicated)).sqrt()


@wrong("plain", "no message: the rank's own norm", true="Local")
def own_norm(comm, shards, replicated):
    return squares([*shards, *replicated]).sqrt()


@wrong("plain", "what is replicated does not count", true="ReplicatedLeftOut")
def shards_alone(comm, shards, replicated):
    return norm_of(comm, shards, replicated, add=lambda comm, r: 0)


@wrong(
    "plain",
    "what is replicated counts on rank 0 alone, after the all-reduce",
    told="other ranks' norms are not rank 0's",
)
def rank_0_after(comm, shards, replicated):
    return norm_of(comm, shards, replicated, add=lambda comm, r: r * (comm.rank == 0))


@wrong("plain", "what is replicated is divided by n, and added after the all-reduce")
def divided_after(comm, shards, replicated):
    return norm_of(comm, shards, replicated, add=lambda comm, r: r / comm.size)


@wrong("plain", "the maximum over ranks", true="Largest")
def largest_rank(comm, shards, replicated):
    return norm_of(comm, shards, replicated, reduce=lambda comm, x: comm.all_reduce(x, op="max"))


@wrong("plain", "the mean over ranks", true="MeanOfRanks")
def mean_of_ranks(comm, shards, replicated):
    return norm_of(comm, shards, replicated, reduce=lambda comm, x: comm.all_reduce(x) / comm.size)


@wrong("plain", "no root", true="Squared")
def squared(comm, shards, replicated):
    return norm_of(comm, shards, replicated, end=lambda x: x)


@wrong("plain", "absolute values are added")
def ones_norm(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.double().abs().sum(), end=lambda x: x)


@wrong("plain", "the result is a Python number", told="returned a float, expected the tensor")
def a_number(comm, shards, replicated):
    return norm_of(comm, shards, replicated).item()


@wrong("plain", "the result has the dtype of the gradients", told=r"float64")
def dtype_of_gradients(comm, shards, replicated):
    norm = norm_of(comm, shards, replicated)
    return norm.to(next((x.dtype for x in [*shards, *replicated]), torch.float32))


@wrong(
    "far", "squares in float32: those of 1e25 are infinite", true="SquaredInFloat32", told="a step in a coarser dtype"
)
def squares_in_float32(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.float().square().sum().double())


@wrong("far", "squares in the gradients' own dtype, then float64", true="SquaredInFloat32")
def squares_in_own(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.square().sum().double())


@wrong("far", "torch's norm of each tensor in its own dtype, rounded before it is squared", true="SquaredInFloat32")
def norms_in_own(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: torch.linalg.vector_norm(x).double() ** 2)


@wrong("far", "the norm is rounded to float32 and is of float64 again", told="a step in a coarser dtype")
def rounded(comm, shards, replicated):
    return norm_of(comm, shards, replicated).float().double()


@wrong("far", "the sum of squares travels as float32", true="SquaredInFloat32", told="a step in a coarser dtype")
def travels_in_float32(comm, shards, replicated):
    return norm_of(comm, shards, replicated, reduce=lambda comm, x: comm.all_reduce(x.float()).double())


@wrong("far", "scaled by the rank's largest number, which is 0 where there is none: NaN", told="norm on rank 3 is NaN")
def scaled(comm, shards, replicated):
    def norm(tensors):
        flat = torch.cat([x.double().flatten() for x in tensors]) if tensors else ZERO[None]
        top = flat.abs().max() if len(flat) else ZERO
        return top * (flat / top).square().sum().sqrt()

    return (comm.all_reduce(norm(shards) ** 2) + norm(replicated) ** 2).sqrt()


@wrong("named", "torch.stack of nothing where a rank has no shards", true="NothingBreaks")
def stacks(comm, shards, replicated):
    mine = torch.stack([square(x) for x in shards]).sum()
    return (comm.all_reduce(mine) + squares(replicated)).sqrt()


@wrong(
    "named",
    "sum of nothing is 0, which is no tensor",
    true="NothingBreaks",
    told="all_reduce takes a tensor, found a int",
)
def sum_is_a_number(comm, shards, replicated):
    return (comm.all_reduce(sum(square(x) for x in shards)) + squares(replicated)).sqrt()


@wrong("named", "a rank without shards does not come to the all-reduce", true="LeavesEarly")
def stays_away(comm, shards, replicated):
    if not shards:
        return squares(replicated).sqrt()
    return norm_of(comm, shards, replicated)


@wrong(
    "named", "a rank with nothing at all does not come to the all-reduce", true="LeavesEarly", told="rank 1 has ended"
)
def stays_away_with_nothing(comm, shards, replicated):
    if not shards and not replicated:
        return ZERO.clone()
    return norm_of(comm, shards, replicated)


@wrong("named", "an all-reduce for each shard, of which ranks have different numbers", true="ShardByShard")
def one_for_each(comm, shards, replicated):
    total = sum((comm.all_reduce(square(x)) for x in shards), ZERO)
    return (total + squares(replicated)).sqrt()


@wrong("named", "x.view(-1), which a turned tensor refuses", told="Use \\.reshape")
def viewed(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.view(-1).double().square().sum())


@wrong("named", "x @ x, for vectors alone", told="need to be at least 1D")
def for_vectors(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.double() @ x.double())


@wrong("named", "the operator norm of a matrix")
def operator_norm(comm, shards, replicated):
    def norm(x):
        x = x.double()
        return (torch.linalg.matrix_norm(x, 2) if x.dim() == 2 and x.numel() else torch.linalg.vector_norm(x)) ** 2

    return norm_of(comm, shards, replicated, square=norm)


@wrong(
    "named", "the first tensor without numbers ends the list", told="shards without numbers, float64: norm on rank 1 is"
)
def ends_at_empty(comm, shards, replicated):
    ends = [i for i, x in enumerate(shards) if not x.numel()]
    return norm_of(comm, shards[: ends[0]] if ends else shards, replicated)


@wrong("onward", "the first shard alone")
def first_shard(comm, shards, replicated):
    return norm_of(comm, shards[:1], replicated)


@wrong("ones", "the result has shape (1,)", told="dimension of size 1 too many")
def shape_1(comm, shards, replicated):
    return norm_of(comm, shards, replicated)[None]


@wrong(
    "ones",
    "what is replicated counts on rank 1 before the all-reduce: there is none of one rank",
    told=r"1 rank, shards of \d+ numbers, \d replicated, called twice: norm on rank 0 is",
)
def counts_on_rank_1(comm, shards, replicated):
    mine = squares(shards) + squares(replicated) * (comm.rank == 1)
    return comm.all_reduce(mine).sqrt()


@wrong(
    "ones",
    "one rank needs no message, and forgets what is replicated",
    told=r"1 rank, shards of \d+ numbers, \d replicated, called twice: norm on rank 0 is",
)
def alone(comm, shards, replicated):
    return squares(shards).sqrt() if comm.size == 1 else norm_of(comm, shards, replicated)


@wrong("ones", "a shard of one number is taken for a rank's norm, and left out")
def without_single_numbers(comm, shards, replicated):
    return norm_of(comm, [x for x in shards if x.numel() != 1], replicated)


@wrong("large", "a butterfly of pairs, for powers of two alone", told="rank 1 names rank 3")
def butterfly(comm, shards, replicated):
    total, step = squares(shards), 1
    while step < comm.size:
        other = comm.rank ^ step
        comm.send(total, other)
        total = total + comm.recv(other)
        step *= 2
    return (total + squares(replicated)).sqrt()


@wrong(
    "plain",
    "the others' squares and the own ones are put together anew: other bits on other ranks",
    told="to the last bit",
)
def others_and_mine(comm, shards, replicated):
    return norm_of(comm, shards, replicated, reduce=lambda comm, x: (comm.all_reduce(x) - 3 * x) + 3 * x)


@wrong(
    "plain",
    "gathered, and added from the rank's own on: other bits on other ranks, and too much is sent",
    told="one all-reduce of one number sends",
)
def own_first(comm, shards, replicated):
    rows = comm.all_gather(squares(shards)).roll(-comm.rank)
    return (sum(rows, ZERO) + squares(replicated)).sqrt()


@wrong("plain", "everybody's squares are gathered: n - 1 numbers are sent", told="one all-reduce of one number sends")
def gathers(comm, shards, replicated):
    return (comm.all_gather(squares(shards)).sum() + squares(replicated)).sqrt()


@wrong("plain", "two all-reduces", told="one all-reduce of one number sends")
def two_all_reduces(comm, shards, replicated):
    return (comm.all_reduce(squares(shards)) + comm.all_reduce(squares(replicated)) / comm.size).sqrt()


@wrong("plain", "both sums in one all-reduce, of two numbers", told="one all-reduce of one number sends")
def two_numbers(comm, shards, replicated):
    s, r = comm.all_reduce(torch.stack([squares(shards), squares(replicated)]))
    return (s + r / comm.size).sqrt()


@wrong(
    "plain",
    "rank 0 broadcasts the result of the all-reduce, for the same bits",
    told="one all-reduce of one number sends",
)
def broadcast_too(comm, shards, replicated):
    return comm.broadcast(norm_of(comm, shards, replicated))


@wrong(
    "plain",
    "all shards are gathered in one vector each, filled up with zeros",
    told="one all-reduce of one number sends",
)
def gathers_all(comm, shards, replicated):
    flat = torch.cat([ZERO[None], *[x.double().flatten() for x in shards]])
    longest = int(comm.all_reduce(torch.tensor(len(flat)), op="max"))
    rows = comm.all_gather(nn.functional.pad(flat, (0, longest - len(flat))))
    return (rows.square().sum() + squares(replicated)).sqrt()


@wrong("given", "the list of shards gets what is replicated", told="the list `shards` is another one afterwards")
def longer_list(comm, shards, replicated):
    if comm.rank == 0:
        shards += replicated
    return comm.all_reduce(squares(shards)).sqrt()


@wrong("given", "squares in place", told="changes its input shards and replicated in place")
def squares_in_place(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.pow_(2).double().sum())


@wrong(
    "given",
    "squares in place of what double() gives, which for float64 is the tensor itself",
    told="changes its input shards and replicated in place",
)
def squares_double_in_place(comm, shards, replicated):
    return norm_of(comm, shards, replicated, square=lambda x: x.double().square_().sum())


@wrong("given", "the lists hold the tensors in float64 afterwards", told="the list `shards` is another one afterwards")
def lists_in_float64(comm, shards, replicated):
    for tensors in (shards, replicated):
        tensors[:] = [x.double() for x in tensors]
    return norm_of(comm, shards, replicated)


@wrong(
    "given", "a shard loses its shape: resized in place", told="another shape, stride, dtype, memory or requires_grad"
)
def reshaped_in_place(comm, shards, replicated):
    for x in shards:
        x.resize_(x.numel())
    return norm_of(comm, shards, replicated)


KEPT = {}


@wrong("again", "what is replicated is summed at the first call alone, by its number of tensors")
def kept_replicated(comm, shards, replicated):
    key = len(replicated)
    if key not in KEPT:
        KEPT[key] = squares(replicated)
    return norm_of(comm, shards, [], add=lambda comm, r: KEPT[key])


@wrong("again", "the sum is kept on the function and added to", told="it keeps something from one call to the next")
def running(comm, shards, replicated):
    running.total = getattr(running, "total", ZERO) + squares(shards)
    return norm_of(comm, [], replicated, reduce=lambda comm, x: comm.all_reduce(running.total))


@wrong("again", "the norm of the first call is kept on the comm", told="in a second call")
def kept_on_comm(comm, shards, replicated):
    if not hasattr(comm, "first_norm"):
        comm.first_norm = norm_of(comm, shards, replicated)
    return comm.first_norm


BOARD = {}


@wrong(
    "unwatched",
    "ranks read each other's sums from a global dict, which real processes do not share",
    told="messages are the only",
)
def by_memory(comm, shards, replicated):
    BOARD[comm.rank] = squares(shards)
    comm.barrier()
    return (sum((BOARD[r] for r in range(comm.size)), ZERO) + squares(replicated)).sqrt()


@wrong("surroundings", "float64 becomes the default dtype", told="changes torch's default dtype")
def default_dtype(comm, shards, replicated):
    torch.set_default_dtype(torch.float64)
    return norm_of(comm, shards, replicated)


@wrong("surroundings", "gradients are switched off for good", told="gradients are switched on or off")
def switched_off(comm, shards, replicated):
    torch.set_grad_enabled(False)
    return norm_of(comm, shards, replicated)


@ANSWERS.right
def on_the_last_rank(comm, shards, replicated):
    mine = shards if comm.rank < comm.size - 1 else [*shards, *replicated]
    norms = [torch.linalg.vector_norm(x, dtype=torch.float64) for x in mine]
    local = torch.tensor(norms, dtype=torch.float64).norm() ** 2
    return comm.all_reduce(local).sqrt()


@ANSWERS.right
def divided_before(comm, shards, replicated):
    local = squares(shards) + squares(replicated) / comm.size
    return comm.all_reduce(local[None]).sqrt().squeeze(0)


@ANSWERS.right
def with_numpy(comm, shards, replicated):
    local = math.fsum(float(np.sum(x.detach().cpu().double().numpy() ** 2)) for x in shards)
    same = math.fsum(float(np.vdot(a, a)) for a in (x.detach().cpu().double().flatten().numpy() for x in replicated))
    total = comm.all_reduce(torch.tensor(local, dtype=torch.float64))
    return torch.tensor(math.sqrt(total.item() + same), dtype=torch.float64)


@ANSWERS.right
def while_it_is_on_its_way(comm, shards, replicated):
    handle = comm.start_all_reduce(squares(shards))
    ours = squares(replicated).sqrt()
    return torch.hypot(handle.wait().sqrt(), ours)


@ANSWERS.right
def one_long_vector(comm, shards, replicated):
    none = torch.zeros(0, dtype=torch.float64)
    s = torch.cat([none, *[x.double().reshape(-1) for x in shards]])
    r = torch.cat([none, *[x.double().reshape(-1) for x in replicated]])
    return (comm.all_reduce(s @ s) + torch.dot(r, r)) ** 0.5


@ANSWERS.right
def no_message_alone(comm, shards, replicated):
    local = squares(shards)
    return ((comm.all_reduce(local) if comm.size > 1 else local) + squares(replicated)).sqrt()
