"""Answers to distributed.gradients by a reader who did not write its mistakes."""

import threading
from collections import defaultdict, deque

import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.gradients",
    spared={"dependence": "nothing is drawn"},
)
COPY, SUM, GATHER = 0, 1, 2


def wrong(kind, says, at, **told):
    return ANSWERS.wrong(kind, says, at=at, **told)


# Right ones; each answer differs in the method that it defines.


class Copies(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


class Sums(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return dy, None


class Gathers(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy), None


# ---- Copy


@wrong("plain", "backward gives its own part of the gradient alone", COPY, true="CopyIsIdentity")
class CopyAlone(Copies):
    @staticmethod
    def backward(ctx, dy):
        return dy, None


@wrong("plain", "backward gives the mean", COPY, true="CopyAverages")
class CopyMean(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy) / ctx.comm.size, None


@wrong("plain", "backward multiplies by the number of ranks", COPY)
class CopyTimes(Copies):
    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.comm.size, None


@wrong("plain", "Copy and Sum exchanged", COPY, told="n times what is expected")
class CopyIsSum(Sums):
    pass


@wrong("plain", "the sum in forward too", COPY, true="CopyAddsForward")
class CopyAdds(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)


@wrong(
    "plain", "rank 0's x is broadcast first: a second collective", COPY, told=r"calls collectives \(or sends\) 2 times"
)
class CopyBroadcasts(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.broadcast(x)


@wrong("plain", "one gradient for two arguments", COPY, true="CopyReturnsOne")
class CopyOneGradient(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy)


@wrong("plain", "a list of two gradients: torch takes it for one, and a tuple is needed", COPY, true="CopyReturnsOne")
class CopyList(Copies):
    @staticmethod
    def backward(ctx, dy):
        return [ctx.comm.all_reduce(dy), None]


@wrong("plain", "the gradient of comm comes first", COPY, told="different than None at position 2")
class CopyNoneFirst(Copies):
    @staticmethod
    def backward(ctx, dy):
        return None, ctx.comm.all_reduce(dy)


@wrong("plain", "the maximum", COPY)
class CopyMaximum(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy, "max"), None


@wrong("plain", "the sum is on rank 0 alone", COPY, told="is 0 everywhere")
class CopyOnRank0(Copies):
    @staticmethod
    def backward(ctx, dy):
        total = ctx.comm.all_reduce(dy)
        return (total if ctx.comm.rank == 0 else torch.zeros_like(dy)), None


@wrong("plain", "what start_all_reduce returns, not waited for", COPY, told="got _Started")
class CopyNotWaited(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.start_all_reduce(dy), None


@wrong("plain", "no @staticmethod", COPY, told="missing 1 required positional argument")
class CopyNotStatic(Function):
    def forward(self, ctx, x, comm):
        ctx.comm = comm
        return x

    def backward(self, ctx, dy):
        return ctx.comm.all_reduce(dy), None


@wrong("plain", "comm is not kept: backward knows none", COPY, told="has no attribute 'comm'")
class CopyForgets(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        return x.view_as(x)


@wrong("plain", "comm is kept by save_for_backward, which takes tensors", COPY, told="can only save variables")
class CopySaves(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.save_for_backward(comm)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        (comm,) = ctx.saved_tensors
        return comm.all_reduce(dy), None


@wrong("plain", "a module", COPY, told="is no torch.autograd.Function")
class CopyModule(nn.Module):
    def forward(self, x, comm):
        return x


@wrong("plain", "a plain class with an apply: backward is never called", COPY, told="is no torch.autograd.Function")
class CopyPlainClass:
    @staticmethod
    def apply(x, comm):
        return x

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


@wrong("given", "the sum is written over the gradient from above", COPY, told="changes its input dY in place")
class CopyOverDy(Copies):
    @staticmethod
    def backward(ctx, dy):
        return dy.copy_(ctx.comm.all_reduce(dy)), None


@wrong("given", "forward rounds x in place", COPY, told="changes its input X in place")
class CopyRounds(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        x.data.mul_(0.5)
        return x * 2


@wrong("again", "comm is kept on the class: all ranks share it", COPY, true="CopyRemembersOne")
class CopyOnClass(Function):
    @staticmethod
    def forward(ctx, x, comm):
        CopyOnClass.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return CopyOnClass.comm.all_reduce(dy), None


LOCAL = threading.local()


@wrong(
    "again",
    "each rank keeps the last comm alone, not one for each call",
    COPY,
    told="two groups of ranks in one graph: dx",
)
class CopyLastComm(Function):
    @staticmethod
    def forward(ctx, x, comm):
        LOCAL.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return LOCAL.comm.all_reduce(dy), None


@wrong(
    "onward", "a stack of comms: that of a call which no gradient reaches stays on top, and another call takes it", COPY
)
class CopyStack(Function):
    @staticmethod
    def forward(ctx, x, comm):
        if not hasattr(LOCAL, "stack"):
            LOCAL.stack = []
        LOCAL.stack.append(comm)
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return LOCAL.stack.pop().all_reduce(dy), None


@wrong(
    "again",
    "the first sum of a shape is kept for all gradients of that shape",
    COPY,
    told="twice inside of a longer computation",
)
class CopyOnce(Copies):
    @staticmethod
    def backward(ctx, dy):
        if not hasattr(ctx.comm, "kept"):
            ctx.comm.kept = {}
        if dy.shape not in ctx.comm.kept:
            ctx.comm.kept[dy.shape] = ctx.comm.all_reduce(dy)
        return ctx.comm.kept[dy.shape], None


@wrong(
    "onward",
    "summed up to the first call; after it each rank has its own part alone",
    COPY,
    told="twice inside of a longer computation",
)
class CopyFirstOnly(Copies):
    @staticmethod
    def backward(ctx, dy):
        if hasattr(ctx.comm, "summed"):
            return dy, None
        ctx.comm.summed = True
        return ctx.comm.all_reduce(dy), None


@wrong("ones", "squeezed", COPY, told=r"shape \(2,\), expected \(1, 2\)")
class CopySqueezes(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm, ctx.shape = comm, x.shape
        return x.squeeze()

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy).view(ctx.shape), None


@wrong(
    "named",
    "the gradient is flattened by a view, which a gradient in another layout does not allow",
    COPY,
    told="view size is not compatible",
)
class CopyViews(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy.view(-1)).view(dy.shape), None


@wrong("far", "summed in float32", COPY, told="coarser dtype")
class CopySingle(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy.float()).to(dy.dtype), None


@wrong("large", "four ranks at most", COPY)
class CopyFour(Copies):
    @staticmethod
    def backward(ctx, dy):
        if ctx.comm.size <= 4:
            return ctx.comm.all_reduce(dy), None
        return ctx.comm.all_gather(dy)[:4].sum(0), None


@wrong("plain", "all gradients are gathered, and summed by each", COPY, told="a rank sends 30 numbers")
class CopyGathers(Copies):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_gather(dy).sum(0), None


@wrong("plain", "everybody sends its gradient to everybody", COPY, told=r"calls collectives \(or sends\) 3 times")
class CopySends(Copies):
    @staticmethod
    def backward(ctx, dy):
        comm, total = ctx.comm, dy.clone()
        for j in range(comm.size):
            if j != comm.rank:
                comm.send(dy, j)
        for j in range(comm.size):
            if j != comm.rank:
                total += comm.recv(j)
        return total, None


@wrong(
    "plain",
    "a reduce-scatter and an all-gather of rows that n must divide: two collectives",
    COPY,
    told=r"calls collectives \(or sends\) 2 times",
)
class CopyInTwo(Copies):
    @staticmethod
    def backward(ctx, dy):
        n, numbers = ctx.comm.size, dy.numel()
        flat = torch.cat([dy.flatten(), dy.new_zeros(-numbers % n)]).view(n, -1)
        return ctx.comm.all_gather(ctx.comm.reduce_scatter(flat)).flatten()[:numbers].view(dy.shape), None


@wrong(
    "unwatched", "a barrier in forward, which is a collective too", COPY, told=r"calls collectives \(or sends\) 2 times"
)
class CopyBarrier(Copies):
    @staticmethod
    def forward(ctx, x, comm):
        comm.barrier()
        return Copies.forward(ctx, x, comm)


BOARD = defaultdict(deque)


@wrong(
    "unwatched",
    "gradients lie in memory that all ranks see, and two barriers keep them in step",
    COPY,
    told=r"calls collectives \(or sends\) 2 times",
)
class CopyBoard(Copies):
    @staticmethod
    def backward(ctx, dy):
        comm = ctx.comm
        members = tuple(getattr(comm, "members", range(comm.size)))
        BOARD[members, comm.rank].append(dy)
        comm.barrier()
        total = sum(BOARD[members, j][-1] for j in range(comm.size))
        comm.barrier()
        return total, None


@wrong("surroundings", "gradients are switched off for good", COPY, told="changes torch's default dtype")
class CopySwitchesOff(Copies):
    @staticmethod
    def backward(ctx, dy):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(dy.dtype)
        return ctx.comm.all_reduce(dy), None


class CopyTakesSum(Sums):
    pass


class SumTakesCopy(Copies):
    pass


ANSWERS.wrong("plain", "Copy and Sum exchanged, both", true="exchanged")((CopyTakesSum, SumTakesCopy, Gathers))


# ---- Sum


@wrong("plain", "backward sums again: the gradient is n times too large", SUM, true="SumAddsBackward")
class SumSumsAgain(Sums):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


@wrong("plain", "backward divides by n", SUM, true="SumDivides")
class SumDivides(Sums):
    @staticmethod
    def backward(ctx, dy):
        return dy / ctx.comm.size, None


@wrong("plain", "backward multiplies by n", SUM, true="SumAddsBackward")
class SumMultiplies(Sums):
    @staticmethod
    def backward(ctx, dy):
        return dy * ctx.comm.size, None


@wrong(
    "plain",
    "backward gives the mean of all gradients, by a second collective",
    SUM,
    told=r"calls collectives \(or sends\) 2 times",
)
class SumMeanAgain(Sums):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy) / ctx.comm.size, None


@wrong("plain", "the mean", SUM, told=r"(?m)^\s*+(?!in the 4 cases).*1 / n times")
class SumIsMean(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x) / comm.size


@wrong("plain", "x counts twice", SUM)
class SumAndX(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x + comm.all_reduce(x)


@wrong("plain", "nothing is summed", SUM, true="SumIsIdentity")
class SumOfOne(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return x.clone()


@wrong("plain", "Copy and Sum exchanged", SUM, advice="^(?!in the 4 cases).*n times what is expected")
class SumIsCopy(Copies):
    pass


@wrong("plain", "backward returns nothing", SUM, told=r"has to return a tuple")
class SumNoReturn(Sums):
    @staticmethod
    def backward(ctx, dy):
        pass


@wrong("plain", "no backward", SUM, told="must implement either the backward")
class SumNoBackward(Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)


@wrong("plain", "backward returns dy alone", SUM, told="incorrect number of gradients")
class SumOneGradient(Sums):
    @staticmethod
    def backward(ctx, dy):
        return dy


@wrong("plain", "the gradient goes to rank 0 alone", SUM, told=r"(?m)^\s*+(?!in the 4 cases).*is 0 everywhere")
class SumToRank0(Sums):
    @staticmethod
    def backward(ctx, dy):
        return (dy if ctx.comm.rank == 0 else torch.zeros_like(dy)), None


@wrong("plain", "what start_all_reduce returns, not waited for", SUM, told="returned a _Started")
class SumNotWaited(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.start_all_reduce(x)


@wrong("plain", "a pair is returned", SUM, told="returned a tuple of 2")
class SumPair(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x), None

    @staticmethod
    def backward(ctx, dy, _):
        return dy, None


@wrong("plain", "a function without a graph", SUM, told="is no torch.autograd.Function")
class SumPlainClass:
    @staticmethod
    def apply(x, comm):
        return comm.all_reduce(x)


@wrong("given", "the sum is written over x", SUM, told="changes its input X in place")
class SumOverX(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        x.data.copy_(comm.all_reduce(x))
        return x.view_as(x)


@wrong(
    "given",
    "the gradient is divided in place, and multiplied again too late",
    SUM,
    told="changes its input dY in place",
)
class SumDividesInPlace(Sums):
    @staticmethod
    def backward(ctx, dy):
        dx = dy.clone()
        dy.div_(ctx.comm.size)
        return dx, None


@wrong("again", "the first sum of a shape is kept", SUM, told="twice inside of a longer computation")
class SumOnce(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        if not hasattr(comm, "sums"):
            comm.sums = {}
        if x.shape not in comm.sums:
            comm.sums[x.shape] = comm.all_reduce(x)
        return comm.sums[x.shape].clone()


@wrong("again", "the first comm that a rank sees is used for all groups", SUM)
class SumFirstComm(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        if not hasattr(LOCAL, "sums_in"):
            LOCAL.sums_in = comm
        return LOCAL.sums_in.all_reduce(x)


@wrong("onward", "each sum takes the one before along", SUM, told="twice inside of a longer computation")
class SumGoesOn(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        comm.total = getattr(comm, "total", 0) + comm.all_reduce(x)
        return comm.total.clone()


@wrong("ones", "squeezed", SUM, told=r"shape \(2,\), expected \(1, 2\)")
class SumSqueezes(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.shape = x.shape
        return comm.all_reduce(x).squeeze()

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


@wrong("named", "a number becomes a row of one", SUM, told=r"shape \(1,\), expected \(\)")
class SumAtLeastARow(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.shape = x.shape
        return comm.all_reduce(torch.atleast_1d(x))

    @staticmethod
    def backward(ctx, dy):
        return dy.reshape(ctx.shape), None


@wrong("named", "the gradient goes back in float32", SUM, told="coarser dtype")
class SumSingleBack(Sums):
    @staticmethod
    def backward(ctx, dy):
        return dy.float().to(dy.dtype), None


@wrong("far", "summed in bfloat16", SUM)
class SumHalf(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x.bfloat16()).to(x.dtype)


@wrong("large", "the first four ranks", SUM)
class SumFour(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x if comm.rank < 4 else torch.zeros_like(x))


@wrong("plain", "rows are gathered and added up", SUM, told="a rank sends 30 numbers")
class SumGathers(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_gather(x).sum(0)


@wrong("plain", "each rank broadcasts its x", SUM, told=r"calls collectives")
class SumBroadcasts(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        return sum(comm.broadcast(x, j) for j in range(comm.size))


@wrong(
    "plain",
    "by way of rank 0: it is sent all, and sends the sum to all",
    SUM,
    told=r"calls collectives \(or sends\) 3 times",
)
class SumByRank0(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        if comm.rank:
            comm.send(x, 0)
            return comm.recv(0)
        total = sum((comm.recv(j) for j in range(1, comm.size)), x.clone())
        for j in range(1, comm.size):
            comm.send(total, j)
        return total


@wrong("unwatched", "n empty all-reduces besides", SUM, told=r"calls collectives \(or sends\) 5 times")
class SumEmptyOnes(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        for _ in range(comm.size):
            comm.all_reduce(x.new_empty(0))
        return comm.all_reduce(x)


@wrong(
    "unwatched",
    "x lies in memory that all ranks see, and two barriers keep them in step",
    SUM,
    told=r"calls collectives \(or sends\) 2 times",
)
class SumBoard(Sums):
    @staticmethod
    def forward(ctx, x, comm):
        BOARD["sum", comm.rank].append(x.detach())
        comm.barrier()
        total = sum(BOARD["sum", j][-1] for j in range(comm.size))
        comm.barrier()
        return total


# ---- Gather


@wrong("plain", "backward takes its own row, and no sum", GATHER, true="GatherSlices")
class GatherOwnRow(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return dy[ctx.comm.rank], None


@wrong("plain", "backward takes row 0 of the sum", GATHER, true="GatherFirstRow")
class GatherRow0(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy)[0], None


@wrong("plain", "backward adds up the rows of its own gradient", GATHER)
class GatherAddsRows(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return dy.sum(0), None


@wrong(
    "plain", "backward sums all rows on all ranks and takes its own: twice the numbers", GATHER, true="GatherReducesAll"
)
class GatherAllReduces(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy)[ctx.comm.rank], None


@wrong("plain", "backward gives the mean", GATHER, true="GatherAverages")
class GatherMean(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy) / ctx.comm.size, None


@wrong("plain", "backward returns all rows", GATHER, true="GatherReturnsAll")
class GatherAllRows(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


@wrong("plain", "rows are concatenated", GATHER, told=r"shape \(6,\), expected \(3, 2\)")
class GatherCat(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_gather(torch.atleast_1d(x)).flatten(0, 1)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy.unflatten(0, (ctx.comm.size, -1))), None


@wrong("plain", "rows are returned as a tuple", GATHER, told="returned a tuple of 3")
class GatherTuple(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return tuple(comm.all_gather(x))

    @staticmethod
    def backward(ctx, *dy):
        return ctx.comm.reduce_scatter(torch.stack(dy)), None


@wrong("plain", "backward is the sum of what all ranks gather", GATHER, told="a rank sends 150 numbers")
class GatherGathersAgain(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_gather(dy).sum(0)[ctx.comm.rank], None


@wrong("plain", "a buffer of zeros with its own row, all-reduced: twice the numbers", GATHER, true="GatherReducesAll")
class GatherZeros(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        rows = x.new_zeros(comm.size, *x.shape)
        rows[comm.rank] = x
        return comm.all_reduce(rows)


@wrong("plain", "a broadcast of each row", GATHER, told=r"calls collectives")
class GatherBroadcasts(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return torch.stack([comm.broadcast(x, j) for j in range(comm.size)])


@wrong(
    "plain",
    "rows by send and recv: as many numbers, more messages",
    GATHER,
    told=r"calls collectives \(or sends\) 4 times",
)
class GatherSends(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        others = [j for j in range(comm.size) if j != comm.rank]
        for j in others:
            comm.send(x, j)
        came = {j: comm.recv(j) for j in others} | {comm.rank: x}
        return torch.stack([came[j] for j in range(comm.size)])


@wrong(
    "given", "what other ranks had is zeroed in the gradient from above", GATHER, told="changes its input dY in place"
)
class GatherZeroesDy(Gathers):
    @staticmethod
    def backward(ctx, dy):
        dx = ctx.comm.reduce_scatter(dy)
        dy.zero_()
        return dx, None


@wrong(
    "ones",
    "one rank alone returns x, without a dimension for ranks",
    GATHER,
    told=r"shape \(3,\), expected \(1, 3\)",
    advice="right where n is more than 1, wrong where it is 1",
)
class GatherOne(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.view_as(x) if comm.size == 1 else comm.all_gather(x)

    @staticmethod
    def backward(ctx, dy):
        return (dy if ctx.comm.size == 1 else ctx.comm.reduce_scatter(dy)), None


@wrong("ones", "squeezed", GATHER, told=r"shape \(5, 2\), expected \(5, 1, 2\)")
class GatherSqueezes(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm, ctx.shape = comm, x.shape
        return comm.all_gather(x).squeeze()

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy.reshape(ctx.comm.size, *ctx.shape)), None


@wrong(
    "named",
    "the gradient is flattened by a view, which a gradient in another layout does not allow",
    GATHER,
    told="view size is not compatible",
)
class GatherViews(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy.view(ctx.comm.size, -1)).view(dy.shape[1:]), None


@wrong("named", "the gradient goes into a buffer of float32", GATHER, told="coarser dtype")
class GatherBuffer(Gathers):
    @staticmethod
    def backward(ctx, dy):
        room = torch.zeros(dy.shape)
        room[:] = dy
        return ctx.comm.reduce_scatter(room).to(dy.dtype), None


@wrong("far", "the gradient travels in bfloat16", GATHER)
class GatherHalf(Gathers):
    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy.bfloat16()).to(dy.dtype), None


@wrong("again", "rank and comm are kept on the class", GATHER, told="kept on a class or in a global name")
class GatherOnClass(Function):
    @staticmethod
    def forward(ctx, x, comm):
        GatherOnClass.comm = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dy):
        return GatherOnClass.comm.reduce_scatter(dy), None


@wrong("again", "each rank keeps the first comm that it sees", GATHER, told="two groups of ranks in one graph: dx")
class GatherFirstComm(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        if not hasattr(LOCAL, "first"):
            LOCAL.first = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dy):
        total = ctx.comm.all_to_all(list(dy))
        return (torch.stack(total).sum(0) if len(dy) == LOCAL.first.size else dy[ctx.comm.rank]), None


@wrong("again", "the first call's rows are kept", GATHER, told="twice inside of a longer computation")
class GatherOnce(Gathers):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        if not hasattr(comm, "rows"):
            comm.rows = comm.all_gather(x)
        return comm.rows.clone()


@wrong(
    "onward",
    "a queue of comms, the first in is the first out: backward comes in the other order",
    GATHER,
    told="two groups of ranks in one graph",
)
class GatherQueue(Function):
    @staticmethod
    def forward(ctx, x, comm):
        if not hasattr(LOCAL, "queue"):
            LOCAL.queue = deque()
        LOCAL.queue.append(comm)
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dy):
        return LOCAL.queue.popleft().reduce_scatter(dy), None


@wrong("large", "gradients of four rows at most come back", GATHER, told="dx on rank 4 is 0 everywhere")
class GatherFour(Gathers):
    @staticmethod
    def backward(ctx, dy):
        dx = ctx.comm.reduce_scatter(dy)
        return (dx if ctx.comm.rank < 4 else torch.zeros_like(dx)), None


@wrong(
    "unwatched",
    "all rows are all-reduced, with two numbers packed into a complex one",
    GATHER,
    true="GatherReducesAll",
)
class GatherPacked(Gathers):
    @staticmethod
    def backward(ctx, dy):
        flat = torch.cat([dy.flatten(), dy.new_zeros(dy.numel() % 2)])
        pairs = torch.view_as_complex(flat.view(-1, 2))
        rows = torch.view_as_real(ctx.comm.all_reduce(pairs)).flatten()[: dy.numel()]
        return rows.view(dy.shape)[ctx.comm.rank].clone(), None


@wrong(
    "unwatched",
    "backward between two barriers, which are collectives too",
    GATHER,
    told=r"calls collectives \(or sends\) 4 times",
)
class GatherBarriers(Gathers):
    @staticmethod
    def backward(ctx, dy):
        ctx.comm.barrier()
        dx = ctx.comm.reduce_scatter(dy)
        ctx.comm.barrier()
        return dx, None


# ---- right ones


@ANSWERS.right_at(COPY)
class CopyWithContext(Function):
    """torch's newer way: forward knows no ctx."""

    @staticmethod
    def forward(x, comm):
        return x.detach()

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.comm = inputs

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return ctx.comm.start_all_reduce(dy.contiguous()).wait(), None


@ANSWERS.right_at(COPY)
class CopyX(Function):
    """x itself is returned; backward is a function of the class and asks whether it is needed."""

    @staticmethod
    def forward(ctx, *given):
        ctx.set_materialize_grads(False)
        x, ctx.others = given
        return x

    @classmethod
    def backward(cls, ctx, *above):
        (dy,) = above
        return ctx.others.all_reduce(dy) if ctx.needs_input_grad[0] else None, None


@ANSWERS.right_at(COPY)
class CopyNotMarked(Function):
    """Without @staticmethod: taken from the class, they are plain functions."""

    def forward(ctx, x, comm):
        ctx.comm = comm
        return x * 1

    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


@ANSWERS.right_at(SUM)
class SumStarted(Function):
    @staticmethod
    def forward(ctx, x, comm):
        on_its_way = comm.start_all_reduce(x.detach().double())
        return on_its_way.wait().to(x.dtype)

    backward = staticmethod(lambda ctx, dy: (dy.clone(), None))


@ANSWERS.right_at(SUM)
class SumByNumbers(Function):
    """Summed as one flat row; the gradient that came is handed on in a memory of its own."""

    @staticmethod
    def forward(ctx, x, comm):
        ctx.like = x.shape
        with torch.no_grad():
            return comm.all_reduce(x.reshape(-1)).reshape(x.shape)

    @staticmethod
    def backward(ctx, dy):
        return torch.empty(ctx.like, dtype=dy.dtype, device=dy.device).copy_(dy), None


@ANSWERS.right_at(GATHER)
class GatherByExchange(Function):
    """Both directions by an all-to-all, which sends as much."""

    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return torch.stack(comm.all_to_all([x] * comm.size))

    @staticmethod
    def backward(ctx, dy):
        return torch.stack(ctx.comm.all_to_all(dy.unbind())).sum(0), None


@ANSWERS.right_at(GATHER)
class GatherFlat(Function):
    """By one row of numbers each; what is returned is not contiguous."""

    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm, ctx.shape = comm, x.shape
        flat = comm.all_gather(x.flatten())
        return flat.mT.contiguous().mT.unflatten(1, x.shape) if x.dim() else flat.squeeze(1)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy.flatten(1) if dy.dim() > 1 else dy).reshape(ctx.shape), None


@ANSWERS.right_at(GATHER)
class GatherThree(Gathers):
    """A None too many: torch drops it."""

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.reduce_scatter(dy), None, None


def made(name, forward, backward):
    def go(ctx, x, comm):
        ctx.comm = comm
        return forward(x, comm)

    ways = {"forward": staticmethod(go), "backward": staticmethod(lambda ctx, dy: (backward(dy, ctx.comm), None))}
    return type(name, (Function,), ways)


ANSWERS.right(
    (
        made("Copy", lambda x, comm: x.clone(), lambda dy, comm: comm.all_reduce(dy)),
        made("Sum", lambda x, comm: comm.all_reduce(x), lambda dy, comm: dy),
        made("Gather", lambda x, comm: comm.all_gather(x), lambda dy, comm: comm.reduce_scatter(dy)),
    )
)
