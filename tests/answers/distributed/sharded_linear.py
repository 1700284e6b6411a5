"""Answers to distributed.sharded_linear: a right layer in steps, of which one is replaced at a time."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.sharded_linear",
    spared={
        "far": "sums and products alone: nothing is exponentiated or divided by what is given",
        "dependence": "nothing is drawn",
    },
)
wrong = ANSWERS.wrong


class Product(torch.autograd.Function):
    """X W^T + b by the steps of a layer."""

    @staticmethod
    def forward(ctx, X, shard, layer):
        ctx.save_for_backward(X, shard)
        ctx.layer = layer
        return layer.product(X, *layer.cut(layer.gathered(shard)))

    @staticmethod
    def backward(ctx, dY):
        return *ctx.layer.back(*ctx.saved_tensors, dY), None


class Layer(nn.Module):
    """A right answer in steps."""

    def __init__(self, comm, weight, bias):
        super().__init__()
        self.comm, self.size = comm, tuple(weight.shape)
        self.shard = nn.Parameter(self.piece(self.padded(self.flat(weight, bias))))

    def forward(self, X):
        return Product.apply(X, self.shard, self)

    def flat(self, weight, bias):
        return torch.cat([weight.flatten(), bias])

    def padded(self, x):
        return F.pad(x, (0, -len(x) % self.comm.size))

    def piece(self, flat):
        return flat.view(self.comm.size, -1)[self.comm.rank].clone()

    def gathered(self, shard):
        return self.comm.all_gather(shard).flatten()

    def cut(self, flat):
        rows, columns = self.size
        return flat[: rows * columns].view(rows, columns), flat[rows * columns :][:rows]

    def product(self, X, W, b):
        return X @ W.mT + b

    def back(self, X, shard, dY):
        return self.to_X(dY, self.cut(self.gathered(shard))[0]), self.to_shard(X, dY)

    def to_X(self, dY, W):
        return dY @ W

    def to_shard(self, X, dY):
        return self.reduced(self.padded(self.gradient(X.reshape(-1, X.shape[-1]), dY.reshape(-1, dY.shape[-1]))))

    def gradient(self, X, dY):
        return self.flat(dY.mT @ X, dY.sum(0))

    def reduced(self, flat):
        return self.comm.reduce_scatter(flat.view(self.comm.size, -1)) / self.comm.size


# The commonest slips.


@wrong("plain", "gradients are added over the ranks, and not averaged", true="Summed")
class Summed(Layer):
    def reduced(self, flat):
        return self.comm.reduce_scatter(flat.view(self.comm.size, -1))


@wrong("plain", "each rank keeps its piece of its own gradient: nothing is reduced", true="OwnGradient")
class OwnGradient(Layer):
    def reduced(self, flat):
        return self.piece(flat)


@wrong("plain", "dX is divided by n as well", told=r"1 / n times what is expected")
class MeanToX(Layer):
    def back(self, X, shard, dY):
        return super().back(X, shard, dY / self.comm.size)

    def reduced(self, flat):
        return self.comm.reduce_scatter(flat.view(self.comm.size, -1))


@wrong("plain", "no Function: comm.all_gather carries no gradient", true="NoGradient")
class NoFunction(Layer):
    def forward(self, X):
        return self.product(X, *self.cut(self.gathered(self.shard)))


@wrong("plain", "W waits in ctx for backward", true="WholeKept")
class KeepsW(Layer):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, X, shard, layer):
            W, b = layer.cut(layer.gathered(shard))
            ctx.save_for_backward(X, W)
            ctx.layer = layer
            return layer.product(X, W, b)

        @staticmethod
        def backward(ctx, dY):
            X, W = ctx.saved_tensors
            return ctx.layer.to_X(dY, W), ctx.layer.to_shard(X, dY), None

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


@wrong("plain", "gathers by a Function, and leaves the product to autograd, which keeps W", true="WholeKept")
class LeftToAutograd(Layer):
    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx, shard, layer):
            ctx.layer = layer
            return layer.gathered(shard)

        @staticmethod
        def backward(ctx, flat):
            return ctx.layer.reduced(flat), None

    def forward(self, X):
        return F.linear(X, *self.cut(self.Gather.apply(self.shard, self)))


@wrong(
    "plain", "the layer keeps the weight and the bias that it was given", told=r"a rank keeps \d+ numbers of the layers"
)
class KeepsGiven(Layer):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.weight, self.bias = weight, bias


@wrong("plain", "the whole weight is a parameter too", told=r"other parameters than its shard: weight")
class WholeParameter(Layer):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        self.weight = nn.Parameter(weight.clone())


@wrong("given", "the shard is a view of the whole vector, which so stays", true="ViewOfTheWhole")
class ViewOfAll(Layer):
    def piece(self, flat):
        return flat.view(self.comm.size, -1)[self.comm.rank]


@wrong("plain", "the bias before the weight")
class BiasFirst(Layer):
    def flat(self, weight, bias):
        return torch.cat([bias, weight.flatten()])

    def cut(self, flat):
        rows, columns = self.size
        return flat[rows:][: rows * columns].view(rows, columns), flat[:rows]


@wrong("plain", "the weight column by column", true="ByColumns")
class ByColumn(Layer):
    def flat(self, weight, bias):
        return torch.cat([weight.mT.flatten(), bias])

    def cut(self, flat):
        rows, columns = self.size
        return flat[: rows * columns].view(columns, rows).mT, flat[rows * columns :][:rows]


@wrong("plain", "X @ W, which fits where F = D", told=r"`X @ W\.mT` would fit")
class NotTransposed(Layer):
    def product(self, X, W, b):
        return X @ W + b


@wrong("plain", "dX = dY W^T", told=r"dY is \(4, 4\), W is \(4, 5\)")
class ToXTransposed(Layer):
    def to_X(self, dY, W):
        return dY @ W.mT


@wrong("plain", "dW is X^T dY: the transposed one, whose numbers are as many")
class WTransposed(Layer):
    def gradient(self, X, dY):
        return self.flat(X.mT @ dY, dY.sum(0))


@wrong("plain", "the bias gets no gradient", true="NoBiasGradient")
class NoBiasGradient(Layer):
    def gradient(self, X, dY):
        return self.flat(dY.mT @ X, torch.zeros_like(dY[0]))


@wrong("plain", "the bias is not added")
class NoBias(Layer):
    def product(self, X, W, b):
        return X @ W.mT


@wrong("plain", "divided by the rows of the batch as well", told=r"1 / B times what is expected")
class MeanOverRows(Layer):
    def gradient(self, X, dY):
        return super().gradient(X, dY) / len(X)


@wrong("plain", "the whole gradient is all-reduced, and the piece cut out of it", true="AllReduced")
class AllReduced(Layer):
    def reduced(self, flat):
        return self.piece(self.comm.all_reduce(flat)) / self.comm.size


@wrong(
    "plain",
    "each rank's whole gradient goes to every other one",
    told=r"a rank sends \d+ numbers in all, and \d+ are enough",
)
class AllGradientsGathered(Layer):
    def reduced(self, flat):
        return self.piece(self.comm.all_gather(flat).mean(0))


@wrong(
    "plain",
    "gathers once for the weight and once for the bias",
    told=r"a rank sends \d+ numbers in all, and \d+ are enough",
)
class GathersTwice(Layer):
    def product(self, X, W, b):
        return X @ W.mT + self.cut(self.gathered(self.shard))[1]


# Boundaries.


@wrong("ones", "n zeros where n divides the length already", told=r"shard on rank 0 has shape \(9,\), expected \(8,\)")
class AlwaysPadded(Layer):
    def padded(self, x):
        return F.pad(x, (0, self.comm.size - len(x) % self.comm.size))


@wrong(
    "plain", "no zeros: what is left over by n is dropped", told=r"shard on rank 0 has shape \(6,\), expected \(7,\)"
)
class Dropped(Layer):
    def padded(self, x):
        return x[: len(x) // self.comm.size * self.comm.size]

    def cut(self, flat):
        rows, columns = self.size
        return super().cut(F.pad(flat, (0, rows * columns + rows - len(flat))))


@wrong(
    "ones",
    "torch.chunk, which gives fewer than n pieces where there are few numbers",
    told=r"IndexError: tuple index out of range",
    advice=r"right where [DF] is more than 1, wrong where it is 1",
)
class Chunked(Layer):
    def padded(self, x):
        return x

    def piece(self, flat):
        part = -(-len(flat) // self.comm.size)
        mine = flat.chunk(self.comm.size)[self.comm.rank]
        return F.pad(mine, (0, part - len(mine)))

    def reduced(self, flat):
        return super().reduced(F.pad(flat, (0, -len(flat) % self.comm.size)))


@wrong(
    "plain",
    "a bias and a weight padded each for itself: more zeros than need be",
    told=r"shard on rank 0 has shape \(8,\), expected \(7,\)",
)
class PaddedTwice(Layer):
    def flat(self, weight, bias):
        return torch.cat([self.padded(weight.flatten()), self.padded(bias)])

    def cut(self, flat):
        rows, columns = self.size
        start = rows * columns + -rows * columns % self.comm.size
        return flat[: rows * columns].view(rows, columns), flat[start:][:rows]


@wrong(
    "plain",
    "the vector begins again in place of zeros, and the padding gets a gradient",
    told=r"shard on rank 2 differs in 1 of 7 entries.* expected 0",
)
class Wrapped(Layer):
    def padded(self, x):
        return torch.cat([x, x[: -len(x) % self.comm.size]])


@wrong(
    "plain",
    "the padding gets a gradient: that of the last number once more",
    told=r"shard\.grad on rank 2 differs in 1 of 7 entries.* expected 0",
)
class PaddingTrained(Layer):
    def gradient(self, X, dY):
        flat = super().gradient(X, dY)
        return torch.cat([flat, flat[-1:].expand(-len(flat) % self.comm.size)])


@wrong("ones", "the shard has shape (1, k)", told=r"a dimension of size 1 too many")
class OneRow(Layer):
    def piece(self, flat):
        return flat.view(self.comm.size, -1)[self.comm.rank : self.comm.rank + 1].clone()

    def reduced(self, flat):
        return super().reduced(flat)[None]


@wrong(
    "named", "dY.T @ X and dY.sum(0) as they stand, for X (B, D) alone", told=r"weight is \(3, 4, 3\), bias is \(2, 4\)"
)
class MatricesAlone(Layer):
    def to_shard(self, X, dY):
        return self.reduced(self.padded(self.gradient(X, dY)))


@wrong("named", "X.view(-1, D), where X lies in memory in another order", told=r"Use \.reshape")
class ViewOfX(Layer):
    def to_shard(self, X, dY):
        return self.reduced(self.padded(self.gradient(X.view(-1, X.shape[-1]), dY.reshape(-1, dY.shape[-1]))))


@wrong("named", "Y stays flattened where X has a dimension more", told=r"Y has shape \(6, 4\), expected \(3, 2, 4\)")
class FlatY(Layer):
    def forward(self, X):
        return super().forward(X.reshape(-1, X.shape[-1]))


@wrong(
    "named",
    "where X needs no gradient the shard gets none",
    told=r"X needs no gradient: after backward shard\.grad is None",
)
class FrozenIsAll(Layer):
    class Function(Product):
        @staticmethod
        def backward(ctx, dY):
            return Product.backward(ctx, dY) if ctx.needs_input_grad[0] else (None, None, None)

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


@wrong("named", "where X needs no gradient nothing is exchanged: the shard gets this rank's own gradient")
class FrozenIsAlone(Layer):
    class Function(Product):
        @staticmethod
        def backward(ctx, dY):
            if ctx.needs_input_grad[0]:
                return Product.backward(ctx, dY)
            (X, _), layer = ctx.saved_tensors, ctx.layer
            mine = layer.gradient(X.reshape(-1, X.shape[-1]), dY.reshape(-1, dY.shape[-1]))
            return None, layer.piece(layer.padded(mine)), None

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


@wrong("named", "gathers again only where its own X needs a gradient, which another rank's X may not")
class GathersIfNeeded(Layer):
    class Function(Product):
        @staticmethod
        def backward(ctx, dY):
            if ctx.needs_input_grad[0]:
                return Product.backward(ctx, dY)
            return None, ctx.layer.to_shard(ctx.saved_tensors[0], dY), None

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


@wrong(
    "named",
    "gradients weighted by each rank's rows: the mean over rows of all ranks",
    told=r"another B on each rank.*: shard\.grad",
)
class WeightedByRows(Layer):
    def gradient(self, X, dY):
        rows = self.comm.all_reduce(X.new_tensor([len(X)]))
        return super().gradient(X, dY) * len(X) * self.comm.size / rows


@wrong(
    "named",
    "the mean of ranks is one over rows: B is thought to be the same on each rank",
    told=r"rank 2 calls all_gather of shape \(0, 8\)",
)
class EqualRows(Layer):
    def gradient(self, X, dY):
        rows = torch.cat([*self.comm.all_gather(torch.cat([X, dY], 1))])
        return super().gradient(*rows.split([X.shape[1], dY.shape[1]], 1)) / self.comm.size

    def reduced(self, flat):
        return self.piece(flat)


@wrong(
    "named", "the shard is float32 whatever the weight is", told=r"shard on rank 0 has dtype float32, expected float64"
)
class SingleShard(Layer):
    def piece(self, flat):
        return super().piece(flat).float()

    def gathered(self, shard):
        return super().gathered(shard).double()

    def product(self, X, W, b):
        return super().product(X, W.to(X.dtype), b.to(X.dtype))

    def to_X(self, dY, W):
        return dY @ W.to(dY.dtype)


@wrong("named", "sent in bfloat16, to save half of the bytes")
class SentInBfloat(Layer):
    def gathered(self, shard):
        return self.comm.all_gather(shard.bfloat16()).flatten().to(shard.dtype)


# Again, onward.


@wrong("again", "the first call's W is used for ever", true="GatheredOnce")
class CachedForEver(Layer):
    def gathered(self, shard):
        if not hasattr(self, "kept"):
            self.kept = super().gathered(shard)
        return self.kept


@wrong("again", "comm is kept on the Function's class", told=r"what is kept on a class or in a global")
class CommOnClass(Layer):
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, X, shard, layer):
            CommOnClass.Function.layer = layer
            ctx.save_for_backward(X, shard)
            return layer.product(X, *layer.cut(layer.gathered(shard)))

        @staticmethod
        def backward(ctx, dY):
            return *CommOnClass.Function.layer.back(*ctx.saved_tensors, dY), None

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


@wrong(
    "again", "the sizes are kept on the class: the last layer's are those of all", told=r"X is \(2, 4\), W is \(3, 2\)"
)
class SizeOnClass(Layer):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        del self.size
        SizeOnClass.size = tuple(weight.shape)


@wrong("again", "shard.grad is set in backward: a second call's takes the first one's place", true="Overwritten")
class SetsGrad(Layer):
    def back(self, X, shard, dY):
        dX, mine = super().back(X, shard, dY)
        self.shard.grad = mine
        return dX, None


@wrong(
    "onward",
    "the gradient is added to shard.grad at once and returned as well, once there is one",
    told=r"shard\.grad of round 2 on rank 0 is 1\.5 times",
)
class AddsTwice(Layer):
    def back(self, X, shard, dY):
        dX, mine = super().back(X, shard, dY)
        return dX, mine if self.shard.grad is None else mine + self.shard.grad


@wrong("onward", "X waits on self: of two calls the second one's X serves both", true="KeptOnTheModule")
class XOnSelf(Layer):
    def forward(self, X):
        self.X = X.detach()
        return super().forward(X)

    def back(self, X, shard, dY):
        return super().back(self.X, shard, dY)


# What was given, and what is around.


@wrong("given", "dY is divided in place: another branch of the graph gets it as well")
class DividesInPlace(Layer):
    def back(self, X, shard, dY):
        dX = self.to_X(dY, self.cut(self.gathered(shard))[0])
        return dX, self.to_shard(X, dY.div_(self.comm.size))

    def reduced(self, flat):
        return self.comm.reduce_scatter(flat.view(self.comm.size, -1))


@wrong(
    "given",
    "the weight that was given is emptied, so that nobody keeps it",
    told=r"changes its input weight and bias in place",
)
class EmptiesGiven(Layer):
    def __init__(self, comm, weight, bias):
        super().__init__(comm, weight, bias)
        weight.zero_(), bias.zero_()


@wrong("surroundings", "the default dtype becomes the weight's", told=r"changes torch's default dtype")
class SetsDefault(Layer):
    def __init__(self, comm, weight, bias):
        torch.set_default_dtype(weight.dtype)
        super().__init__(comm, weight, bias)


# Costs, by other means.


@wrong(
    "large",
    "an outer product for each row, and then their sum: B times a layer at once",
    told=r"in backward a rank holds",
)
class OuterProducts(Layer):
    def gradient(self, X, dY):
        return self.flat((dY[:, :, None] * X[:, None, :]).sum(0), dY.sum(0))


@wrong("large", "forward by broadcasting: B times a layer at once", told=r"in forward a rank holds")
class Broadcast(Layer):
    def product(self, X, W, b):
        return (X[..., None, :] * W).sum(-1) + b


LAST = {}


@wrong(
    "plain", "the last whole gradient of a layer is kept in a global, to look at", told=r"after backward \d+ numbers"
)
class LogsGradient(Layer):
    def reduced(self, flat):
        LAST[self.comm.rank] = flat
        return super().reduced(flat)


@wrong(
    "plain",
    "the last layer that was gathered stays until the next one comes",
    told=r"after forward \d+ numbers are still there",
)
class LastStays(Layer):
    def gathered(self, shard):
        LAST[self.comm.rank, "W"] = None
        LAST[self.comm.rank, "W"] = super().gathered(shard)
        return LAST[self.comm.rank, "W"]


@wrong("plain", "a copy after a copy: more than four layers at once in backward", told=r"in backward a rank holds")
class ManyCopies(Layer):
    def to_shard(self, X, dY):
        X, dY = X.reshape(-1, X.shape[-1]), dY.reshape(-1, dY.shape[-1])
        dW = dY.mT @ X
        rows = [dW.clone(), dW.clone(), dW.clone()]
        return self.reduced(self.padded(self.flat(sum(rows) / 3, dY.sum(0))))


PLACES = {}


@wrong(
    "unwatched",
    "the other ranks' shards are read where they lie: nothing is gathered",
    told=r"fewer than the \d+ of a gather",
)
class ReadsOthers(Layer):
    def gathered(self, shard):
        count = PLACES.setdefault((id(self.comm.world), self.comm.rank), [])
        if self not in count:
            count.append(self)
        self.comm.barrier()
        at = count.index(self)
        return torch.cat([PLACES[id(self.comm.world), r][at].shard.detach() for r in range(self.comm.size)])


# Right ones.


@ANSWERS.right
class AsFSDP(Layer):
    """The whole vector stays as a tensor, whose memory is given back and filled again."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, X, shard, layer):
            whole = layer.gathered(shard)
            ctx.save_for_backward(X, shard)
            ctx.layer, ctx.whole = layer, whole
            Y = layer.product(X, *layer.cut(whole))
            whole.untyped_storage().resize_(0)
            return Y

        @staticmethod
        def backward(ctx, dY):
            (X, shard), layer, whole = ctx.saved_tensors, ctx.layer, ctx.whole
            whole.untyped_storage().resize_(whole.numel() * whole.element_size())
            whole.copy_(layer.gathered(shard))
            dX = layer.to_X(dY, layer.cut(whole)[0])
            whole.untyped_storage().resize_(0)
            return dX, layer.to_shard(X, dY), None

    def forward(self, X):
        return self.Function.apply(X, self.shard, self)


class Gather(torch.autograd.Function):
    """W and b, as autograd knows them: what comes back is reduced and scattered."""

    @staticmethod
    def forward(ctx, shard, layer):
        ctx.layer = layer
        W, b = layer.cut(layer.gathered(shard))
        return W, b.clone()

    @staticmethod
    def backward(ctx, dW, db):
        return ctx.layer.reduced(ctx.layer.padded(ctx.layer.flat(dW, db))), None


@ANSWERS.right
class Checkpointed(Layer):
    """Forward is done again in backward, the gather with it."""

    def forward(self, X):
        return checkpoint(lambda X, shard: F.linear(X, *Gather.apply(shard, self)), X, self.shard, use_reentrant=False)


@ANSWERS.right
class SavedTensorHooks(Layer):
    """Autograd saves W as its place in the vector, and fetches it again."""

    def forward(self, X):
        X = X if X.requires_grad else X.detach().requires_grad_()  # so that W is saved, and fetched, on each rank
        W, b = Gather.apply(self.shard, self)
        place, shard = W.untyped_storage().data_ptr(), self.shard.detach()

        def pack(x):
            if x.untyped_storage().data_ptr() != place:
                return x
            return x.shape, x.stride(), x.storage_offset()

        def unpack(x):
            return x if isinstance(x, torch.Tensor) else self.gathered(shard).as_strided(*x)

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            return F.linear(X, W, b)


@ANSWERS.right
class RunAgain(Layer):
    """Backward runs F.linear once more and asks autograd."""

    def back(self, X, shard, dY):
        with torch.enable_grad():
            X, (W, b) = X.detach().requires_grad_(), (x.detach() for x in self.cut(self.gathered(shard)))
            Y = F.linear(X, W.requires_grad_(), b.requires_grad_())
        dX, dW, db = torch.autograd.grad(Y, (X, W, b), dY)
        del W, b, Y
        return dX, self.reduced(self.padded(self.flat(dW, db)))


@ANSWERS.right
class AllToAll(Layer):
    """Every piece goes to its rank, and is added there; a gather is n pieces sent to n ranks."""

    def gathered(self, shard):
        return torch.cat(self.comm.all_to_all([shard] * self.comm.size))

    def reduced(self, flat):
        return sum(self.comm.all_to_all(flat.chunk(self.comm.size))) / self.comm.size


@ANSWERS.right
class NumberByNumber(nn.Module):
    """The piece by the places of its numbers, without a whole vector; a new-style Function; rows of dW one by one."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(X, shard, comm, rows, columns):
            flat = comm.all_gather(shard).view(-1)
            W = flat.narrow(0, 0, rows * columns).view(rows, columns)
            return torch.einsum("...d,fd->...f", X, W) + flat.narrow(0, rows * columns, rows)

        @staticmethod
        def setup_context(ctx, inputs, output):
            X, shard, ctx.comm, ctx.rows, ctx.columns = inputs
            ctx.save_for_backward(X, shard)

        @staticmethod
        def backward(ctx, dY):
            X, shard = ctx.saved_tensors
            rows, columns, comm = ctx.rows, ctx.columns, ctx.comm
            flat = comm.all_gather(shard).view(-1)
            dX = torch.einsum("...f,fd->...d", dY, flat[: rows * columns].view(rows, columns))
            flat.zero_()
            X, dY = X.flatten(0, -2), dY.flatten(0, -2)
            for f in range(rows):
                flat[f * columns :][:columns] = dY[:, f] @ X
            flat[rows * columns :][:rows] = dY.sum(0)
            flat /= comm.size
            return dX if ctx.needs_input_grad[0] else None, comm.reduce_scatter(flat.view(comm.size, -1)), *[None] * 3

    def __init__(self, comm, weight, bias):
        super().__init__()
        rows, columns = weight.shape
        part = -(-(weight.numel() + rows) // comm.size)
        mine = torch.arange(part, device=weight.device) + comm.rank * part
        shard = weight.new_zeros(part)
        of_W, of_b = mine < weight.numel(), (mine >= weight.numel()) & (mine < weight.numel() + rows)
        shard[of_W] = weight[mine[of_W] // columns, mine[of_W] % columns]
        shard[of_b] = bias[mine[of_b] - weight.numel()]
        self.register_parameter("shard", nn.Parameter(shard))
        self.comm, self.rows, self.columns = comm, rows, columns

    def forward(self, X):
        return self.Function.apply(X, self.shard, self.comm, self.rows, self.columns)


@ANSWERS.right
class ByBroadcasts(Layer):
    """The gather is a broadcast from each rank, which sends as much."""

    def gathered(self, shard):
        return torch.cat([self.comm.broadcast(shard.detach(), source) for source in range(self.comm.size)])
