"""Answers to distributed.sharded_linear, by a second reader."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.sharded_linear")
wrong = ANSWERS.wrong


def gathered(comm, shard):
    return comm.all_gather(shard).flatten()


def halves(flat, size):
    F_, D = size
    return flat[: F_ * D].view(F_, D), flat[F_ * D : F_ * D + F_]


def scattered(comm, whole, k):
    return comm.reduce_scatter(F.pad(whole, (0, comm.size * k - len(whole))).view(comm.size, k)) / comm.size


def make_product(
    gather=gathered,
    product=lambda X, W, b: F.linear(X, W, b),
    save=lambda ctx, X, shard: ctx.save_for_backward(X, shard),
    saved=lambda ctx: ctx.saved_tensors,
    for_x=lambda dY, W: dY @ W,
    rows=lambda x: x.reshape(-1, x.shape[-1]),
    scatter=scattered,
):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, X, shard, comm, size):
            save(ctx, X, shard)
            ctx.comm, ctx.size = comm, size
            W, b = halves(gather(comm, shard), size)
            return product(X, W, b)

        @staticmethod
        def backward(ctx, dY):
            X, shard = saved(ctx)
            W, _ = halves(gather(ctx.comm, shard), ctx.size)
            dX = for_x(dY, W) if ctx.needs_input_grad[0] else None
            del W
            dY, X = rows(dY), rows(X)
            whole = torch.cat([(dY.mT @ X).flatten(), dY.sum(0)])
            return dX, scatter(ctx.comm, whole, len(shard)), None, None

    return Product


class Base(nn.Module):
    product = make_product()

    def __init__(self, comm, weight, bias):
        super().__init__()
        self.comm, self.size = comm, tuple(weight.shape)
        self.shard = nn.Parameter(self.piece(comm, weight, bias))

    def piece(self, comm, weight, bias):
        flat = torch.cat([weight.detach().flatten(), bias.detach()])
        return F.pad(flat, (0, -len(flat) % comm.size)).view(comm.size, -1)[comm.rank].clone()

    def forward(self, X):
        return self.product.apply(X, self.shard, self.comm, self.size)


# What is kept.


@wrong("named", "all ranks but the first keep the given matrices", told="keeps .* numbers")
class OthersKeep(Base):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.given = (weight, bias) if comm.rank else None


@wrong(
    "named",
    "the last rank's piece is a view that keeps the whole vector",
    told="keeps .* numbers",
    true="ViewOfTheWhole",
)
class LastIsView(Base):
    def piece(self, comm, weight, bias):
        flat = torch.cat([weight.flatten(), bias])
        flat = F.pad(flat, (0, -len(flat) % comm.size)).view(comm.size, -1)
        return flat[-1] if comm.rank == comm.size - 1 else flat[comm.rank].clone()


@wrong("unwatched", "the weight stays as a NumPy array", told="keeps .* numbers")
class KeepsNumpy(Base):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.given = weight.detach().numpy().copy()


@wrong("unwatched", "the weight stays as a list of numbers", told="keeps .* numbers")
class KeepsList(Base):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.given = weight.tolist()


@wrong("unwatched", "the weight stays in a closure, as a NumPy array", told="keeps .* numbers")
class KeepsClosure(Base):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        given = weight.detach().numpy().copy()
        self.reset = lambda: torch.from_numpy(given)


def keep_array(comm, shard):
    flat = gathered(comm, shard)
    keep_array.held[id(shard)] = flat.detach().numpy().copy()
    return flat


keep_array.held = {}


@wrong("unwatched", "each whole vector stays as a NumPy array after the call", told="still there", true="NeverFreed")
class KeepsGathered(Base):
    product = make_product(gather=keep_array)


@wrong(
    "named",
    "without gradients the gathered weights stay for the next call",
    told=r"no_grad\(\)",
    true="GatheredOnce NeverFreed",
)
class CachesForInference(Base):
    def forward(self, X):
        if torch.is_grad_enabled():
            self.cache = None
            return super().forward(X)
        if getattr(self, "cache", None) is None:
            self.cache = halves(gathered(self.comm, self.shard), self.size)
        return F.linear(X, *self.cache)


@wrong(
    "again",
    "in eval() the gathered weights stay for ever: after a step they are old",
    told=r"eval",
    true="GatheredOnce NeverFreed",
)
class CachesInEval(Base):
    def forward(self, X):
        if self.training:
            return super().forward(X)
        if getattr(self, "cache", None) is None:
            self.cache = halves(gathered(self.comm, self.shard.detach()), self.size)
        return F.linear(X, *self.cache)


@wrong(
    "given",
    "the parameter is the given weight's memory for n = 1 (no bias to append: written into it)",
    told=r"changes its input weight",
    advice=r"right where n is more than 1, wrong where it is 1",
)
class GivenIsUsed(Base):
    def piece(self, comm, weight, bias):
        if comm.size == 1:
            weight.resize_(weight.numel() + bias.numel())
            weight[-bias.numel() :] = bias
            return weight
        return super().piece(comm, weight, bias)


# Shapes.


@wrong("named", "X of three dimensions is the most: flatten(0, 1)", told=r"X \(1, 3, 2, 3\)")
class ThreeAtMost(Base):
    product = make_product(rows=lambda x: x.flatten(0, 1) if x.dim() > 2 else x)


@wrong("named", "X of more dimensions is flattened, and Y is not shaped back beyond three", told=r"shape")
class BackToThree(Base):
    def forward(self, X):
        if X.dim() == 2:
            return super().forward(X)
        Y = super().forward(X.reshape(-1, X.shape[-1]))
        return Y.view(X.shape[0], -1, Y.shape[-1])


@wrong("named", "no row at all on a rank: it leaves out the collectives", told=r"0 on rank 2")
class EmptyLeavesOut(Base):
    def forward(self, X):
        if X.numel() == 0:
            return X.new_zeros(*X.shape[:-1], self.size[0]) + 0 * self.shard.sum()
        return super().forward(X)


@wrong("named", "rows of X are told by -1 beside their number, which 0 rows do not allow", told=r"ambiguous")
class EmptyByMinusOne(Base):
    product = make_product(rows=lambda x: x.reshape(x.shape[:-1].numel(), -1))


# The graph.


@wrong("again", "each call's hook on the shard divides once more", told=r"1 / n times what is expected")
class HookDivides(Base):
    product = make_product(scatter=lambda comm, whole, k: scattered(comm, whole, k) * comm.size)

    def forward(self, X):
        self.shard.register_hook(lambda g: g / self.comm.size)
        return super().forward(X)


@wrong("surroundings", "X is made to need a gradient", told=r"requires_grad_\(\)")
class MakesItNeed(Base):
    def forward(self, X):
        if X.is_leaf:
            X.requires_grad_()
        return super().forward(X)


@wrong("named", "where X needs no gradient on any rank is asked of all: one number more, each time", told="sends")
class AsksFirst(Base):
    def forward(self, X):
        self.comm.all_reduce(torch.tensor([float(X.requires_grad)]))
        return super().forward(X)


@wrong("named", "without gradients the call sends twice: weight and bias apart, in whole numbers of rows", told="sends")
class SendsMoreWithoutGradient(Base):
    def forward(self, X):
        if not torch.is_grad_enabled():
            self.comm.all_gather(self.shard)
        return super().forward(X)


@wrong("onward", "at each second call the shards are sent once more", told="sends")
class SecondSendsMore(Base):
    calls = 0

    def forward(self, X):
        self.calls += 1
        if self.calls > 1:
            self.comm.all_gather(self.shard)
        return super().forward(X)


@wrong("plain", "the weights are broadcast by rank 0 when a layer is made, which was not asked for", told="sends")
class BroadcastFirst(Base):
    def piece(self, comm, weight, bias):
        return super().piece(comm, comm.broadcast(weight), comm.broadcast(bias))


@wrong("plain", "forward also holds a copy of the transpose, and another", told=r"in forward a rank holds")
class LargeCopies(Base):
    product = make_product(product=lambda X, W, b: X @ W.mT.clone().mul(1.0) + b)


def twice(comm, shard):
    first = gathered(comm, shard)
    return first.clone() + 0 * first.flip(0).clone()


@wrong("plain", "several times what was gathered, at one time", told=r"in forward a rank holds")
class SeveralCopies(Base):
    product = make_product(gather=twice)


@wrong("plain", "padding by another number of zeros where n divides already", told=r"shard on rank 0 has shape")
class PadsAlways(Base):
    def piece(self, comm, weight, bias):
        flat = torch.cat([weight.flatten(), bias])
        return F.pad(flat, (0, comm.size - len(flat) % comm.size)).view(comm.size, -1)[comm.rank].clone()


@wrong("ones", "an X with one row loses its dimension", told="shape")
class OneRowLost(Base):
    def forward(self, X):
        return super().forward(X).squeeze(0) if X.dim() > 2 else super().forward(X)


@wrong("plain", "the padding's gradient is the bias's, gone on", told=r"expected 0")
class PaddingNotZero(Base):
    product = make_product(
        scatter=lambda comm, whole, k: (
            comm.reduce_scatter(torch.cat([whole, whole[-1:].expand(comm.size * k - len(whole))]).view(comm.size, k))
            / comm.size
        )
    )


# Right ones.


class Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, shard, comm):
        ctx.comm = comm
        return comm.all_gather(shard).flatten()

    @staticmethod
    def backward(ctx, d):
        return ctx.comm.reduce_scatter(d.view(ctx.comm.size, -1)) / ctx.comm.size, None


@ANSWERS.right
class CheckpointedProduct(Base):
    """Autograd's own product, computed anew in backward."""

    def forward(self, X):
        def run(X, shard):
            return F.linear(X, *halves(Gather.apply(shard, self.comm), self.size))

        return checkpoint(run, X, self.shard, use_reentrant=False, preserve_rng_state=False)


@ANSWERS.right
class InEinsum(Base):
    """Sums in einsum, a bias added in place."""

    product = make_product(
        product=lambda X, W, b: torch.einsum("...d,fd->...f", X, W).add_(b),
        for_x=lambda dY, W: torch.einsum("...f,fd->...d", dY, W),
    )


def by_ring(comm, shard):
    rows, n, r = {comm.rank: shard.detach()}, comm.size, comm.rank
    for i in range(n - 1):
        comm.send(rows[(r - i) % n], (r + 1) % n)
        rows[(r - i - 1) % n] = comm.recv((r - 1) % n)
    return torch.cat([rows[i] for i in range(n)])


def by_all_to_all(comm, whole, k):
    rows = F.pad(whole, (0, comm.size * k - len(whole))).view(comm.size, k)
    return torch.stack(comm.all_to_all([*rows])).mean(0)


@ANSWERS.right
class ByMessages(Base):
    """A ring by hand, and the reduce-scatter out of an all_to_all."""

    product = make_product(gather=by_ring, scatter=by_all_to_all)


@ANSWERS.right
class OneColumnMore(Base):
    """[dY^T X, dY^T 1] in one buffer, with views into it; hooks in place of needs_input_grad are not used."""

    def piece(self, comm, weight, bias):
        P = weight.numel() + bias.numel()
        k = -(-P // comm.size)
        piece = weight.new_zeros(k)
        for i in range(k):
            at = comm.rank * k + i
            if at < weight.numel():
                piece[i] = weight[at // weight.shape[1], at % weight.shape[1]]
            elif at < P:
                piece[i] = bias[at - weight.numel()]
        return piece

    product = make_product(rows=lambda x: x.flatten(0, -2))


@ANSWERS.right
class AllGradients(Base):
    """dX is worked out always, and thrown away where nobody needs it."""

    def forward(self, X):
        return self.product.apply(X + 0 * self.shard[0].detach(), self.shard, self.comm, self.size)


@ANSWERS.right
class AddsItself(Base):
    """Backward adds to shard.grad by its own hand."""

    def forward(self, X):
        class Product(self.product):
            @staticmethod
            def backward(ctx, dY, product=self.product, shard=self.shard):
                dX, d, *_ = product.backward(ctx, dY)
                shard.grad = d if shard.grad is None else shard.grad + d
                return dX, None, None, None

        return Product.apply(X, self.shard, self.comm, self.size)
