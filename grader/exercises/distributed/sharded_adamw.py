"""AdamW (Loshchilov and Hutter 2019, algorithm 2) on the mean gradient of n ranks, with its state in shards: stages 1
and 2 of ZeRO (Rajbhandari et al. 2020, sections 5.1 and 5.2).

All numbers stand in one vector, with zeros up to a multiple of n; rank r has the r-th of n equal pieces of it.
"""

import torch
from torch.nn.functional import pad

from grader.contract import Trusted


class Reference:
    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, list(params)
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, weight_decay
        self.sizes = [p.numel() for p in self.params]
        self.k, self.t = self.length(), 0
        self.m, self.v = self.params[0].new_zeros(self.k), self.params[0].new_zeros(self.k)

    def length(self):
        return -(-sum(self.sizes) // self.comm.size)

    @torch.no_grad()
    def step(self):
        g, w = self.mean(self.rows([p.grad for p in self.params])), self.mine(self.rows(self.params))
        self.count()
        self.spread(self.update(w, g))

    def count(self):
        self.t += 1

    def rows(self, tensors):
        """(n, k): one row a rank."""
        flat = torch.cat([x.flatten() for x in tensors])
        return pad(flat, (0, self.comm.size * self.k - len(flat))).view(self.comm.size, self.k)

    def mine(self, rows):
        return rows[self.comm.rank]

    def mean(self, rows):
        return self.comm.reduce_scatter(rows) / self.comm.size

    def update(self, w, g):
        g, w = self.gradient(g, w), self.decayed(w)
        self.m, self.v = self.moments(g)
        first, second = (1 - beta ** self.time() for beta in self.betas)
        return w - self.lr * self.direction(*self.corrected(first, second))

    def moments(self, g):
        beta1, beta2 = self.betas
        return beta1 * self.m + (1 - beta1) * g, beta2 * self.v + (1 - beta2) * g**2

    def gradient(self, g, w):
        return g

    def decayed(self, w):
        return (1 - self.lr * self.decay) * w

    def time(self):
        return self.t

    def corrected(self, first, second):
        return self.m / first, self.v / second

    def direction(self, m, v):
        return m / (v.sqrt() + self.eps)

    def spread(self, w):
        self.write(self.comm.all_gather(w).flatten())

    def write(self, flat):
        for p, x in zip(self.params, self.cut(flat), strict=True):
            p.copy_(x.view_as(p))

    def cut(self, flat):
        return flat[: sum(self.sizes)].split(self.sizes)


TRUSTED = Trusted(Reference, budget="gradients and parameters travel, AdamW has five slips of its own, and shards four")


@TRUSTED.mistake(
    "Nothing is in shards: each rank keeps m and v for all parameters. Let it keep them for its own part, update that, "
    "and gather the new parameters."
)
class NothingSharded(Reference):
    def length(self):
        return sum(self.sizes)

    def rows(self, tensors):
        return torch.cat([x.flatten() for x in tensors])[None]

    def mine(self, rows):
        return rows[0]

    def mean(self, rows):
        return self.comm.all_reduce(rows[0]) / self.comm.size

    def spread(self, w):
        self.write(w)


@TRUSTED.mistake(
    "m and v are dealt out by whole tensors, as many to each rank. A rank with the large ones holds far more than 1/n "
    "of the numbers: divide by numbers."
)
class ByCount:
    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, list(params)
        self.inner = {
            i: Reference(Alone, [p], lr, betas, eps, weight_decay)
            for i, p in enumerate(self.params)
            if i % comm.size == comm.rank
        }

    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.params):
            p.grad = self.comm.all_reduce(p.grad) / self.comm.size
            if i in self.inner:
                self.inner[i].step()
        for i, p in enumerate(self.params):
            p.copy_(self.comm.broadcast(p, i % self.comm.size))


class Alone:
    """A world of one rank."""

    rank, size = 0, 1

    @staticmethod
    def reduce_scatter(x):
        return x[0]

    @staticmethod
    def all_gather(x):
        return x[None]


@TRUSTED.mistake("New parameters do not reach the other ranks: each has updated its own part alone. Gather the parts.")
class NotGathered(Reference):
    def spread(self, w):
        rows = self.rows(self.params)
        rows[self.comm.rank] = w
        self.write(rows.flatten())


@TRUSTED.mistake(
    "A rank sends half as much again as is needed, as with an all-reduce in place of one of the two collectives: of "
    "the gradient it needs its own part alone, and of the new parameters it has its own part alone to give."
)
class AllReduces(Reference):
    def mean(self, rows):
        return self.mine(self.comm.all_reduce(rows)) / self.comm.size


@TRUSTED.mistake("Weight decay is missing: before its step a parameter shrinks, w *= 1 - lr * weight_decay.")
class NoDecay(Reference):
    def decayed(self, w):
        return w


@TRUSTED.mistake("Weight decay acts twice in a step: each number may shrink once, on the one rank that updates it.")
class DecaysTwice(Reference):
    def decayed(self, w):
        return super().decayed(super().decayed(w))


@TRUSTED.mistake(
    "The decay is added to the gradient, and so goes through m and v: that is Adam with L2. Here the parameter shrinks "
    "by itself, w *= 1 - lr * weight_decay."
)
class L2(Reference):
    def gradient(self, g, w):
        return g + self.decay * w

    def decayed(self, w):
        return w


@TRUSTED.mistake("Gradients are summed over the ranks, expected their mean: divide by n.")
class Summed(Reference):
    def mean(self, rows):
        return super().mean(rows) * self.comm.size


@TRUSTED.mistake("Gradients are divided by n twice: the mean over n ranks is the sum, divided by n once.")
class AveragedTwice(Reference):
    def mean(self, rows):
        return super().mean(rows) / self.comm.size


@TRUSTED.mistake("Each rank updates its part with the gradient of its own batch: the mean over all ranks is asked for.")
class OwnGradient(Reference):
    def mean(self, rows):
        return self.mine(rows)


@TRUSTED.mistake("m and v begin at 0 and are not corrected for it: divide them by 1 - beta1^t and 1 - beta2^t.")
class Uncorrected(Reference):
    def corrected(self, first, second):
        return self.m, self.v


@TRUSTED.mistake(
    "The number of steps is counted on the class, where all ranks and all optimizers count together: keep it on self."
)
class SharedCount(Reference):
    steps = 0

    def __init__(self, *given):
        super().__init__(*given)
        SharedCount.steps = 0

    def count(self):
        SharedCount.steps += 1

    def time(self):
        return SharedCount.steps


@TRUSTED.mistake("t is counted up once for each parameter: it counts the steps, and is one number for all parameters.")
class CountsParameters(Reference):
    def time(self):
        places = torch.cat([torch.full((size,), i + 1.0) for i, size in enumerate(self.sizes)])
        places = pad(places, (0, self.comm.size * self.k - len(places)), value=1.0).to(self.m)
        return (self.t - 1) * len(self.sizes) + self.mine(places.view(self.comm.size, -1))


@TRUSTED.mistake("eps is added under the root: it is added to the root, sqrt(v) + eps.")
class EpsInside(Reference):
    def direction(self, m, v):
        return m / (v + self.eps).sqrt()


@TRUSTED.mistake("eps is added to the root of v before v is corrected: correct v, and add eps to the root of that.")
class EpsBeforeCorrection(Reference):
    def corrected(self, first, second):
        self.second = second
        return self.m / first, self.v

    def direction(self, m, v):
        return m / (v.sqrt() + self.eps) * self.second**0.5


@TRUSTED.mistake(
    "A rank goes on with the part of the parameters that it has kept, whatever stands in them now: take it from the "
    "given parameters in each step."
)
class KeepsItsPart(Reference):
    part = None

    def mine(self, rows):
        return super().mine(rows) if self.part is None else self.part

    def update(self, w, g):
        self.part = super().update(w, g)
        return self.part


@TRUSTED.mistake("m is in shards, and v is not, or the other way round: each rank keeps both for its own part alone.")
class OneOfTwo(Reference):
    def __init__(self, *given):
        super().__init__(*given)
        self.v = self.v.new_zeros(self.comm.size, self.k)

    def mean(self, rows):
        self.whole = self.comm.all_reduce(rows) / self.comm.size
        return self.mine(self.whole)

    def moments(self, g):
        beta1, beta2 = self.betas
        m, v = beta1 * self.m + (1 - beta1) * g, beta2 * self.v + (1 - beta2) * self.whole**2
        del self.whole
        return m, v

    def corrected(self, first, second):
        return self.m / first, self.mine(self.v) / second


@TRUSTED.mistake(
    "Beside m and v of its part a rank keeps as many numbers as all parameters have, such as a flat copy. An attribute "
    "stays after step(), a local name does not."
)
class KeepsAll(Reference):
    def rows(self, tensors):
        self.flat = super().rows(tensors)
        return self.flat


@TRUSTED.mistake(
    "Parts of P // n numbers leave a remainder that nobody updates: fill up with zeros to a multiple of n, or let "
    "parts differ by one number."
)
class RemainderLost(Reference):
    def length(self):
        return sum(self.sizes) // self.comm.size

    def rows(self, tensors):
        flat = torch.cat([x.flatten() for x in tensors])
        return flat[: self.comm.size * self.k].view(self.comm.size, self.k)

    def spread(self, w):
        flat, new = torch.cat([p.flatten() for p in self.params]), self.comm.all_gather(w).flatten()
        flat[: len(new)] = new
        self.write(flat)


@TRUSTED.mistake(
    "Each tensor is filled up with zeros, and they are not taken out again: what stands behind them slides into the "
    "next tensor. Cut at the sizes with zeros, and drop the zeros."
)
class PaddingSlides(Reference):
    def length(self):
        return sum(-(-size // self.comm.size) for size in self.sizes)

    def rows(self, tensors):
        n = self.comm.size
        return torch.cat([pad(x.flatten(), (0, -x.numel() % n)) for x in tensors]).view(n, self.k)


@TRUSTED.alternative
class TensorByTensor:
    """A reduce-scatter, three short vectors and an all-gather for each parameter."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params, self.t = comm, [*params], 0
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, weight_decay
        self.state = {p: {} for p in self.params}

    def step(self):
        self.t += 1
        for p in self.params:
            self.one(p, self.state[p])

    def one(self, p, state):
        n = self.comm.size
        rows = torch.zeros(n, -(-p.numel() // n), dtype=p.dtype, device=p.device)
        rows.flatten()[: p.numel()] = p.grad.reshape(-1)
        g = self.comm.reduce_scatter(rows).div_(n)
        rows.view(-1)[: p.numel()] = p.detach().reshape(-1)
        w = rows[self.comm.rank].mul(1 - self.lr * self.decay)
        for name, beta, x in zip("mv", self.betas, (g, g * g), strict=True):
            state[name] = torch.lerp(state.get(name, torch.zeros_like(g)), x, 1 - beta)
        first, second = (1 - beta**self.t for beta in self.betas)
        w.addcdiv_(state["m"] / first, (state["v"] / second).sqrt().add_(self.eps), value=-self.lr)
        p.data = self.comm.all_gather(w).flatten()[: p.numel()].reshape(p.shape)


@TRUSTED.alternative
class WithoutPadding:
    """Parts that differ by one number, sent with all_to_all both ways; torch's AdamW on a view of the own part."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, tuple(params)
        self.flat = torch.cat([p.data.reshape(-1) for p in self.params])  # the parameters look into it from now on
        sizes = [p.numel() for p in self.params]
        for p, x in zip(self.params, self.flat.split(sizes), strict=True):
            p.data = x.view(p.shape)
        self.own = torch.nn.Parameter(self.parts(self.flat)[comm.rank])
        self.inner = torch.optim.AdamW([self.own], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def parts(self, flat):
        return flat.tensor_split(self.comm.size)

    def step(self):
        grads = torch.cat([p.grad.reshape(-1) for p in self.params])
        self.own.grad = torch.stack(self.comm.all_to_all(self.parts(grads))).mean(0)
        self.inner.step()
        self.own.grad = None
        with torch.no_grad():
            self.flat.copy_(torch.cat(self.comm.all_to_all([self.own] * self.comm.size)))
