"""Answers to distributed.sharded_adamw, by a second reader."""

import math

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.sharded_adamw")
wrong = ANSWERS.wrong


class Base:
    """A right answer, of which a method is replaced."""

    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        self.comm, self.params = comm, list(params)
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, weight_decay
        self.t = 0
        self.P = sum(p.numel() for p in self.params)
        self.k = -(-self.P // comm.size)
        self.begin()

    def begin(self):
        p = self.params[0]
        self.m, self.v = torch.zeros(self.k, dtype=p.dtype), torch.zeros(self.k, dtype=p.dtype)

    def rows(self, xs):
        flat = torch.cat([x.detach().reshape(-1) for x in xs])
        return F.pad(flat, (0, self.k * self.comm.size - self.P)).view(self.comm.size, self.k)

    def gradient(self):
        return self.comm.reduce_scatter(self.rows([p.grad for p in self.params])) / self.comm.size

    def weights(self):
        return self.rows(self.params)[self.comm.rank].clone()

    def corrections(self):
        return 1 - self.betas[0] ** self.t, 1 - self.betas[1] ** self.t

    def update(self, w, g):
        b1, b2 = self.betas
        self.m.mul_(b1).add_(g, alpha=1 - b1)
        self.v.mul_(b2).addcmul_(g, g, value=1 - b2)
        c1, c2 = self.corrections()
        w.mul_(1 - self.lr * self.decay)
        w.addcdiv_(self.m / c1, (self.v / c2).sqrt() + self.eps, value=-self.lr)
        return w

    def gathered(self, w):
        return self.comm.all_gather(w).flatten()[: self.P]

    def write(self, flat):
        for p, piece in zip(self.params, flat.split([p.numel() for p in self.params]), strict=True):
            p.copy_(piece.view(p.shape))

    @torch.no_grad()
    def step(self):
        self.t += 1
        g = self.gradient()
        self.write(self.gathered(self.update(self.weights(), g)))


@wrong(
    "named",
    "only where the gradient is not 0 are m, v and the weight updated: 0 is a gradient, and m goes on",
    told=r"all gradients of step 2 are 0",
)
class Lazy(Base):
    def update(self, w, g):
        old, m, v = w.clone(), self.m.clone(), self.v.clone()
        new = super().update(w, g)
        there = g != 0
        self.m, self.v = torch.where(there, self.m, m), torch.where(there, self.v, v)
        return torch.where(there, new, old)


@wrong(
    "named",
    "a step is left out where all gradients are 0, though m goes on and weights decay",
    told=r"all gradients of step 2 are 0",
)
class SkipsZero(Base):
    def update(self, w, g):
        return super().update(w, g) if g.any() else w


@wrong("named", "beta^t by a logarithm: none for beta = 0, which AdamW takes", told=r"math domain")
class ByLogarithm(Base):
    def corrections(self):
        return tuple(-math.expm1(self.t * math.log(beta)) for beta in self.betas)


@wrong("named", "a beta of 0 counts as not given", told=r"beta1 is 0")
class ZeroIsNone(Base):
    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        super().__init__(comm, params, lr, (betas[0] or 0.9, betas[1] or 0.999), eps, weight_decay)


@wrong("named", "eps is at least 1e-3", told=r"eps 1e-8")
class LargeEps(Base):
    def __init__(self, comm, params, lr, betas, eps, weight_decay):
        super().__init__(comm, params, lr, betas, max(eps, 1e-3), weight_decay)


@wrong(
    "onward",
    "the row of the weights is kept from the making on: what is altered before the first step is lost",
    told=r"before each step",
)
class RowUntilFirst(Base):
    def begin(self):
        super().begin()
        self.first = self.rows(self.params)[self.comm.rank].clone()

    def weights(self):
        if self.first is not None:
            w, self.first = self.first, None
            return w
        return super().weights()


@wrong("plain", "the mean gradient's row stays as an attribute: 3 P / n numbers", told="numbers beside parameters")
class KeepsGradient(Base):
    def gradient(self):
        self.g = super().gradient()
        return self.g


@wrong("plain", "torch's AdamW on a row that stays, and its gradient with it", told="numbers beside parameters")
class InnerAdamW(Base):
    def begin(self):
        self.row = torch.nn.Parameter(self.rows(self.params)[self.comm.rank].clone())
        self.inner = torch.optim.AdamW([self.row], self.lr, self.betas, self.eps, self.decay)

    def update(self, w, g):
        self.row.copy_(w)
        self.row.grad = g
        self.inner.step()
        return self.row.detach()


@wrong("plain", "torch's AdamW on a row that stays without its gradient: 3 P / n", told="numbers beside parameters")
class InnerWithoutGradient(InnerAdamW):
    def update(self, w, g):
        w = super().update(w, g)
        self.row.grad = None
        return w


class Whole(Base):
    """Each rank has all of m and v in `self.kept`, and updates its row."""

    def begin(self):
        m = self.rows([torch.zeros_like(p) for p in self.params])
        self.keep(m, m.clone())

    def keep(self, m, v):
        m, v = m.numpy().copy(), v.numpy().copy()
        self.get = lambda: (m, v)

    def update(self, w, g):
        M, V = (torch.from_numpy(x.copy()) for x in self.get())
        self.m, self.v = M[self.comm.rank], V[self.comm.rank]
        w = super().update(w, g)
        del self.m, self.v
        self.keep(M, V)
        return w


@wrong(
    "unwatched",
    "all of m and v, as NumPy arrays in a closure",
    told="numbers beside parameters",
    true="NothingSharded KeepsAll",
)
class InClosure(Whole):
    pass


class Slots:
    __slots__ = ("m", "v")


@wrong(
    "unwatched",
    "all of m and v, as NumPy arrays in an object with slots",
    told="numbers beside parameters",
    true="NothingSharded KeepsAll",
)
class InSlots(Whole):
    def keep(self, m, v):
        self.kept = Slots()
        self.kept.m, self.kept.v = m.numpy().copy(), v.numpy().copy()

    def get(self):
        return self.kept.m, self.kept.v


@wrong(
    "unwatched",
    "all of m and v, as NumPy arrays on the comm",
    told="numbers beside parameters",
    true="NothingSharded KeepsAll",
)
class OnComm(Whole):
    def keep(self, m, v):
        vars(self.comm).setdefault("moments", {})[id(self)] = m.numpy().copy(), v.numpy().copy()

    def get(self):
        return self.comm.moments[id(self)]


STATES = {}


@wrong(
    "unwatched",
    "all of m and v, as NumPy arrays in a global name",
    told="numbers beside parameters",
    true="NothingSharded KeepsAll",
)
class InGlobal(Whole):
    def keep(self, m, v):
        STATES[id(self)] = m.numpy().copy(), v.numpy().copy()

    def get(self):
        return STATES[id(self)]


@wrong(
    "unwatched",
    "all of m and v packed: four float32 in one complex128",
    told="numbers beside parameters",
    true="NothingSharded",
)
class Packed(Whole):
    def keep(self, m, v):
        self.shape, self.dtype = m.shape, m.dtype
        flat = torch.cat([m.flatten(), v.flatten()])
        self.kept = F.pad(flat, (0, -flat.numel() % 4)).view(torch.complex128)

    def get(self):
        flat = self.kept.view(self.dtype)
        size = self.shape.numel()
        return flat[:size].view(self.shape).numpy(), flat[size : 2 * size].view(self.shape).numpy()


@wrong("onward", "every fifth step all parameters are broadcast again", told="in a step a rank sends")
class SyncsAtTimes(Base):
    def write(self, flat):
        super().write(flat)
        if self.t % 5 == 0:
            for p in self.params:
                p.copy_(self.comm.broadcast(p))


@wrong("named", "parameters travel as float32", true="", told=r"a step in a coarser dtype")
class SentAsFloat(Base):
    def gathered(self, w):
        return super().gathered(w.float()).to(w.dtype)


@wrong("named", "m and v are float32 whatever the parameters are", told=r"a step in a coarser dtype")
class MomentsInFloat(Base):
    def begin(self):
        self.m, self.v = torch.zeros(self.k), torch.zeros(self.k)

    def update(self, w, g):
        return super().update(w, g).to(g.dtype)


@wrong("named", "the weights are updated in float32 and cast back", told=r"a step in a coarser dtype")
class WeightsInFloat(Base):
    def update(self, w, g):
        return super().update(w.float(), g).to(g.dtype)


def in_memory(x):
    return torch.as_strided(x, (x.numel(),), (1,), x.storage_offset())


@wrong(
    "named",
    "numbers in the order of memory: right where a gradient lies as its parameter does",
    told=r"not contiguous",
)
class MemoryOrder(Base):
    def rows(self, xs):
        flat = torch.cat([in_memory(x.detach()) for x in xs])
        return F.pad(flat, (0, self.k * self.comm.size - self.P)).view(self.comm.size, self.k)

    def write(self, flat):
        for p, piece in zip(self.params, flat.split([p.numel() for p in self.params]), strict=True):
            in_memory(p.detach()).copy_(piece)


@wrong("surroundings", "gradients are switched off for good at the first step", told="switched")
class SwitchesOffLater(Base):
    def step(self):
        torch.set_grad_enabled(False)
        super().step()


@wrong(
    "plain", "decays after the step, not before: lr * decay of the step too much", told=r"right where weight_decay is 0"
)
class DecaysAfter(Base):
    def update(self, w, g):
        decay, self.decay = self.decay, 0
        w = super().update(w, g)
        self.decay = decay
        return w.mul_(1 - self.lr * decay)


@wrong("large", "the average forgets its correction once t > 10", told=r"12 steps")
class TenCorrections(Base):
    def corrections(self):
        return super().corrections() if self.t <= 10 else (1.0, 1.0)


@wrong("ones", "a scalar does not decay", true="", told=r"a scalar.*only where")
class ScalarsDoNotDecay(Base):
    def update(self, w, g):
        flags = torch.cat([torch.full((p.numel(),), float(p.dim() > 0), dtype=w.dtype) for p in self.params])
        flags = F.pad(flags, (0, self.k * self.comm.size - self.P)).view(self.comm.size, self.k)[self.comm.rank]
        decay, self.decay = self.decay, 0
        shrunk = w * (1 - self.lr * decay * flags)
        w = super().update(shrunk, g)
        self.decay = decay
        return w


@wrong(
    "again",
    "the counter of steps is kept by the values of its settings: two with equal settings count together",
    told=r"two of them with equal settings",
)
class CountsBySettings(Base):
    counts = {}  # noqa: RUF012

    @torch.no_grad()
    def step(self):
        key = (self.comm, self.lr, *self.betas, self.P)
        self.t = self.counts[key] = self.counts.get(key, 0) + 1
        g = self.gradient()
        self.write(self.gathered(self.update(self.weights(), g)))


# Right ones.


@ANSWERS.right
class EachParameter(Base):
    """Each parameter is cut by itself, filled up to a multiple of n."""

    def begin(self):
        self.ks = [-(-p.numel() // self.comm.size) for p in self.params]
        self.moments = [torch.zeros(2, k, dtype=p.dtype) for p, k in zip(self.params, self.ks, strict=True)]

    @torch.no_grad()
    def step(self):
        self.t += 1
        n, (b1, b2) = self.comm.size, self.betas
        for p, k, moments in zip(self.params, self.ks, self.moments, strict=True):

            def rows(x, k=k):
                return F.pad(x.reshape(-1), (0, n * k - x.numel())).view(n, k)

            g = self.comm.reduce_scatter(rows(p.grad) / n)
            moments.mul_(torch.tensor([[b1], [b2]], dtype=p.dtype))
            moments.add_(torch.stack([(1 - b1) * g, (1 - b2) * g * g]))
            c1, c2 = self.corrections()
            m, v = moments
            w = rows(p.detach())[self.comm.rank] * (1 - self.lr * self.decay)
            w = w - self.lr / c1 * m / (v.sqrt() / c2**0.5 + self.eps)
            p.copy_(self.comm.all_gather(w).flatten()[: p.numel()].view(p.shape))


@ANSWERS.right
class Interleaved(Base):
    """Number i belongs to rank i % n."""

    def rows(self, xs):
        flat = torch.cat([x.detach().flatten() for x in xs])
        return F.pad(flat, (0, self.k * self.comm.size - self.P)).view(self.k, self.comm.size).mT.contiguous()

    def gathered(self, w):
        return self.comm.all_gather(w).mT.reshape(-1)[: self.P]


@ANSWERS.right
class AllToAll(Base):
    """Pieces of uneven length, without padding: all_to_all both ways."""

    def begin(self):
        self.sizes = [len(piece) for piece in torch.arange(self.P).tensor_split(self.comm.size)]
        k = self.sizes[self.comm.rank]
        self.m, self.v = (torch.zeros(k, dtype=self.params[0].dtype) for _ in "mv")

    def pieces(self, xs):
        return torch.cat([x.detach().flatten() for x in xs]).split(self.sizes)

    def gradient(self):
        return torch.stack(self.comm.all_to_all(self.pieces([p.grad for p in self.params]))).mean(0)

    def weights(self):
        return self.pieces(self.params)[self.comm.rank].clone()

    def gathered(self, w):
        return torch.cat(self.comm.all_to_all([w] * self.comm.size))


@ANSWERS.right
class Ring(Base):
    """By hand: rounds that add, rounds that hand on."""

    def gradient(self):
        n, r = self.comm.size, self.comm.rank
        rows = self.rows([p.grad for p in self.params])
        total = rows[(r - 1) % n]
        for i in range(1, n):
            self.comm.send(total, (r + 1) % n)
            total = self.comm.recv((r - 1) % n) + rows[(r - 1 - i) % n]
        return total / n

    def gathered(self, w):
        n, r = self.comm.size, self.comm.rank
        rows = {r: w}
        for i in range(n - 1):
            self.comm.send(rows[(r - i) % n], (r + 1) % n)
            rows[(r - i - 1) % n] = self.comm.recv((r - 1) % n)
        return torch.cat([rows[i] for i in range(n)])[: self.P]


@ANSWERS.right
class FlatMemory(Base):
    """The parameters become views of one vector, from the first step on."""

    def write(self, flat):
        flat = flat.clone()
        for p, piece in zip(self.params, flat.split([p.numel() for p in self.params]), strict=True):
            p.data = piece.view(p.shape)


@ANSWERS.right
class InnerEmptied(Base):
    """torch's AdamW on a row that is emptied between steps."""

    def begin(self):
        self.row = torch.nn.Parameter(torch.empty(self.k, dtype=self.params[0].dtype))
        self.inner = torch.optim.AdamW([self.row], self.lr, self.betas, self.eps, self.decay)
        self.row.data = self.row.data.new_empty(0)

    def update(self, w, g):
        self.row.data, self.row.grad = w, g
        self.inner.step()
        self.row.grad, self.row.data = None, w.new_empty(0)
        return w


@ANSWERS.right
class StateOnParameters(Base):
    """Moments as attributes of the first parameter, and a broadcast when it is made, which is no step."""

    def begin(self):
        super().begin()
        self.comm.broadcast(torch.cat([p.detach().flatten() for p in self.params]))
        self.params[0].moments = self.m, self.v
        del self.m, self.v

    def update(self, w, g):
        self.m, self.v = self.params[0].moments
        w = super().update(w, g)
        del self.m, self.v
        return w
