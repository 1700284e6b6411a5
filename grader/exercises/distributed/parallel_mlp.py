"""The columns of the first layer's map and the rows of the second's on each rank: Shoeybi et al. 2019, section 3.

GELU acts on each hidden number by itself, so that a rank which has whole hidden numbers needs no others before it. What
its hidden numbers contribute to Y is summed over the ranks, once.
"""

import torch
from torch import nn
from torch.autograd import Function
from torch.nn.functional import gelu, linear

from grader.contract import Trusted


class Copied(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


class Summed(Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dY):
        return dY, None


class SummedTwice(Summed):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


class Split(nn.Module):
    """A mistake is written as the step in which it differs."""

    total = Summed

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        self.comm = comm
        for name, part in zip(("W1", "b1", "W2", "b2"), self.parts(W1, b1, W2, b2), strict=True):
            setattr(self, name, self.kept(part))

    def parts(self, W1, b1, W2, b2):
        return self.mine(W1, 0), self.mine(b1, 0), self.mine(W2, 1), b2

    def mine(self, x, dim):
        return torch.tensor_split(x, self.comm.size, dim)[self.comm.rank]

    def kept(self, part):
        return nn.Parameter(part.clone())

    def forward(self, X):
        H = self.hidden(self.used(X))
        return self.result(self.sum(self.out(H)))

    def used(self, X):
        return Copied.apply(X, self.comm)

    def hidden(self, X):
        return gelu(X @ self.W1.T + self.b1)

    def out(self, H):
        return H @ self.W2.T

    def sum(self, Y):
        return self.total.apply(Y, self.comm)

    def result(self, Y):
        return Y + self.b2


TRUSTED = Trusted(Split, budget="values, gradients, memory and messages are asked for")


@TRUSTED.mistake("b2 is added on each rank before the sum, and so n times: add it once, to the sum.")
class SecondBiasManyTimes(Split):
    def out(self, H):
        return H @ self.W2.T + self.b2

    def result(self, Y):
        return Y


@TRUSTED.mistake(
    "b2 is added on one rank alone, before the sum. Y is right, but on the other ranks no gradient reaches their b2: "
    "they would never train it, and drift apart. Add it to the sum, on every rank."
)
class SecondBiasOnRank0(SecondBiasManyTimes):
    def out(self, H):
        Y = H @ self.W2.T
        return Y + self.b2 if self.comm.rank == 0 else Y


@TRUSTED.mistake("The second bias is missing: Y is the sum plus b2.")
class NoSecondBias(Split):
    def result(self, Y):
        return Y


@TRUSTED.mistake(
    "b1 is not split: a rank has some of the hidden numbers, and needs the part of b1 that belongs to these alone."
)
class FirstBiasWhole(Split):
    def parts(self, W1, b1, W2, b2):
        return self.mine(W1, 0), b1, self.mine(W2, 1), b2


@TRUSTED.mistake(
    "GELU acts on the sum of the second layer: it belongs between the layers, where each rank has whole hidden numbers "
    "of its own."
)
class GeluAfterTheSum(Split):
    def hidden(self, X):
        return X @ self.W1.T + self.b1

    def sum(self, Y):
        return gelu(super().sum(Y))


@TRUSTED.mistake("GELU is its tanh approximation: the exact one is asked for, F.gelu without further arguments.")
class Approximated(Split):
    def hidden(self, X):
        return gelu(X @ self.W1.T + self.b1, approximate="tanh")


@TRUSTED.mistake(
    "The hidden numbers of all ranks are sent to all ranks between the layers. Columns of W2 fit the hidden numbers "
    "that a rank has already: nothing is sent before the one sum."
)
class GathersBetween(Split):
    def out(self, H):
        mine = torch.tensor_split(torch.arange(self.all_hidden), self.comm.size)[self.comm.rank]
        whole = H.new_zeros(len(H), self.all_hidden).index_add(1, mine.to(H.device), H)
        return self.total.apply(whole, self.comm)[:, mine] @ self.W2.T

    def parts(self, W1, b1, W2, b2):
        self.all_hidden = len(b1)
        return super().parts(W1, b1, W2, b2)


@TRUSTED.mistake(
    "Each rank returns what its own hidden numbers contribute to Y, plus b2: these contributions are summed over the "
    "ranks."
)
class NoSum(Split):
    def sum(self, Y):
        return Y


@TRUSTED.mistake(
    "The gradient of X is what comes back through the rank's own hidden numbers: all ranks use X, so their gradients "
    "are summed (Copy)."
)
class GradientOfXUnsummed(Split):
    def used(self, X):
        return X


@TRUSTED.mistake(
    "The backward of the sum sums once more: all ranks have the same loss, so that the gradient of Y is there already, "
    "on each of them."
)
class SumsBackward(Split):
    total = SummedTwice


@TRUSTED.mistake(
    "No gradient comes back from the sum to X, W1, b1 and W2. What comm's own all_reduce returns is no part of the "
    "graph: the sum has to be a Function with a backward."
)
class CutOff(Split):
    def sum(self, Y):
        return self.comm.all_reduce(Y)


@TRUSTED.mistake(
    "The gradient of X is summed by a hook on X itself. X may be used elsewhere too, such as in a sum past the layers, "
    "and what comes from there is summed with it, n times. Sum what comes from this network alone (Copy)."
)
class HookOnX(Split):
    def used(self, X):
        if X.requires_grad:
            X.register_hook(self.comm.all_reduce)
        return X


@TRUSTED.mistake(
    "W2 is split by its rows, so that it does not fit the rank's hidden numbers: these are the columns of W2, "
    "dimension 1."
)
class RowsOfW2(Split):
    def parts(self, W1, b1, W2, b2):
        return self.mine(W1, 0), self.mine(b1, 0), self.mine(W2, 0), b2


@TRUSTED.mistake(
    "Every rank keeps the whole matrices as its parameters, and uses a part of them. Y is right, and no memory is "
    "saved: keep the part alone."
)
class KeepsEverything(Split):
    def parts(self, W1, b1, W2, b2):
        return W1, b1, W2, b2

    def hidden(self, X):
        return gelu(X @ self.mine(self.W1, 0).T + self.mine(self.b1, 0))

    def out(self, H):
        return H @ self.mine(self.W2, 1).T


@TRUSTED.mistake(
    "Parameters look into matrices that were given: those stay in memory, and training changes them. "
    "Rows of W1 are a view, also after contiguous(): clone() copies."
)
class Views(Split):
    def kept(self, part):
        return nn.Parameter(part)


@TRUSTED.mistake(
    "The parts are copies, but beside them the module keeps as many numbers as the whole W1 and W2 have: keep the "
    "parts alone."
)
class KeepsWholeBeside(Split):
    def parts(self, W1, b1, W2, b2):
        self.whole = [W1, W2]
        return super().parts(W1, b1, W2, b2)


@TRUSTED.mistake("The weights are plain tensors, which no optimiser would find: make each of them an nn.Parameter.")
class PlainTensors(Split):
    def kept(self, part):
        return part.clone().requires_grad_()


class Both(Function):
    """The whole network as one Function with a backward of its own."""

    @staticmethod
    def forward(ctx, X, W1, b1, W2, comm):
        Z = X @ W1.T + b1
        ctx.save_for_backward(X, W1, W2, Z)
        ctx.comm = comm
        return comm.all_reduce(gelu(Z) @ W2.T)

    @staticmethod
    def backward(ctx, dY):
        X, W1, W2, Z = ctx.saved_tensors
        normal = 0.5 * (1 + torch.erf(Z / 2**0.5))
        density = torch.exp(-0.5 * Z * Z) / (2 * torch.pi) ** 0.5
        dZ = (dY @ W2) * (normal + Z * density)
        return ctx.comm.all_reduce(dZ @ W1), dZ.T @ X, dZ.sum(0), dY.T @ gelu(Z), None


@TRUSTED.alternative
class OneFunction(nn.Module):
    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        n, r, hidden = comm.size, comm.rank, len(b1)
        size, more = divmod(hidden, n)
        a = r * size + min(r, more)
        own = slice(a, a + size + (r < more))
        self.W1, self.b1 = nn.Parameter(W1[own].clone()), nn.Parameter(b1[own].clone())
        self.W2, self.b2 = nn.Parameter(W2[:, own].clone()), nn.Parameter(b2.clone())
        self.comm = comm

    def forward(self, X):
        return Both.apply(X, self.W1, self.b1, self.W2, self.comm) + self.b2


@TRUSTED.alternative
class WithHooks(nn.Module):
    """A hook on a view of X, and a sum of which the graph sees the own summand alone."""

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        rows = torch.arange(W1.shape[0], device=W1.device).tensor_split(comm.size)[comm.rank]
        self.W1 = nn.Parameter(W1.index_select(0, rows))
        self.b1 = nn.Parameter(b1.index_select(0, rows))
        self.W2 = nn.Parameter(W2.index_select(1, rows))
        self.b2 = nn.Parameter(b2.detach().clone())
        self.all_reduce = comm.all_reduce

    def forward(self, X):
        own = X.view_as(X)
        if own.requires_grad:
            own.register_hook(self.all_reduce)
        part = linear(gelu(linear(own, self.W1, self.b1)), self.W2)
        return part + (self.all_reduce(part) - part).detach() + self.b2
