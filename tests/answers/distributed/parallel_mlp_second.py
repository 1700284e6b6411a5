"""Answers to distributed.parallel_mlp, second round."""

import array
import math
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.parallel_mlp")
wrong = ANSWERS.wrong


class Copy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return x.view_as(x)

    @staticmethod
    def backward(ctx, d):
        return ctx.comm.all_reduce(d), None


class Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, d):
        return d, None


class Base(nn.Module):
    """A right answer, of which a method is replaced."""

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__()
        self.comm = comm
        self.W1, self.b1, self.W2, self.b2 = (nn.Parameter(x) for x in self.parts(comm, W1, b1, W2, b2))

    def cut(self, comm, x, dim=0):
        return torch.tensor_split(x, comm.size, dim)[comm.rank]

    def parts(self, comm, W1, b1, W2, b2):
        return [self.cut(comm, W1).clone(), self.cut(comm, b1).clone(), self.cut(comm, W2, 1).clone(), b2.clone()]

    def gelu(self, x):
        return F.gelu(x)

    def product(self, X):
        return self.gelu(X @ self.W1.mT + self.b1) @ self.W2.mT

    def forward(self, X):
        return Sum.apply(self.product(Copy.apply(X, self.comm)), self.comm) + self.b2


# Copies.


@wrong(
    "named", "columns by contiguous(): no copy where n = 1, or where D = 1", told=r"given changes as well", true="Views"
)
class ContiguousColumns(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return [
            self.cut(comm, W1).clone(),
            self.cut(comm, b1).clone(),
            self.cut(comm, W2, 1).contiguous(),
            b2.clone(),
        ]


@wrong("named", "on one rank the given matrices themselves are the parts", told=r"given changes as well", true="Views")
class OneRankIsGiven(Base):
    def parts(self, comm, *given):
        return given if comm.size == 1 else super().parts(comm, *given)


@wrong("named", "b2 is copied on rank 0 alone", told=r"changes as well \(b2\)")
class SharedBias(Base):
    def parts(self, comm, W1, b1, W2, b2):
        return [*super().parts(comm, W1, b1, W2, b2)[:3], b2 if comm.rank else b2.clone()]


@wrong(
    "again",
    "copies of b2 are kept by their numbers: two modules of the same matrices share it",
    told=r"another module of the same matrices",
)
class SharedB2(Base):
    kept = {}  # noqa: RUF012

    def parts(self, comm, W1, b1, W2, b2):
        one = super().parts(comm, W1, b1, W2, b2)
        one[3] = self.kept.setdefault((comm, tuple(b2.tolist())), one[3])
        return one


# What is kept.


@wrong(
    "unwatched",
    "the given matrices stay as NumPy arrays in an object",
    told="keeps .* numbers",
    true="KeepsWholeBeside",
)
class InNamespace(Base):
    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        self.config = SimpleNamespace(given=[x.numpy().copy() for x in given])


@wrong(
    "unwatched",
    "the given matrices stay as NumPy arrays in a closure",
    told="keeps .* numbers",
    true="KeepsWholeBeside",
)
class InClosure(Base):
    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        arrays = [x.numpy().copy() for x in given]
        self.whole = lambda: [torch.from_numpy(x) for x in arrays]


@wrong("unwatched", "the given matrices stay in an array of Python's", told="keeps .* numbers", true="KeepsWholeBeside")
class InArray(Base):
    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        self.whole = array.array("d", torch.cat([x.flatten() for x in given]).tolist())


@wrong("unwatched", "the given matrices stay in a set of numbers", told="keeps .* numbers", true="KeepsWholeBeside")
class InSet(Base):
    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        self.whole = {(i, x) for i, x in enumerate(torch.cat([x.flatten() for x in given]).tolist())}


@wrong("named", "a rank that has no row keeps the whole matrices", told="keeps .* numbers", true="KeepsWholeBeside")
class EmptyKeeps(Base):
    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        if not self.b1.numel():
            self.given = [x.clone() for x in given]


# What is sent.


@wrong("named", "without gradients all products are gathered: more than an all-reduce sends", told=r"sends")
class MoreWithoutGradients(Base):
    def forward(self, X):
        if torch.is_grad_enabled():
            return super().forward(X)
        return self.comm.all_gather(self.product(X)).sum(0) + self.b2


@wrong("onward", "from the second call on X is compared first", told=r"collectives")
class SecondSends(Base):
    calls = 0

    def forward(self, X):
        self.calls += 1
        if self.calls > 1:
            self.comm.all_reduce(X, op="max")
        return super().forward(X)


@wrong("named", "in eval() X comes from rank 0", told=r"no gradient reaches X")
class EvalBroadcasts(Base):
    def forward(self, X):
        return super().forward(X if self.training else self.comm.broadcast(X))


@wrong("surroundings", "the caller's X is made to need a gradient", told=r"requires_grad_")
class AltersX(Base):
    def forward(self, X):
        return super().forward(X.requires_grad_())


@wrong(
    "surroundings", "a hook on the caller's X, which sums what comes from elsewhere as well", true=r"HookOnX", told=r""
)
class HookOnCallersX(Base):
    def forward(self, X):
        if X.requires_grad:
            X.register_hook(self.comm.all_reduce)
        return Sum.apply(self.product(X), self.comm) + self.b2


@wrong("surroundings", "the default dtype becomes that of the weights, for good", told=r"default dtype")
class DefaultDtype(Base):
    def __init__(self, comm, *given):
        torch.set_default_dtype(given[0].dtype)
        super().__init__(comm, *given)


@wrong("surroundings", "the seed is set, when a module is made", told=r"sets the seed")
class Seeds(Base):
    def __init__(self, comm, *given):
        torch.manual_seed(0)
        super().__init__(comm, *given)


# Values.


@wrong(
    "far",
    "GELU by its formula in one exponential: 1.5e-7 from erf (Abramowitz and Stegun)",
    told=r"",
    advice=r"right but for less than 0.2%",
)
class ErfByHand(Base):
    def gelu(self, x):
        z = x.abs() / math.sqrt(2)
        t = 1 / (1 + 0.3275911 * z)
        a = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
        erf = 1 - sum(c * t ** (i + 1) for i, c in enumerate(a)) * (-z * z).exp()
        return 0.5 * x * (1 + erf.copysign(x))


@wrong("far", "tanh's GELU for float32", told=r"differs", true="Approximated")
class TanhForFloat(Base):
    def gelu(self, x):
        return F.gelu(x, approximate="tanh" if x.dtype == torch.float32 else "none")


@wrong("far", "beyond 4 GELU is taken for x, and below -4 for 0", told=r"", advice=r"right but for less than 0.2%")
class CutOff(Base):
    def gelu(self, x):
        return torch.where(x > 4, x, torch.where(x < -4, 0 * x, F.gelu(x)))


@wrong("onward", "a part without a row returns b2 at once: it leaves out the collective", told=r"Deadlock")
class EmptyLeavesOut(Base):
    def forward(self, X):
        if not self.b1.numel():
            return X * 0 + self.b2
        return super().forward(X)


@wrong("plain", "the gradient of b2 is summed over the ranks, by b2 added through Copy", told="db2")
class BiasThroughCopy(Base):
    def forward(self, X):
        return Sum.apply(self.product(Copy.apply(X, self.comm)), self.comm) + Copy.apply(self.b2, self.comm)


@wrong("plain", "b2 / n goes through Sum: its gradient is an n-th", told="db2")
class BiasByN(Base):
    def forward(self, X):
        return Sum.apply(self.product(Copy.apply(X, self.comm)) + self.b2 / self.comm.size, self.comm)


@wrong(
    "plain", "b2 goes in on rank 0 through Sum, and everywhere else with factor 0", told="db2", true="SecondBiasOnRank0"
)
class BiasOnRankZero(Base):
    def forward(self, X):
        return Sum.apply(self.product(Copy.apply(X, self.comm)) + self.b2 * (self.comm.rank == 0), self.comm)


@wrong("ones", "T = 1 loses its dimension", told=r"lost a dimension")
class OneToken(Base):
    def forward(self, X):
        return super().forward(X).squeeze(0)


@wrong("given", "X is scaled in place and scaled back", told=r"changes its input X")
class InPlace(Base):
    def forward(self, X):
        with torch.no_grad():
            X.data.add_(1.1)
            X.data.sub_(1.1)
        return super().forward(X)


@wrong(
    "again",
    "what the backward of X needs is on the module: after two calls both use the last one's",
    told=r"two layers with a sum",
)
class LastCall(Base):
    def forward(self, X):
        module = self
        self.hidden = F.linear(X.detach(), self.W1.detach(), self.b1.detach())

        class Linear(torch.autograd.Function):
            @staticmethod
            def forward(ctx, X, W, b):
                ctx.save_for_backward(X, W)
                return module.hidden.clone()

            @staticmethod
            def backward(ctx, d):
                X, W = ctx.saved_tensors
                return d @ W, d.mT @ X, d.sum(0)

        class Gelu(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return F.gelu(x)

            @staticmethod
            def backward(ctx, d):
                h = module.hidden
                normal = torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)
                return d * (0.5 * (1 + torch.erf(h / math.sqrt(2))) + h * normal)

        H = Gelu.apply(Linear.apply(Copy.apply(X, self.comm), self.W1, self.b1))
        return Sum.apply(H @ self.W2.mT, self.comm) + self.b2


@wrong(
    "surroundings",
    "the all-reduced dX is kept in the graph: a second backward through it gives the first one's",
    told=r"of another dY",
)
class KeepsSum(Base):
    def forward(self, X):
        class Copied(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, comm):
                ctx.comm, ctx.sum = comm, None
                return x.view_as(x)

            @staticmethod
            def backward(ctx, d):
                if ctx.sum is None:
                    ctx.sum = ctx.comm.all_reduce(d)
                return ctx.sum, None

        return Sum.apply(self.product(Copied.apply(X, self.comm)), self.comm) + self.b2


# Right ones.


@ANSWERS.right
class HookOnCopy(Base):
    """A hook on a view of X."""

    def forward(self, X):
        X = X.view_as(X)
        if X.requires_grad:
            X.register_hook(self.comm.all_reduce)
        Y = self.product(X)
        return Y + (self.comm.all_reduce(Y.detach()) - Y.detach()) + self.b2


@ANSWERS.right
class ChecksFirst(Base):
    """A collective when it is made: forward and backward together call two."""

    def __init__(self, comm, W1, b1, W2, b2):
        super().__init__(comm, W1, b1, W2, b2)
        assert torch.equal(comm.all_reduce(b2, op="max"), b2)


@ANSWERS.right
class BarrierFirst(Base):
    """Waits for all when it is made."""

    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        comm.barrier()


@ANSWERS.right
class OneFunction(Base):
    """All by hand in one Function, row sums by einsum."""

    def forward(self, X):
        class Whole(torch.autograd.Function):
            @staticmethod
            def forward(ctx, X, W1, b1, W2, b2, comm):
                ctx.comm = comm
                ctx.save_for_backward(X, W1, b1, W2)
                return comm.all_reduce(torch.einsum("tf,df->td", F.gelu(F.linear(X, W1, b1)), W2)) + b2

            @staticmethod
            def backward(ctx, dY):
                X, W1, b1, W2 = ctx.saved_tensors
                H = F.linear(X, W1, b1)
                with torch.enable_grad():
                    H.requires_grad_()
                    A = F.gelu(H)
                (dH,) = torch.autograd.grad(A, H, dY @ W2)
                dX = ctx.comm.all_reduce(dH @ W1) if ctx.needs_input_grad[0] else None
                return dX, dH.mT @ X, dH.sum(0), dY.mT @ A.detach(), dY.sum(0), None

        return Whole.apply(X, self.W1, self.b1, self.W2, self.b2, self.comm)


@wrong("named", "a rank without a row makes zeros of its own: X gets no gradient there", told="no gradient reaches X")
class EmptyCutsX(Base):
    def product(self, X):
        x = X.unsqueeze(1) * self.W1 if self.b1.numel() else X.new_zeros(len(X), 0, X.shape[1]) + self.W1
        return F.linear(F.gelu(x.sum(-1) + self.b1), self.W2)


@ANSWERS.right
class AlwaysNeeds(Base):
    """Backward all-reduces the gradient of X where nobody asks for it, too: two collectives."""

    def forward(self, X):
        return super().forward(X if X.requires_grad else X.detach().requires_grad_())


@ANSWERS.right
class BiasByNRightly(Base):
    """b2 / n in each rank's part, its gradient made whole by a hook."""

    def forward(self, X):
        b2 = self.b2.view_as(self.b2)
        if b2.requires_grad:
            b2.register_hook(lambda g: g * self.comm.size)
        return Sum.apply(self.product(Copy.apply(X, self.comm)) + b2 / self.comm.size, self.comm)
