"""Copy, Sum, Gather and their transposes: Shoeybi et al. 2019, "Megatron-LM", the functions f and g of section 3.

What is replicated and used by each rank in its own part has the sum of all parts' gradients. Where every rank goes on
with the same sum and the same loss, the gradient of each summand is that of the sum.
"""

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from grader.contract import Trusted


class Copy(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.clone()

    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


class Sum(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dY):
        return dY, None


class Gather(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.reduce_scatter(dY), None


TRUSTED = Trusted((Copy, Sum, Gather))
copy_slip, sum_slip, gather_slip = TRUSTED.one_by_one()


@copy_slip(
    "Copy's backward hands on the rank's own gradient: x is used on all ranks, and its gradient is the sum of what "
    "comes back from each of them."
)
class CopyIsIdentity(Copy):
    @staticmethod
    def backward(ctx, dY):
        return dY, None


@copy_slip(
    "Copy's forward sums over the ranks, and x is the same on each of them: what it returns is x, not n times x."
)
class CopyAddsForward(Copy):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)


@copy_slip(
    "Copy's backward takes the mean of the ranks' gradients: they are parts of one gradient, so they are summed."
)
class CopyAverages(Copy):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY) / ctx.comm.size, None


@copy_slip(
    "Copy's backward has to return a tuple with one value for each argument of forward: the gradient of x, and None "
    "for comm."
)
class CopyReturnsOne(Copy):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY)


@copy_slip(
    "Copy keeps comm on its class, where the next call puts another one: each call has a ctx of its own for what "
    "backward needs."
)
class CopyRemembersOne(Copy):
    @staticmethod
    def forward(ctx, x, comm):
        CopyRemembersOne.comm = comm
        return x.clone()

    @staticmethod
    def backward(ctx, dY):
        return CopyRemembersOne.comm.all_reduce(dY), None


@sum_slip(
    "Behind Sum gradients are n times too large: does its backward sum once more, or multiply by n? All ranks have the "
    "same loss, each holds its whole gradient already, and it is the gradient of every summand."
)
class SumAddsBackward(Sum):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


@sum_slip("Sum's forward hands on the rank's own x: it returns the sum of the x of all ranks.")
class SumIsIdentity(Sum):
    @staticmethod
    def forward(ctx, x, comm):
        return x.clone()


@sum_slip("Sum's backward divides by the number of ranks: a sum's gradient goes to each summand undivided.")
class SumDivides(Sum):
    @staticmethod
    def backward(ctx, dY):
        return dY / ctx.comm.size, None


@sum_slip("No gradient comes out of Sum's backward: hand on what comes from above, and None for comm alone.")
class SumStops(Sum):
    @staticmethod
    def backward(ctx, dY):
        return None, None


@gather_slip(
    "Gather's backward takes its row of its own gradient alone: the other ranks have used that row too, so row `rank` "
    "is summed over all ranks' gradients."
)
class GatherSlices(Gather):
    @staticmethod
    def backward(ctx, dY):
        return dY[ctx.comm.rank], None


@gather_slip(
    "One of Gather's two collectives is an all-reduce of n rows, which sends twice what is needed. Forward gathers "
    "rows, and for backward one collective both sums rows and hands each rank its own."
)
class GatherReducesAll(Gather):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY)[ctx.comm.rank], None


@gather_slip("Gather's backward takes the mean over the ranks: what they did with a row adds up.")
class GatherAverages(Gather):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.reduce_scatter(dY) / ctx.comm.size, None


@gather_slip(
    "Gather's backward returns a gradient of all n rows: the argument x was one of them, and its gradient has its "
    "shape."
)
class GatherReturnsAll(Gather):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


@gather_slip("Gather's backward returns row 0 of the sum on each rank: rank r's x went into row r.")
class GatherFirstRow(Gather):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY)[0], None


TRUSTED.add_mistake(
    "exchanged",
    "Copy and Sum are exchanged: Copy hands x on and sums gradients, Sum sums x and hands its gradient on.",
    *(Sum, Copy, Gather),
)


class LateCopy(Function):
    """In the newer form, in which ctx comes after forward."""

    @staticmethod
    def forward(x, comm):
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.comm = inputs

    @staticmethod
    @once_differentiable
    def backward(ctx, dY):
        return ctx.comm.start_all_reduce(dY).wait(), None


class LateSum(Function):
    @staticmethod
    def forward(x, comm):
        return comm.start_all_reduce(x).wait()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, dY):
        return dY.clone(), None


class LateGather(Function):
    @staticmethod
    def forward(x, comm):
        return torch.stack(comm.all_to_all([x] * comm.size))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.comm = inputs[1]

    @staticmethod
    def backward(ctx, dY):
        return torch.stack(ctx.comm.all_to_all(list(dY))).sum(0), None


TRUSTED.add_alternative("late_contexts", LateCopy, LateSum, LateGather)


class HookCopy(Function):
    """No pair of methods, but a hook on a view."""

    @staticmethod
    def apply(x, comm):
        y = x.view_as(x)
        y.register_hook(comm.all_reduce)
        return y


class ShiftSum(Function):
    """The rank's own x, for the graph, and what the others add to it, which is no part of the graph."""

    @staticmethod
    def apply(x, comm):
        return x + (comm.all_reduce(x) - x).detach()


class SumOfRows(Function):
    """What Gather's backward does; its own backward gathers, so that gradients have gradients."""

    @staticmethod
    def forward(ctx, rows, comm):
        ctx.comm = comm
        return comm.reduce_scatter(rows)

    @staticmethod
    def backward(ctx, dY):
        return GatherRows.apply(dY, ctx.comm), None


class GatherRows(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dY):
        return SumOfRows.apply(dY, ctx.comm), None


TRUSTED.add_alternative("hooks", HookCopy, ShiftSum, GatherRows)
