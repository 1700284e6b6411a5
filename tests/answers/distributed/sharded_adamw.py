"""Answers to distributed.sharded_adamw."""

import math

import numpy as np
import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.sharded_adamw", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


class Base:
    """A right answer, of which a part is replaced."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, list(params)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.m = self.v = 0
        self.t = 0

    def pad(self, flat):
        return nn.functional.pad(flat, (0, -len(flat) % self.comm.size))

    def rows(self, tensors):
        flat = torch.cat([x.detach().reshape(-1) for x in tensors])
        return self.pad(flat).view(self.comm.size, -1)

    def grads(self):
        return self.rows([p.grad for p in self.params])

    def mean(self, rows):
        return self.comm.reduce_scatter(rows) / self.comm.size

    def weights(self):
        return self.rows(self.params)[self.comm.rank]

    def moments(self, g):
        one, two = self.betas
        self.m = one * self.m + (1 - one) * g
        self.v = two * self.v + (1 - two) * g * g

    def direction(self):
        one, two = self.betas
        m, v = self.m / (1 - one**self.t), self.v / (1 - two**self.t)
        return m / (v.sqrt() + self.eps)

    def moved(self, w, g):
        self.moments(g)
        return w * (1 - self.lr * self.weight_decay) - self.lr * self.direction()

    def gather(self, row):
        return self.comm.all_gather(row).flatten()

    def write(self, flat):
        sizes = [p.numel() for p in self.params]
        for p, piece in zip(self.params, flat[: sum(sizes)].split(sizes), strict=True):
            self.put(p, piece)

    def put(self, p, piece):
        p.copy_(piece.view_as(p))

    def count(self):
        self.t += 1

    @torch.no_grad()
    def step(self):
        self.count()
        g = self.mean(self.grads())
        self.write(self.gather(self.moved(self.weights(), g)))


@wrong("plain", "the sum of gradients", true="Summed")
class SumOfRanks(Base):
    def mean(self, rows):
        return self.comm.reduce_scatter(rows)


@wrong("plain", "each rank's own gradient", true="OwnGradient")
class OwnGradient(Base):
    def mean(self, rows):
        return rows[self.comm.rank]


@wrong("plain", "decay goes into the gradient, as in Adam", true="L2")
class Adam(Base):
    def moved(self, w, g):
        self.moments(g + self.weight_decay * w)
        return w - self.lr * self.direction()


@wrong("plain", "decay without lr", told="right where weight_decay is 0")
class DecayWithoutRate(Base):
    def moved(self, w, g):
        self.moments(g)
        return w * (1 - self.weight_decay) - self.lr * self.direction()


@wrong("plain", "decay after the step", told="right where weight_decay is 0")
class DecayAfterwards(Base):
    def moved(self, w, g):
        self.moments(g)
        return (w - self.lr * self.direction()) * (1 - self.lr * self.weight_decay)


@wrong("plain", "no decay", true="NoDecay")
class NoDecay(Base):
    def moved(self, w, g):
        self.moments(g)
        return w - self.lr * self.direction()


@wrong("plain", "no bias correction", true="Uncorrected")
class NoCorrection(Base):
    def direction(self):
        return self.m / (self.v.sqrt() + self.eps)


@wrong("onward", "the step is not counted: always the correction of the first one")
class FirstStepAlways(Base):
    def count(self):
        self.t = 1


@wrong("plain", "the first step counts as the second")
class OneStepAhead(Base):
    def __init__(self, *given):
        super().__init__(*given)
        self.t = 1


@wrong("plain", "the count is raised after the step: 1 - beta^0 is 0", told="is NaN in 10 of 10")
class CountsLate(Base):
    def count(self):
        pass

    def write(self, flat):
        super().write(flat)
        self.t += 1


@wrong("plain", "eps under the root", true="EpsInside")
class EpsUnderRoot(Base):
    def direction(self):
        one, two = self.betas
        return self.m / (1 - one**self.t) / (self.v / (1 - two**self.t) + self.eps).sqrt()


@wrong("plain", "eps before the correction, as in the paper's short form", true="EpsBeforeCorrection")
class EpsBeforeCorrection(Base):
    def direction(self):
        one, two = self.betas
        return self.m / (self.v.sqrt() + self.eps) * (1 - two**self.t) ** 0.5 / (1 - one**self.t)


@wrong("plain", "no root")
class NoRoot(Base):
    def direction(self):
        one, two = self.betas
        return self.m / (1 - one**self.t) / (self.v / (1 - two**self.t) + self.eps)


@wrong("plain", "betas change places")
class BetasSwapped(Base):
    def __init__(self, comm, params, lr, betas, *given):
        super().__init__(comm, params, lr, betas[::-1], *given)


@wrong("plain", "v is the mean over ranks of squares")
class MeanOfSquares(Base):
    def mean(self, rows):
        self.square = self.comm.reduce_scatter(rows**2) / self.comm.size
        return super().mean(rows)

    def moments(self, g):
        one, two = self.betas
        self.m = one * self.m + (1 - one) * g
        self.v = two * self.v + (1 - two) * self.square


@wrong("onward", "averages do not live on: each step begins with zeros", told=r"six steps, .*: the result")
class Forgets(Base):
    def moments(self, g):
        self.m = self.v = 0
        super().moments(g)


@wrong("plain", "only the rank's own part is written", true="NotGathered")
class OwnPartAlone(Base):
    def gather(self, row):
        rows = self.rows(self.params)
        rows[self.comm.rank] = row
        return rows.flatten()


@wrong("plain", "nothing is written into the given parameters", told="changes none of the given parameters")
class NewNames(Base):
    def write(self, flat):
        self.params = [nn.Parameter(p.clone()) for p in self.params]
        super().write(flat)

    def grads(self):
        return self.rows([torch.ones_like(p) if p.grad is None else p.grad for p in self.params])


@wrong(
    "given",
    "the new numbers go into what reshape gives, a copy where p is not contiguous",
    told="not contiguous, float64: step\\(\\) changes none of the given parameters",
)
class IntoACopy(Base):
    def put(self, p, piece):
        p.detach().reshape(-1).copy_(piece)


@wrong("named", "view(-1) of what is not contiguous", told="Use \\.reshape")
class Views(Base):
    def rows(self, tensors):
        flat = torch.cat([x.detach().view(-1) for x in tensors])
        return self.pad(flat).view(self.comm.size, -1)


@wrong("named", "the memory of W.T is taken as it lies", told="not contiguous, float64: the result")
class AsItLies(Base):
    def rows(self, tensors):
        flat = torch.cat(
            [
                x.detach().t().reshape(-1) if x.dim() == 2 and not x.is_contiguous() else x.detach().reshape(-1)
                for x in tensors
            ]
        )
        return self.pad(flat).view(self.comm.size, -1)


@wrong("ones", "torch.cat of a number of shape ()", told="zero-dimensional tensor")
class NoScalars(Base):
    def rows(self, tensors):
        parts = [x.detach().reshape(-1) if x.dim() > 1 else x.detach() for x in tensors]
        return self.pad(torch.cat(parts)).view(self.comm.size, -1)


@wrong(
    "ones",
    "a parameter of one number does not decay",
    told="only where index -1 is 9",
    advice="right where weight_decay is 0",
)
class SingleNumbersDoNotDecay(Base):
    def moved(self, w, g):
        self.moments(g)
        trains = self.rows([torch.full_like(p, float(p.numel() > 1)) for p in self.params])[self.comm.rank]
        return w * (1 - self.lr * self.weight_decay * trains) - self.lr * self.direction()


@wrong("named", "no zeros are added: n has to divide P", told="shape '\\[3, -1\\]' is invalid for input of size 10")
class NoPadding(Base):
    def pad(self, flat):
        return flat


@wrong("named", "the rest that n does not divide is cut off, and stays as it is", true="RemainderLost")
class RestCutOff(Base):
    def pad(self, flat):
        return flat[: len(flat) // self.comm.size * self.comm.size]

    def write(self, flat):
        old = torch.cat([p.detach().reshape(-1) for p in self.params])
        super().write(torch.cat([flat, old[len(flat) :]]))


@wrong(
    "ones",
    "where n divides P, a whole column of zeros is added: more is sent than P' allows",
    told="in a step a rank sends",
)
class OneColumnMore(Base):
    def pad(self, flat):
        return nn.functional.pad(flat, (0, self.comm.size - len(flat) % self.comm.size))


@wrong("again", "params is an iterator, and is gone through at each step", told="params from iterators, four steps: ")
class ReadsAgain(Base):
    def __init__(self, comm, params, *given):
        super().__init__(comm, [], *given)
        self.params = params


@wrong(
    "again",
    "the averages stand on the class: two optimizers, and all ranks, share them",
    told="it keeps something from one call to the next",
)
class MomentsOnClass(Base):
    both = {"m": 0, "v": 0}  # noqa: RUF012

    def moments(self, g):
        one, two = self.betas
        self.both["m"] = self.m = one * self.both["m"] + (1 - one) * g
        self.both["v"] = self.v = two * self.both["v"] + (1 - two) * g * g


@wrong(
    "again",
    "averages are kept by rank on the class: two optimizers share them",
    told="three optimizers in turns, .*: the result of each step",
)
class MomentsByRank(Base):
    kept = {}  # noqa: RUF012

    def __init__(self, comm, *given):
        super().__init__(comm, *given)
        self.kept.pop(comm.rank, None)

    def moments(self, g):
        self.m, self.v = self.kept.get(self.comm.rank, (0, 0))
        super().moments(g)
        self.kept[self.comm.rank] = self.m, self.v


@wrong("again", "the count of steps stands on the class", told="it keeps something from one call to the next")
class CountOnClass(Base):
    steps = 0

    def count(self):
        type(self).steps += 1
        self.t = type(self).steps


@wrong(
    "again",
    "eps and the decay stand on the class: they are those of the optimizer that was made last",
    told="three optimizers in turns",
)
class SettingsOnClass(Base):
    last = {}  # noqa: RUF012

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        super().__init__(comm, params, lr, betas, eps, weight_decay)
        self.last.update(eps=eps, weight_decay=weight_decay)

    def moved(self, w, g):
        self.eps, self.weight_decay = self.last["eps"], self.last["weight_decay"]
        return super().moved(w, g)


@wrong("again", "betas are those of the first optimizer that was made", told="beta1 is 0, float64: the result")
class FirstBetas(Base):
    first = {}  # noqa: RUF012

    def __init__(self, comm, params, lr, betas, *given):
        super().__init__(comm, params, lr, self.first.setdefault((comm.rank, lr > 0.06), betas), *given)


@wrong(
    "given",
    "the rank's part of the weights is kept from the start: what somebody else writes into p is lost",
    true="KeepsItsPart",
)
class KeepsWeights(Base):
    own = None

    def weights(self):
        return super().weights() if self.own is None else self.own

    def moved(self, w, g):
        self.own = super().moved(w, g)
        return self.own


@wrong("given", "parameters are taken in the order of their sizes, in the caller's list", told="the list .*params")
class SortsTheList(Base):
    def __init__(self, comm, params, *given):
        params = params if isinstance(params, list) else list(params)
        params.sort(key=lambda p: -p.numel())
        super().__init__(comm, params, *given)
        self.params = params


@wrong(
    "given", "every parameter is frozen while it is written, and stays frozen", told="a parameter is frozen after step"
)
class Frozen(Base):
    def put(self, p, piece):
        p.requires_grad_(False).copy_(piece.view_as(p))


@wrong("plain", "m and v of all parameters on each rank", true="NothingSharded")
class WholeMoments(Base):
    def mean(self, rows):
        return self.comm.all_gather(super().mean(rows))

    def weights(self):
        return self.rows(self.params)

    def gather(self, row):
        return row.flatten()


@wrong("plain", "an all-reduce of gradients, m and v of its own part, and what is new is gathered", true="AllReduces")
class AllReduces(Base):
    def mean(self, rows):
        return self.comm.all_reduce(rows)[self.comm.rank] / self.comm.size


@wrong("plain", "all ranks send all gradients to all", told="in a step a rank sends 120 numbers")
class GathersGradients(Base):
    def mean(self, rows):
        return self.comm.all_gather(rows)[:, self.comm.rank].mean(0)


@wrong("plain", "each rank broadcasts its part, filled up to all of the parameters", true="AllReduces")
class AllReducesWeights(Base):
    def gather(self, row):
        rows = torch.zeros(self.comm.size, len(row), dtype=row.dtype)
        rows[self.comm.rank] = row
        return self.comm.all_reduce(rows).flatten()


class ByParameter(Base):
    """Whole parameters belong to ranks."""

    def __init__(self, comm, params, *given):
        super().__init__(comm, params, *given)
        self.kept = {}

    def owner(self, i):
        return i % self.comm.size

    @torch.no_grad()
    def step(self):
        self.count()
        for i, p in enumerate(self.params):
            g = self.comm.all_reduce(p.grad.detach()) / self.comm.size
            new = p.detach()
            if self.owner(i) == self.comm.rank:
                self.m, self.v = self.kept.get(i, (0, 0))
                new = self.moved(p.detach(), g)
                self.kept[i] = self.m, self.v
            p.copy_(self.comm.broadcast(new, self.owner(i)))


@wrong("large", "whole parameters in turns: one rank may have all that are large; too much is sent", true="ByCount")
class InTurns(ByParameter):
    pass


@wrong("large", "the first rank owns what comes first, by the number of tensors; too much is sent", true="ByCount")
class InARow(ByParameter):
    def owner(self, i):
        return i * self.comm.size // len(self.params)


@wrong(
    "plain",
    "whole parameters, dealt out by size to who has least: too much is sent",
    told="in a step a rank sends 80 numbers",
)
class Greedy(ByParameter):
    def owner(self, i):
        load = [0] * self.comm.size
        order = sorted(range(len(self.params)), key=lambda j: -self.params[j].numel())
        owners = {}
        for j in order:
            owners[j] = min(range(self.comm.size), key=load.__getitem__)
            load[owners[j]] += self.params[j].numel()
        return owners[i]


@wrong(
    "plain",
    "the flat gradients and weights are kept as buffers between steps",
    true="KeepsAll",
    told="a rank holds 835 numbers beside",
)
class KeepsBuffers(Base):
    def grads(self):
        self.g = super().grads()
        return self.g

    def weights(self):
        self.w = self.rows(self.params)
        return self.w[self.comm.rank]


@wrong(
    "large",
    "besides m and v, its part of gradient and weights is kept: 4 P / n, too much for many small ones",
    told="numbers beside parameters and gradients",
)
class KeepsFourRows(Base):
    def moved(self, w, g):
        self.w, self.g = w.clone(), g
        return super().moved(w, g)


@wrong("onward", "the gradient of every step is kept", told="numbers beside parameters and gradients")
class KeepsHistory(Base):
    def __init__(self, *given):
        super().__init__(*given)
        self.history = []

    def moments(self, g):
        self.history.append(g)
        super().moments(g)


@wrong("onward", "from the second step on rank 0 broadcasts its parameters, to be sure", told="in a step a rank sends")
class BroadcastsLater(Base):
    def write(self, flat):
        super().write(self.comm.broadcast(flat) if self.t > 1 else flat)


@wrong(
    "plain",
    "after each step one number is sent too many: the count of steps is agreed on",
    told="in a step a rank sends 45 numbers",
)
class AgreesOnTheCount(Base):
    def count(self):
        self.t = int(self.comm.all_reduce(torch.tensor([self.t + 1]), op="max"))


@wrong(
    "unwatched",
    "m and v of all parameters as bytes on the optimizer",
    true="NothingSharded",
    told="numbers beside parameters and gradients",
)
class AsBytes(WholeMoments):
    def moments(self, g):
        if self.t > 1:
            self.m, self.v = (torch.tensor(np.frombuffer(x, dtype=self.kind)).view_as(g) for x in self.packed)
        super().moments(g)
        self.kind, self.packed = np.array(self.m).dtype, (np.array(self.m).tobytes(), np.array(self.v).tobytes())

    def moved(self, w, g):
        new = super().moved(w, g)
        self.m = self.v = 0
        return new


BOARD = {}


@wrong("unwatched", "ranks read each other's gradients and parts from a global dict", told="nobody can know the result")
class ByMemory(Base):
    def mean(self, rows):
        BOARD[self.comm.rank] = rows
        self.comm.barrier()
        g = sum(BOARD[r] for r in range(self.comm.size))[self.comm.rank] / self.comm.size
        self.comm.barrier()
        return g

    def gather(self, row):
        BOARD[self.comm.rank] = row
        self.comm.barrier()
        flat = torch.cat([BOARD[r] for r in range(self.comm.size)])
        self.comm.barrier()
        return flat


@wrong("onward", "after ten steps there is no correction any more", told="12 steps, float64: the result")
class TenCorrected(Base):
    def direction(self):
        return super().direction() if self.t <= 10 else self.m / (self.v.sqrt() + self.eps)


@wrong("far", "gradients travel in float16", told="a step in a coarser dtype")
class InHalf(Base):
    def mean(self, rows):
        return super().mean(rows.half()).to(rows.dtype)


@wrong("named", "m and v in float32, for parameters of float64 too", told="a step in a coarser dtype")
class MomentsInFloat32(Base):
    def moments(self, g):
        super().moments(g.float())

    def direction(self):
        return super().direction().to(self.params[0].dtype)


@wrong("surroundings", "the constructor makes float64 the default dtype", told="changes torch's default dtype")
class DefaultDtype(Base):
    def __init__(self, *given):
        super().__init__(*given)
        torch.set_default_dtype(torch.float64)


@wrong(
    "surroundings", "gradients are switched off for good, in the constructor", told="gradients are switched on or off"
)
class SwitchesOff(Base):
    def __init__(self, *given):
        super().__init__(*given)
        torch.set_grad_enabled(False)


@ANSWERS.right
class OneByOne:
    """Each parameter has its own rows, its own reduce-scatter and its own all-gather; p.grad is used up."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.lr, self.beta, self.eps, self.decay, self.t = comm, lr, betas, eps, weight_decay, 0
        self.kept = []
        for p in params:
            k = math.ceil(p.numel() / comm.size)
            self.kept.append((p, torch.zeros(k, dtype=p.dtype), torch.zeros(k, dtype=p.dtype)))

    def cut(self, x):
        rows = x.new_zeros(self.comm.size * math.ceil(x.numel() / self.comm.size))
        rows[: x.numel()] = x.flatten()
        return rows.view(self.comm.size, -1)

    def step(self):
        self.t += 1
        with torch.no_grad():
            for p, m, v in self.kept:
                g = self.comm.reduce_scatter(self.cut(p.grad)).div_(self.comm.size)
                p.grad = None
                w = self.cut(p)[self.comm.rank].clone()
                m.lerp_(g, 1 - self.beta[0])
                v.mul_(self.beta[1]).addcmul_(g, g, value=1 - self.beta[1])
                w.mul_(1 - self.lr * self.decay)
                root = (v.sqrt() / math.sqrt(1 - self.beta[1] ** self.t)).add_(self.eps)
                w.addcdiv_(m, root, value=-self.lr / (1 - self.beta[0] ** self.t))
                p.set_(p.data) if False else p.copy_(self.comm.all_gather(w).view(-1)[: p.numel()].reshape(p.shape))


@ANSWERS.right
class EveryNth:
    """Rank r owns the numbers r, r + n, r + 2n, ... of the long vector, in NumPy arrays."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params, self.given = comm, tuple(params), (lr, betas, eps, weight_decay)
        self.t, self.m, self.v = 0, None, None

    def columns(self, tensors):
        flat = torch.cat([x.detach().flatten() for x in tensors])
        n = self.comm.size
        return torch.cat([flat, flat.new_zeros(-len(flat) % n)]).view(-1, n).t().contiguous()

    @torch.no_grad()
    def step(self):
        lr, (one, two), eps, decay = self.given
        g = (self.comm.reduce_scatter(self.columns([p.grad for p in self.params])) / self.comm.size).numpy()
        self.t += 1
        self.m = (1 - one) * g if self.m is None else one * self.m + (1 - one) * g
        self.v = (1 - two) * g**2 if self.v is None else two * self.v + (1 - two) * g**2
        w = self.columns(self.params)[self.comm.rank].numpy()
        step = (self.m / (1 - one**self.t)) / (np.sqrt(self.v / (1 - two**self.t)) + eps)
        new = torch.from_numpy((w - lr * decay * w - lr * step).astype(w.dtype))
        flat = self.comm.all_gather(new).t().flatten()
        start = 0
        for p in self.params:
            p.data.copy_(flat[start : start + p.numel()].view(p.shape))
            start += p.numel()


@ANSWERS.right
class TorchsOwn:
    """torch.optim.AdamW on the rank's row, of which only m and v are kept between steps."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, [*params]
        rows = self.rows(self.params)
        self.row = nn.Parameter(rows.new_zeros(rows.shape[1]))
        self.optimizer = torch.optim.AdamW([self.row], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def rows(self, tensors):
        flat = torch.cat([x.detach().reshape(-1) for x in tensors])
        return nn.functional.pad(flat, (0, -len(flat) % self.comm.size)).view(self.comm.size, -1)

    def step(self):
        self.row.data = self.rows(self.params)[self.comm.rank].clone()
        self.row.grad = self.comm.reduce_scatter(self.rows([p.grad for p in self.params])) / self.comm.size
        self.optimizer.step()
        flat = self.comm.all_gather(self.row.detach()).flatten()
        self.row.grad, self.row.data = None, self.row.data.new_zeros(0)
        nn.utils.vector_to_parameters(flat[: sum(p.numel() for p in self.params)], self.params)


@ANSWERS.right
class DividedBefore(Base):
    """The mean before it is sent, shards of 1 / n with the rest in the last row, p.data replaced."""

    def mean(self, rows):
        return self.comm.reduce_scatter(rows / self.comm.size)

    def moved(self, w, g):
        return super().moved(w, g).clone()

    def put(self, p, piece):
        p.data = piece.reshape(p.shape)


@ANSWERS.right
class LastDirectionFirst(Base):
    """What is gathered is the change, and each rank subtracts it."""

    def moved(self, w, g):
        self.moments(g)
        return self.lr * (self.direction() + self.weight_decay * w)

    def put(self, p, piece):
        p.sub_(piece.view_as(p))
