"""A fully sharded layer: Rajbhandari et al. 2020, "ZeRO", stage 3; Zhao et al. 2023, "PyTorch FSDP"."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from grader.contract import Trusted


class Product(torch.autograd.Function):
    """Y = X W^T + b. The layer gives W and b when they are needed, and brings the gradients to their places."""

    @staticmethod
    def forward(ctx, X, shard, layer):
        ctx.layer = layer
        W, b = layer.whole(shard)
        layer.remember(ctx, X, shard, W)
        return X @ W.mT + b

    @staticmethod
    def backward(ctx, dY):
        layer = ctx.layer
        X, shard, W = layer.recall(ctx)
        dX = layer.sent_back(dY @ W)
        del W
        dW_and_b = layer.flat(*layer.gradients(X.flatten(0, -2), dY.flatten(0, -2)))
        return dX, layer.given_out(shard, layer.shared(dW_and_b)), None


class Reference(nn.Module):
    """In steps: a mistake is written as the one in which it differs."""

    def __init__(self, comm, weight, bias):
        super().__init__()
        self.comm, self.sizes = comm, weight.shape
        self.shard = self.kept(self.flat(weight, bias).view(comm.size, -1)[comm.rank])

    def forward(self, X):
        return Product.apply(X, self.shard, self)

    def kept(self, piece):
        return nn.Parameter(piece.clone())

    def flat(self, W, b):
        """(n k): W row by row, b, and zeros until n divides it."""
        numbers = torch.cat([self.as_row(W), b])
        return F.pad(numbers, (0, -len(numbers) % self.comm.size))

    def as_row(self, W):
        return W.flatten()

    def whole(self, shard):
        return self.cut(self.comm.all_gather(shard).flatten())

    def cut(self, numbers):
        rows, columns = self.sizes
        return self.as_matrix(numbers[: rows * columns]), numbers[rows * columns :][:rows]

    def as_matrix(self, numbers):
        return numbers.view(self.sizes)

    def remember(self, ctx, X, shard, W):
        ctx.save_for_backward(X, shard)

    def recall(self, ctx):
        X, shard = ctx.saved_tensors
        return X, shard, self.whole(shard)[0]

    def gradients(self, X, dY):
        return dY.mT @ X, dY.sum(0)

    def shared(self, gradient):
        return self.comm.reduce_scatter(gradient.view(self.comm.size, -1)) / self.comm.size

    def sent_back(self, dX):
        return dX

    def given_out(self, shard, gradient):
        return gradient


TRUSTED = Trusted(Reference)


@TRUSTED.mistake(
    "The whole weight is kept from forward to backward, in every layer: save the shard, and gather once more."
)
class WholeKept(Reference):
    def remember(self, ctx, X, shard, W):
        ctx.save_for_backward(X, shard, W)

    def recall(self, ctx):
        return ctx.saved_tensors


@TRUSTED.mistake("The layer gathers once and keeps the whole weight: keep the piece, and gather in each forward.")
class GatheredOnce(Reference):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.numbers = comm.all_gather(self.shard).flatten()

    def whole(self, shard):
        return self.cut(self.numbers)


@TRUSTED.mistake(
    "Something still holds the gathered numbers after forward, such as an attribute of the module or of ctx: a local "
    "name alone forgets them."
)
class NeverFreed(Reference):
    def whole(self, shard):
        self.numbers = self.comm.all_gather(shard).flatten()
        return self.cut(self.numbers)


@TRUSTED.mistake(
    "The shard is a view: its memory is that of the whole flat vector, which stays alive with it. Keep a copy of the "
    "piece."
)
class ViewOfTheWhole(Reference):
    def kept(self, piece):
        return nn.Parameter(piece)


@TRUSTED.mistake(
    "All gradients are summed on every rank, and all but a piece thrown away. A reduce-scatter brings each rank its "
    "piece of the sum, and sends half as much."
)
class AllReduced(Reference):
    def shared(self, gradient):
        total = self.comm.all_reduce(gradient)
        return total.view(self.comm.size, -1)[self.comm.rank] / self.comm.size


@TRUSTED.mistake("The gradients of the ranks are summed and not averaged: divide by the number of ranks.")
class Summed(Reference):
    def shared(self, gradient):
        return super().shared(gradient) * self.comm.size


@TRUSTED.mistake(
    "Each rank takes its piece of its own gradient. The batches of the other ranks count as well: a reduce-scatter "
    "sums them."
)
class OwnGradient(Reference):
    def shared(self, gradient):
        return gradient.view(self.comm.size, -1)[self.comm.rank]


@TRUSTED.mistake("The gradient of X is averaged over the ranks: each rank has an X of its own, and keeps its gradient.")
class InputAveraged(Reference):
    def sent_back(self, dX):
        rows = self.comm.all_gather(torch.tensor(len(dX), device=dX.device))
        padded = F.pad(dX.flatten(1), (0, 0, 0, int(rows.max()) - len(dX)))
        return self.comm.all_reduce(padded)[: len(dX)].view(dX.shape) / self.comm.size


@TRUSTED.mistake("The bias gets no gradient: it is the sum of dY over all rows, behind that of the weight.")
class NoBiasGradient(Reference):
    def gradients(self, X, dY):
        return dY.mT @ X, torch.zeros_like(dY[0])


@TRUSTED.mistake("The weight lies in the flat vector column by column: row by row is asked for, as `flatten()` has it.")
class ByColumns(Reference):
    def as_row(self, W):
        return W.mT.flatten()

    def as_matrix(self, numbers):
        return numbers.view(self.sizes[::-1]).mT


@TRUSTED.mistake(
    "The pieces have different lengths. A collective needs one shape on all ranks: append zeros until n divides the "
    "length, then cut."
)
class Uneven(Reference):
    def flat(self, W, b):
        return torch.cat([W.flatten(), b])

    def __init__(self, comm, weight, bias):
        nn.Module.__init__(self)
        self.comm, self.sizes = comm, weight.shape
        self.shard = nn.Parameter(self.flat(weight, bias).tensor_split(comm.size)[comm.rank].clone())

    def shared(self, gradient):
        total = self.comm.all_reduce(gradient) / self.comm.size
        return total.tensor_split(self.comm.size)[self.comm.rank]


@TRUSTED.mistake("The padding is taken for a part of the bias, which ends after F numbers.")
class PaddingInTheBias(Reference):
    def cut(self, numbers):
        rows, columns = self.sizes
        return numbers[: rows * columns].view(self.sizes), numbers[rows * columns :]


@TRUSTED.mistake("The shard is a plain tensor, so no optimiser would find it: make it an nn.Parameter.")
class PlainTensor(Reference):
    def kept(self, piece):
        return piece.clone().requires_grad_()


@TRUSTED.mistake(
    "shard.grad is set anew in each backward, so what was there is lost: return the gradient from the Function, and "
    "torch adds it up."
)
class Overwritten(Reference):
    def given_out(self, shard, gradient):
        self.shard.grad = gradient


@TRUSTED.mistake(
    "X is kept on the module, where the next call replaces it: what a backward needs belongs to its own call, into ctx."
)
class KeptOnTheModule(Reference):
    def remember(self, ctx, X, shard, W):
        self.X = X.detach()

    def recall(self, ctx):
        return self.X, self.shard, self.whole(self.shard)[0]


@TRUSTED.mistake(
    "No gradient comes to the shard. Messages carry none, so a Function of your own has to return it, at the place of "
    "the shard among its arguments."
)
class NoGradient(Reference):
    def forward(self, X):
        W, b = self.whole(self.shard)
        return X @ W.mT + b


class Gathered(torch.autograd.Function):
    """(k) -> (n, k), and the mean over the ranks back."""

    @staticmethod
    def forward(ctx, shard, comm):
        ctx.comm = comm
        return comm.all_gather(shard)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.comm.reduce_scatter(gradient / ctx.comm.size), None


@TRUSTED.alternative
class Recomputed(nn.Module):
    """Nothing is written by hand but the gathering: what forward needs is computed again in backward."""

    def __init__(self, comm, weight, bias):
        super().__init__()
        self.comm, self.F, self.D = comm, *weight.shape
        k = math.ceil((weight.numel() + self.F) / comm.size)
        numbers = torch.zeros(comm.size * k, dtype=weight.dtype, device=weight.device)
        numbers[: weight.numel()], numbers[weight.numel() :][: self.F] = weight.reshape(-1), bias
        self.shard = nn.Parameter(numbers[comm.rank * k : (comm.rank + 1) * k].clone())

    def product(self, X, shard):
        numbers = Gathered.apply(shard, self.comm).flatten()
        return F.linear(X, numbers[: self.F * self.D].view(self.F, self.D), numbers[self.F * self.D :][: self.F])

    def forward(self, X):
        return checkpoint(self.product, X, self.shard, use_reentrant=False)


class _Enabled(torch.autograd.Function):
    """torch's own gradients of the product, on the way back."""

    @staticmethod
    def forward(ctx, X, shard, comm, sizes):
        ctx.save_for_backward(X)
        ctx.shard, ctx.comm, ctx.sizes = shard, comm, sizes
        return _linear(X, comm.all_gather(shard), sizes)

    @staticmethod
    def backward(ctx, dY):
        leaves = [ctx.saved_tensors[0].detach().requires_grad_(), ctx.comm.all_gather(ctx.shard).requires_grad_()]
        with torch.enable_grad():
            Y = _linear(*leaves, ctx.sizes)
        dX, gradient = torch.autograd.grad(Y, leaves, dY)
        return dX, ctx.comm.reduce_scatter(gradient).div_(ctx.comm.size), None, None


def _linear(X, gathered, sizes):
    W, b, _ = gathered.view(-1).split([math.prod(sizes), sizes[0], gathered.numel() - math.prod(sizes) - sizes[0]])
    return F.linear(X, W.view(sizes), b)


@TRUSTED.alternative
class TorchsGradients(nn.Module):
    def __init__(self, comm, weight, bias):
        super().__init__()
        self.comm, self.sizes = comm, tuple(weight.shape)
        numbers = torch.cat([*weight, bias])
        k = -(-len(numbers) // comm.size)
        mine = numbers[comm.rank * k : (comm.rank + 1) * k]
        self.shard = nn.Parameter(torch.cat([mine, mine.new_zeros(k - len(mine))]))

    def forward(self, X):
        return _Enabled.apply(X, self.shard, self.comm, self.sizes)
