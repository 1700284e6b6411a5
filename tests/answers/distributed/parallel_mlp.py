"""Answers to distributed.parallel_mlp by a reader who did not write its mistakes."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function
from torch.utils.checkpoint import checkpoint

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.parallel_mlp", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong
KNOWN, CUTS, BOARD, KEPT = {}, {}, {}, {}


class Copy(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


class Sum(Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return dy, None


class SumTwice(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


class Base(nn.Module):
    """A right one; each answer differs in the method that it defines."""

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        self.comm = comm
        for name, part in zip(("W1", "b1", "W2", "b2"), self.parts(comm, W1, b1, W2, b2), strict=True):
            setattr(self, name, self.keep(part))

    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), self.cut(b1, 0), self.cut(W2, 1), b2

    def cut(self, x, dim):
        return torch.tensor_split(x, self.comm.size, dim)[self.comm.rank]

    def keep(self, part):
        return nn.Parameter(part.clone())

    def copied(self, X):
        return Copy.apply(X, self.comm)

    def hidden(self, X):
        return F.gelu(F.linear(X, self.W1, self.b1))

    def summed(self, P):
        return Sum.apply(P, self.comm)

    def contribution(self, X):
        return self.hidden(X) @ self.W2.T

    def forward(self, X):
        return self.summed(self.contribution(self.copied(X))) + self.b2


@wrong("plain", "b2 is added before the sum, n times", true="SecondBiasManyTimes")
class BiasBeforeSum(Base):
    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)) + self.b2)


@wrong(
    "plain",
    "b2 / n is added before the sum: values are right, its gradient is n times too small",
    told="db2 on rank 0 is 1 / n times",
)
class ShareOfBias(Base):
    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)) + self.b2 / self.comm.size)


@wrong("plain", "rank 0 alone adds b2, before the sum", true="SecondBiasOnRank0")
class BiasOnRank0(Base):
    def forward(self, X):
        P = self.contribution(self.copied(X))
        return self.summed(P + self.b2 if self.comm.rank == 0 else P)


@wrong(
    "plain",
    "the others add 0 times b2: values are right, their gradient of b2 is 0",
    told=r"db2 on rank \d is 0 everywhere",
)
class NoughtTimesBias(Base):
    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)) + self.b2 * (self.comm.rank == 0))


@wrong("plain", "no b2", true="NoSecondBias")
class WithoutBias(Base):
    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)))


@wrong("plain", "X does not go through Copy: each rank has its part of the gradient", true="GradientOfXUnsummed")
class WithoutCopy(Base):
    def copied(self, X):
        return X


@wrong("plain", "Copy and Sum exchanged", advice="dX on rank 4 is 0 everywhere")
class Exchanged(Base):
    def copied(self, X):
        return Sum.apply(X, self.comm)

    def summed(self, P):
        return Copy.apply(P, self.comm)


@wrong("plain", "no sum: each rank returns what it contributes", true="NoSum")
class WithoutSum(Base):
    def summed(self, P):
        return P


@wrong("plain", "comm's own all_reduce, through which no gradient flows", true="CutOff")
class CommsOwn(Base):
    def summed(self, P):
        return self.comm.all_reduce(P)


@wrong("plain", "the sum's backward sums as well", true="SumsBackward")
class SumsTwice(Base):
    def summed(self, P):
        return SumTwice.apply(P, self.comm)


@wrong("plain", "the mean of the contributions")
class Mean(Base):
    def summed(self, P):
        return SumTwice.apply(P, self.comm) / self.comm.size


@wrong("plain", "parts are views of the whole matrices", true="Views")
class Views(Base):
    def keep(self, part):
        return nn.Parameter(part)


@wrong("plain", "views in memory of their own only where they are not contiguous", true="Views")
class Contiguous(Base):
    def keep(self, part):
        return nn.Parameter(part.contiguous())


@wrong("plain", "a clone of the whole matrix, and a view of it", told="keeps 115 numbers in memory")
class ViewOfClone(Base):
    def cut(self, x, dim):
        return super().cut(x.clone(), dim)

    def keep(self, part):
        return nn.Parameter(part)


@wrong("plain", "the whole matrices stay on the module", told="keeps 164 numbers in memory")
class KeepsAll(Base):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        self.whole = W1, b1, W2, b2


@wrong("plain", "every rank computes all of it", told="W1 on rank 0 is the input W1, unchanged")
class Whole(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return W1, b1, W2, b2

    def forward(self, X):
        return self.contribution(X) + self.b2


@wrong("plain", "whole parameters, cut in forward", true="KeepsEverything")
class CutLate(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return W1, b1, W2, b2

    def contribution(self, X):
        return F.gelu(F.linear(X, self.cut(self.W1, 0), self.cut(self.b1, 0))) @ self.cut(self.W2, 1).T


@wrong("plain", "the tanh form of GELU", true="Approximated")
class Tanh(Base):
    def hidden(self, X):
        return F.gelu(F.linear(X, self.W1, self.b1), approximate="tanh")


@wrong("plain", "no activation")
class Linear(Base):
    def hidden(self, X):
        return F.linear(X, self.W1, self.b1)


@wrong("plain", "no b1", told="no gradient reaches b1")
class WithoutB1(Base):
    def hidden(self, X):
        return F.gelu(X @ self.W1.T)


@wrong("plain", "W2 is cut into rows as well", true="RowsOfW2")
class RowsOfBoth(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), self.cut(b1, 0), self.cut(W2, 0), b2


@wrong("plain", "b1 is not cut", true="FirstBiasWhole", told=r"self.b1 is \(6,\)")
class WholeB1(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), b1, self.cut(W2, 1), b2


@wrong("plain", "b2 is cut as b1 is", told=r"self.b2 is \(2,\)")
class CutB2(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), self.cut(b1, 0), self.cut(W2, 1), self.cut(b2, 0)


@wrong("plain", "b2 is a parameter of rank 0 alone, and nought elsewhere", told="b2 on rank 1 is 0 everywhere")
class B2OfRank0(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), self.cut(b1, 0), self.cut(W2, 1), b2 if comm.rank == 0 else torch.zeros_like(b2)

    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)) + self.b2)


@wrong(
    "plain",
    "W1 is cut into columns, and what is summed goes through GELU before that",
    told=r"W1 on rank 0 has shape \(10, 2\), expected \(4, 5\)",
    advice="dX on rank 4 is 0 everywhere",
)
class ColumnsFirst(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 1), b1, W2, b2

    def forward(self, X):
        part = F.gelu(self.cut(X, 1) @ self.W1.T + self.b1 / self.comm.size)
        return F.linear(self.summed(part), self.W2, self.b2)


@wrong(
    "plain",
    "hidden numbers are summed, each rank in the places of its rows: T F numbers are sent",
    true="GathersBetween",
)
class HiddenSummed(Base):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        self.sizes = [len(x) for x in torch.tensor_split(b1, comm.size)]

    def forward(self, X):
        H = self.hidden(self.copied(X))
        before, after = sum(self.sizes[: self.comm.rank]), sum(self.sizes[self.comm.rank + 1 :])
        H = self.cut(Sum.apply(F.pad(H, (before, after)), self.comm), 1)
        return self.summed(H @ self.W2.T) + self.b2


@wrong(
    "named",
    "torch.chunk, which makes fewer parts where n does not divide",
    told=r"dW1 on rank 1 has shape \(3, 3\), expected \(2, 3\)",
)
class Chunk(Base):
    def cut(self, x, dim):
        return torch.chunk(x, self.comm.size, dim)[self.comm.rank]


@wrong(
    "named",
    "F // n rows each: the rest is lost",
    told=r"W1 on rank 0 has shape \(3, 5\), expected \(4, 5\)",
    advice="dX on rank 3 is 0 everywhere",
)
class RestLost(Base):
    def cut(self, x, dim):
        size = x.shape[dim] // self.comm.size
        return x.narrow(dim, self.comm.rank * size, size)


@wrong(
    "named",
    "the last rank takes what is left",
    told=r"W1 on rank 0 has shape \(3, 5\), expected \(4, 5\)",
    advice="is the input W1, unchanged",
)
class RestToLast(Base):
    def cut(self, x, dim):
        size, last = x.shape[dim] // self.comm.size, self.comm.rank == self.comm.size - 1
        begin = self.comm.rank * size
        return x.narrow(dim, begin, x.shape[dim] - begin if last else size)


@wrong("named", "every n-th row: the sizes are right, and Y, and the rows are others", told="W1 on rank 0 differs in")
class Dealt(Base):
    def cut(self, x, dim):
        return x.index_select(dim, torch.arange(self.comm.rank, x.shape[dim], self.comm.size))


@wrong("named", "a rank without a row returns b2, and takes part in no sum", told="rank 3 has ended")
class NothingToDo(Base):
    def forward(self, X):
        return super().forward(X) if len(self.W1) else self.b2.expand(len(X), -1)


@wrong("named", "a rank without a row contributes zeros that are in no graph", told="on rank 4 no gradient reaches X")
class ZerosOutside(Base):
    def contribution(self, X):
        return super().contribution(X) if len(self.W1) else X.detach().new_zeros(X.shape)


@wrong("named", "a hook on X itself, which sums what comes past the module too", true="HookOnX")
class HookOnX(Base):
    def copied(self, X):
        if X.requires_grad:
            X.register_hook(self.comm.all_reduce)
        return X


@wrong(
    "again",
    "the hook that sums the gradient is hung on at the first call only",
    told="two layers with a sum past them: dX",
)
class HookOnce(Base):
    hung = False

    def copied(self, X):
        X = X.view_as(X)
        if X.requires_grad and not self.hung:
            self.hung = True
            X.register_hook(self.comm.all_reduce)
        return X


@wrong("again", "comm is kept on the class: all ranks share it", told="kept on a class or in a global name")
class CommOnClass(Base):
    def __init__(self, comm, *weights):
        type(self).shared = comm
        super().__init__(comm, *weights)

    def summed(self, P):
        return Sum.apply(P, type(self).shared)


@wrong(
    "again",
    "parts are kept in a global name, by rank: two modules have those of the last one",
    told="two of them at once: Y",
)
class PartsInGlobal(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        KNOWN[comm.rank] = self

    def contribution(self, X):
        return super(PartsInGlobal, KNOWN[self.comm.rank]).contribution(X)


@wrong("again", "the parts of a shape are cut once, and kept for all modules of that shape")
class CutOnce(Base):
    def keep(self, part):
        key = self.comm.rank, self.comm.size, tuple(part.shape), part.dtype
        return nn.Parameter(CUTS.setdefault(key, part.clone()).clone())


@wrong("again", "the first Y is kept", told="backward through the graph a second time")
class FirstY(Base):
    Y = None

    def forward(self, X):
        if self.Y is None:
            self.Y = super().forward(X)
        return self.Y


@wrong(
    "onward",
    "b2 as it was given is added: after a step it is another",
    told="after a step of training: Y",
    advice="times what is expected",
)
class GivenB2(Base):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        self.register_buffer("start", b2.clone())

    def forward(self, X):
        Y = self.summed(self.contribution(self.copied(X)))
        return Y + self.start + (self.b2 - self.b2.detach())


@wrong(
    "onward",
    "columns of W2 are turned once, when the module is made",
    told="after a step of training: Y",
    advice="times what is expected",
)
class TurnedOnce(Base):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        self.turned = self.W2.T.contiguous()

    def contribution(self, X):
        return self.hidden(X) @ self.turned


@wrong("given", "b2 is divided in place, so that n of them are one", told="changes its input b2 in place")
class DividesB2(Base):
    def parts(self, comm, W1, b1, W2, b2):
        b2 /= comm.size
        return super().parts(comm, W1, b1, W2, b2)

    def forward(self, X):
        return self.summed(self.contribution(self.copied(X)) + self.b2)


@wrong("given", "X is cleared when it is not needed any more", told="changes its input X in place")
class ClearsX(Base):
    def forward(self, X):
        Y = super().forward(X.clone())
        X.data.zero_()
        return Y


@wrong("ones", "squeezed", told="lost a dimension of size 1")
class Squeezes(Base):
    def forward(self, X):
        return super().forward(X).squeeze()


@wrong("ones", "b1 is a row (1, F): its gradient has a dimension more", told="dimension of size 1 too many")
class B1AsRow(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return self.cut(W1, 0), self.cut(b1, 0)[None], self.cut(W2, 1), b2

    def hidden(self, X):
        return F.gelu(X @ self.W1.T + self.b1)


@wrong("far", "contributions are summed in bfloat16")
class SumsHalf(Base):
    def summed(self, P):
        return Sum.apply(P.bfloat16(), self.comm).to(P.dtype)


@wrong("named", "float32 parameters", told="has dtype float32, expected float64", advice="a coarser dtype")
class Single(Base):
    def keep(self, part):
        return nn.Parameter(part.float().clone())

    def forward(self, X):
        return super().forward(X.float()).to(X.dtype)


@wrong("named", "X is flattened by a view", told="view size is not compatible")
class ViewsX(Base):
    def forward(self, X):
        return super().forward(X.view(-1).view(X.shape))


@wrong("large", "four ranks share the rows, and a fifth one has none", told="has shape")
class FourRanks(Base):
    def cut(self, x, dim):
        n = min(self.comm.size, 4)
        parts = torch.tensor_split(x, n, dim)
        return parts[self.comm.rank] if self.comm.rank < 4 else x.narrow(dim, 0, 0)


@wrong("plain", "parts are tensors and no parameters", true="PlainTensors")
class Tensors(Base):
    def keep(self, part):
        return part.clone().requires_grad_()


@wrong("plain", "parts are buffers", true="PlainTensors")
class Buffers(Base):
    def __init__(self, comm, *weights):
        nn.Module.__init__(self)
        self.comm = comm
        for name, part in zip(("W1", "b1", "W2", "b2"), self.parts(comm, *weights), strict=True):
            self.register_buffer(name, part.clone())


@wrong("plain", "frozen parameters", told="is frozen")
class Frozen(Base):
    def keep(self, part):
        return nn.Parameter(part.clone(), requires_grad=False)


@wrong("plain", "two nn.Linear, under their own names", told="no parameter called 'W1'")
class TwoLinear(nn.Module):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        self.comm = comm
        parts = [torch.tensor_split(x, comm.size, dim)[comm.rank] for x, dim in ((W1, 0), (b1, 0), (W2, 1))]
        self.up, self.down = nn.Linear(W1.shape[1], len(parts[1])), nn.Linear(len(parts[1]), len(W2))
        for mine, x in zip((*self.up.parameters(), *self.down.parameters()), (*parts, b2), strict=True):
            mine.data = x.clone()

    def forward(self, X):
        H = F.gelu(self.up(Copy.apply(X, self.comm)))
        return Sum.apply(H @ self.down.weight.T, self.comm) + self.down.bias


@wrong("plain", "a parameter more, which scales by 1", told="not asked for: scale")
class Scaled(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        self.scale = nn.Parameter(torch.ones(()).to(self.b2))

    def forward(self, X):
        return super().forward(X) * self.scale


@wrong("plain", "computed without a graph", told="no gradient can flow back")
class WithoutGraph(Base):
    @torch.no_grad()
    def forward(self, X):
        return super().forward(X)


@wrong("plain", "a function in place of a class", told="makes a function, expected a module")
def a_function(comm, W1, b1, W2, b2):
    return lambda X: F.linear(F.gelu(F.linear(X, W1, b1)), W2, b2)


@wrong("plain", "the call is defined, and no forward", told="has no method forward")
class OnlyCall(Base):
    forward = nn.Module.forward

    def __call__(self, X):
        return Base.forward(self, X)


@wrong("plain", "the gradient of b2 is summed over ranks too, as in data parallelism", told="db2 on rank 0 is n times")
class SumsB2(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        self.b2.register_hook(comm.all_reduce)


@wrong("plain", "rank 0's X is broadcast first", told=r"calls collectives \(or sends\) \d+ times")
class BroadcastsX(Base):
    def copied(self, X):
        return Copy.apply(X + (self.comm.broadcast(X) - X).detach(), self.comm)


@wrong("plain", "contributions are gathered, and added up by each", told=r"a rank sends \d+ numbers")
class Gathers(Base):
    def summed(self, P):
        class GatherAndAdd(Function):
            @staticmethod
            def forward(ctx, x, comm):
                return comm.all_gather(x).sum(0)

            @staticmethod
            def backward(ctx, dy):
                return dy, None

        return GatherAndAdd.apply(P, self.comm)


@wrong(
    "plain", "something is gathered besides, of which nothing is used", told=r"calls collectives \(or sends\) \d+ times"
)
class GathersNothing(Base):
    def contribution(self, X):
        H = self.hidden(X)
        self.comm.all_gather(H.new_zeros(X.shape))
        return H @ self.W2.T


@wrong(
    "plain",
    "one sum for each row of X: as many numbers, and more collectives",
    told=r"calls collectives \(or sends\) \d+ times",
)
class RowByRow(Base):
    def summed(self, P):
        return torch.stack([Sum.apply(row, self.comm) for row in P])


@wrong(
    "plain",
    "the sum's backward sums as well, and what is too much is divided away: a third collective",
    told=r"calls collectives \(or sends\) \d+ times",
)
class Averages(Base):
    def summed(self, P):
        return SumTwice.apply(P, self.comm) + 0 * P

    def contribution(self, X):
        P = super().contribution(X)
        return P / self.comm.size + (P - P / self.comm.size).detach()


@wrong("unwatched", "the whole matrices stay, as NumPy arrays", told="keeps .* numbers in memory")
class KeepsArrays(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        self.whole = [w.numpy().copy() for w in weights]


@wrong("unwatched", "the whole matrices stay, as lists of numbers", told="keeps .* numbers in memory")
class KeepsLists(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        self.whole = [w.tolist() for w in weights]


@wrong("unwatched", "a function that knows the whole matrices stays", told="keeps 164 numbers in memory")
class KeepsClosure(Base):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        self.reset = lambda: Base.__init__(self, comm, W1, b1, W2, b2)


@wrong("unwatched", "a copy of the whole matrices stays in a global name", told="keeps 164 numbers in memory")
class KeepsGlobally(Base):
    def __init__(self, comm, *weights):
        super().__init__(comm, *weights)
        KEPT[comm.rank] = [w.clone() for w in weights]


@wrong(
    "unwatched", "a barrier before the sum, which is a collective too", told=r"calls collectives \(or sends\) \d+ times"
)
class Barrier(Base):
    def summed(self, P):
        self.comm.barrier()
        return super().summed(P)


@wrong(
    "unwatched",
    "contributions lie in memory that all ranks see, between two barriers",
    told=r"calls collectives \(or sends\)",
)
class Board(Base):
    def summed(self, P):
        BOARD[self.comm.rank] = P.detach()
        self.comm.barrier()
        others = sum(BOARD[j] for j in range(self.comm.size) if j != self.comm.rank)
        self.comm.barrier()
        return P + others


@wrong("surroundings", "the default dtype becomes that of W1", told="changes torch's default dtype")
class SetsDtype(Base):
    def __init__(self, comm, W1, *more):
        torch.set_default_dtype(W1.dtype)
        super().__init__(comm, W1, *more)


# ---- right ones


@ANSWERS.right
class ByHand(nn.Module):
    """One function with a backward of its own: two collectives, and GELU's derivative written out."""

    class Both(Function):
        @staticmethod
        def forward(ctx, X, W1, b1, W2, b2, comm):
            Z = torch.addmm(b1, X, W1.T)
            ctx.save_for_backward(X, W1, W2, Z)
            ctx.comm = comm
            return comm.all_reduce(F.gelu(Z) @ W2.T) + b2

        @staticmethod
        def backward(ctx, dY):
            X, W1, W2, Z = ctx.saved_tensors
            phi = 0.5 * (1 + torch.erf(Z / math.sqrt(2)))
            dZ = dY @ W2 * (phi + Z * torch.exp(-Z * Z / 2) / math.sqrt(2 * math.pi))
            dX = ctx.comm.all_reduce(dZ @ W1)
            return dX, dZ.T @ X, dZ.sum(0), dY.T @ F.gelu(Z), dY.sum(0), None

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        self.comm = comm
        first, rest = divmod(len(b1), comm.size)
        begin = comm.rank * first + min(comm.rank, rest)
        mine = slice(begin, begin + first + (comm.rank < rest))
        for name, x in (("W1", W1[mine]), ("b1", b1[mine]), ("W2", W2[:, mine]), ("b2", b2)):
            self.register_parameter(name, nn.Parameter(torch.empty_like(x).copy_(x)))

    def forward(self, X):
        return self.Both.apply(X, self.W1, self.b1, self.W2, self.b2, self.comm)


@ANSWERS.right
class HookOnView(Base):
    """In place of Copy a hook on what the module makes of X, in place of Sum a part that is in no graph."""

    def copied(self, X):
        X = X.view_as(X)
        if X.requires_grad:
            X.register_hook(self.comm.all_reduce)
        return X

    def summed(self, P):
        return P + (self.comm.all_reduce(P.double()) - P.double()).detach().to(P.dtype)


@ANSWERS.right
class Checkpointed(Base):
    """The hidden numbers are computed again in backward, and no collective is."""

    def contribution(self, X):
        return checkpoint(super().contribution, X, use_reentrant=False, preserve_rng_state=False)


@ANSWERS.right
class Indexed(Base):
    """Rows by their numbers; an index makes a copy."""

    def __init__(self, comm, W1, b1, W2, b2):
        nn.Module.__init__(self)
        self.group = [comm]
        mine = torch.tensor_split(torch.arange(len(b1)), comm.size)[comm.rank]
        self.W1, self.b1 = nn.Parameter(W1[mine]), nn.Parameter(b1[mine])
        self.W2, self.b2 = nn.Parameter(W2[:, mine]), nn.Parameter(b2.clone())

    @property
    def comm(self):
        return self.group[0]


@ANSWERS.right
class Transposed(Base):
    """W2's columns lie in memory as rows; one product of [H, 0] after another, and b2 by a broadcast of its own."""

    def parts(self, comm, W1, b1, W2, b2):
        return W1.tensor_split(comm.size)[comm.rank], b1.tensor_split(comm.size)[comm.rank], self.turned(W2), b2

    def turned(self, W2):
        return W2.mT.tensor_split(self.comm.size)[self.comm.rank].contiguous().clone().mT

    def keep(self, part):
        return nn.Parameter(
            part if part.dim() > 1 and part.mT.is_contiguous() and not part.is_contiguous() else torch.clone(part)
        )

    def forward(self, X):
        P = torch.einsum("tf,df->td", self.hidden(self.copied(X)), self.W2)
        return torch.add(self.b2.expand_as(P), self.summed(P))


class Up(nn.Module):
    def __init__(self, comm, W1, b1):
        super().__init__()
        self.comm, self.W1, self.b1 = comm, W1, b1

    def forward(self, X):
        return F.gelu(F.linear(Copy.apply(X, self.comm), self.W1, self.b1))


class Network(Base):
    def __init__(self, *given):
        super().__init__(*given)
        self.up = Up(self.comm, self.W1, self.b1)

    def forward(self, X):
        return self.summed(self.up(X) @ self.W2.T) + self.b2


@ANSWERS.right
def a_factory(comm, W1, b1, W2, b2):
    """What makes the module is a function; a smaller module in it has two of its parameters too."""
    return Network(comm, W1, b1, W2, b2)
