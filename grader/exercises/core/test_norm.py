"""Right and wrong batch norms. Ioffe and Szegedy 2015, algorithms 1 and 2; torch's BatchNorm1d as to what it keeps.

In training y = w (x - m) / sqrt(v + eps) + b with mean m and biased variance v of the batch, and
running <- (1 - momentum) running + momentum (m, unbiased v), from 0 and 1; at rest the running ones take their place.
"""

import torch
from torch import nn
from torch.testing import assert_close

from coursekit.checking.testing import of_each
from grader.contract import Trusted

# A wrong one differs from this in a line or two.
SOURCE = """
class BatchNorm(torch.nn.Module):
    {shared}
    def __init__(self, D, eps, momentum):
        super().__init__()
        self.eps, self.momentum = {settings}
        self.weight, self.bias = torch.nn.Parameter(torch.ones(D)), torch.nn.Parameter(torch.zeros(D))
        self.register_buffer("running_mean", {mean0})
        self.register_buffer("running_var", {var0})

    def forward(self, x):
        m, v = ({m}, {v}) if {of_batch} else (self.running_mean.clone(), self.running_var.clone())
        if {learns}:
            with torch.no_grad():
                k = self.momentum
                {keep_mean}
                {keep_var}
        return {y}
"""
PARTS = {
    "shared": "pass",
    "settings": "eps, momentum",
    "mean0": "torch.zeros(D)",
    "var0": "torch.ones(D)",
    "m": "x.mean(0)",
    "v": "x.var(0, unbiased=False)",
    "learns": "self.training",
    "keep_mean": "self.running_mean.mul_(1 - k).add_(k * x.mean(0))",
    "keep_var": "self.running_var.mul_(1 - k).add_(k * x.var(0))",
    "of_batch": "self.training",
    "y": "self.weight * (x - m) / (v + self.eps).sqrt() + self.bias",
}


def written(**parts):
    return SOURCE.format(**(PARTS | parts))


TORCHS = """
class BatchNorm(torch.nn.BatchNorm1d):
    def __init__(self, D, eps, momentum):
        super().__init__(D, eps=eps, momentum=momentum)
"""
FOLDED = written(y="x * (s := self.weight * torch.rsqrt(v + self.eps)) + (self.bias - m * s)")
RIGHT = {
    "by the book": written(),
    "torch's own": TORCHS,
    "scale and shift folded into two vectors": FOLDED,
    "in place by lerp_": written(
        keep_mean="self.running_mean.lerp_(x.mean(0), k)", keep_var="self.running_var.lerp_(x.var(0), k)"
    ),
    "squares about the mean": written(v="((x - x.mean(0)) ** 2).sum(0) / len(x)"),
    "torch's function": "class BatchNorm(torch.nn.Module):\n"
    "    def __init__(self, D, eps, momentum):\n"
    "        super().__init__()\n"
    "        self.eps, self.momentum = eps, momentum\n"
    "        self.weight, self.bias = (torch.nn.Parameter(f(D)) for f in (torch.ones, torch.zeros))\n"
    "        self.register_buffer('running_mean', torch.zeros(D))\n"
    "        self.register_buffer('running_var', torch.ones(D))\n"
    "    def forward(self, x):\n"
    "        kept = self.running_mean, self.running_var, self.weight, self.bias\n"
    "        return torch.nn.functional.batch_norm(x, *kept, self.training, self.momentum, self.eps)\n",
}
MUTANTS = {
    "the running variance": (
        written(keep_var="pass"),
        written(keep_var="self.running_var.mul_(1 - k).add_(k * x.std(0))"),
        written(keep_var="self.running_var.mul_(1 - k).add_(k * x.mean(0))"),
    ),
    "the running mean": (
        written(keep_mean="pass"),
        written(keep_mean="self.running_mean.copy_(x.mean(0))"),
        written(keep_mean="self.running_mean.mul_(1 - k).add_(k * x.mean())"),
    ),
    "which variance is kept": (
        written(keep_var="self.running_var.mul_(1 - k).add_(k * x.var(0, unbiased=False))"),
        written(keep_var="self.running_var.mul_(1 - k).add_(k * v.detach())"),
    ),
    "what was kept before": (
        written(keep_var="self.running_var.add_(k * x.var(0))"),
        written(keep_mean="self.running_mean.add_(k * x.mean(0))"),
    ),
    "momentum's share": (
        written(
            keep_mean="self.running_mean.mul_(k).add_((1 - k) * x.mean(0))",
            keep_var="self.running_var.mul_(k).add_((1 - k) * x.var(0))",
        ),
    ),
    "momentum as it is given": (written(settings="eps, 0.1"),),
    "at rest": (written(of_batch="True"), written(of_batch="self.training or len(x) > 1")),
    "what changes at rest": (
        written(learns="True"),
        written(learns="True", keep_var="self.training and self.running_var.mul_(1 - k).add_(k * x.var(0))"),
    ),
    "in training": (written(of_batch="False"),),
    "in training, from the second batch on": (written(of_batch="self.training and not bool(self.running_mean.any())"),),
    "eps": (
        written(y="self.weight * (x - m) / (v.sqrt() + self.eps) + self.bias"),
        written(settings="1e-8, momentum"),
        written(y="self.weight * (x - m) / v.sqrt() + self.bias"),
    ),
    "scale and shift": (
        written(y="(x - m) / (v + self.eps).sqrt()"),
        written(y="self.weight * ((x - m) / (v + self.eps).sqrt() + self.bias)"),
        written(y="self.weight * (x - m) / (v + self.eps).sqrt()"),
    ),
    "what is averaged": (
        written(m="x.mean(1, keepdim=True)", v="x.var(1, unbiased=False, keepdim=True)"),
        written(m="x.mean()", v="x.var(unbiased=False)"),
    ),
    "the variance of a batch": (
        written(v="x.var(0)"),
        written(v="x.std(0, unbiased=False)"),
        written(v="(x ** 2).mean(0)"),
    ),
    "the beginning": (
        written(var0="torch.zeros(D)"),
        written(mean0="torch.ones(D)"),
    ),
    "the gradient": (
        written(m="x.mean(0).detach()", v="x.var(0, unbiased=False).detach()"),
        written(v="x.var(0, unbiased=False).detach()"),
    ),
    "two of them at once": (
        written(
            shared="kept = {}",
            keep_mean="self.running_mean = BatchNorm.kept.setdefault(len(m), self.running_mean).lerp_(x.mean(0), k)",
        ),
        written(
            shared="kept = {}",
            keep_var="self.running_var = BatchNorm.kept.setdefault(len(v), self.running_var).lerp_(x.var(0), k)",
        ),
    ),
}


class Steps:
    """A test in steps, so that a mistake is written as the one in which it differs."""

    __name__ = "test_norm"
    D, eps, momentum = 3, 0.3, 0.4

    def __call__(self, BatchNorm):
        g = torch.Generator().manual_seed(1)
        beside = self.made(BatchNorm, g)
        norm = self.made(BatchNorm, g)
        self.begins(norm)
        w, b = (p.detach().clone() for p in (norm.weight, norm.bias))
        mean, var = torch.zeros(self.D), torch.ones(self.D)
        for _ in range(self.batches()):
            x = self.batch(g)
            norm.train()
            self.results(norm(x), self.right(x, x.mean(0), x.var(0, unbiased=False), w, b))
            mean, var = self.kept(mean, x.mean(0)), self.kept(var, self.variance(x))
            self.running(norm, mean, var)
            beside.train()
            beside(self.batch(g))
        self.rest(norm, g, w, b)
        self.gradients(norm, g)

    def made(self, BatchNorm, g):
        norm = BatchNorm(self.D, self.eps, self.momentum)
        with torch.no_grad():
            norm.weight.copy_(self.weights(g))
            norm.bias.copy_(self.biases(g))
        return norm

    def weights(self, g):
        return torch.randn(self.D, generator=g)

    def biases(self, g):
        return torch.randn(self.D, generator=g)

    def begins(self, norm):
        assert_close(norm.running_mean, torch.zeros(self.D))
        assert_close(norm.running_var, torch.ones(self.D))

    def batches(self):
        return 3

    def batch(self, g):
        return 2 * torch.randn(5, self.D, generator=g) + torch.tensor([1.0, -3.0, 0.5])

    def right(self, x, m, v, w, b):
        return w * (x - m) / (v + self.eps).sqrt() + b

    def results(self, y, right):
        assert_close(y, right)

    def variance(self, x):
        return x.var(0)

    def kept(self, old, new):
        return (1 - self.momentum) * old + self.momentum * new

    def running(self, norm, mean, var):
        self.mean(norm, mean)
        self.var(norm, var)

    def mean(self, norm, mean):
        assert_close(norm.running_mean, mean)

    def var(self, norm, var):
        assert_close(norm.running_var, var)

    def rest(self, norm, g, w, b):
        norm.eval()
        mean, var = norm.running_mean.clone(), norm.running_var.clone()
        x = self.batch(g)
        self.at_rest(norm(x), self.right(x, mean, var, w, b))
        self.unchanged(norm, mean, var)

    def at_rest(self, y, right):
        assert_close(y, right)

    def unchanged(self, norm, mean, var):
        assert_close(norm.running_mean, mean)
        assert_close(norm.running_var, var)

    def gradients(self, norm, g):
        x = self.batch(g).requires_grad_()
        norm.train()
        (dx,) = torch.autograd.grad((norm(x) ** 3).sum(), x)
        v = x.var(0, unbiased=False)
        y = self.right(x, x.mean(0), v, norm.weight, norm.bias)
        assert_close(dx, torch.autograd.grad((y**3).sum(), x)[0])


TRUSTED = Trusted(Steps(), cases=of_each(RIGHT, MUTANTS))


def slip(sentence):
    def register(cls):
        TRUSTED.add_mistake(cls.__name__, sentence, cls())
        return cls

    return register


@slip(
    "Your test lets every wrong batch norm pass: nothing in it could fail, or all of them do right what it asks "
    "for. What "
    "a test returns is not looked at: use `assert`."
)
class AcceptsEverything(Steps):
    def __call__(self, BatchNorm):
        self.made(BatchNorm, torch.Generator().manual_seed(1))(torch.ones(4, self.D))


@slip(
    "Your test refuses every right batch norm. Hand it torch's: which assertion fails, and does it have to hold? In "
    "training the *biased* variance divides, and the unbiased one is kept."
)
class RefusesEverything(Steps):
    def variance(self, x):
        return x.var(0) * len(x)


@slip(
    "What is kept is never looked at: a norm passes whose running variance is never updated, and at rest it would "
    "divide by "
    "1 for ever. Compare running_mean and running_var after each batch."
)
class RunningUnseen(Steps):
    def running(self, norm, mean, var):
        pass


@slip("The running mean is compared, and the running variance is not: a norm passes that never updates it.")
class VarianceUnseen(Steps):
    def var(self, norm, var):
        pass


@slip("The running variance is compared, and the running mean is not: a norm passes that never updates it.")
class MeanUnseen(Steps):
    def mean(self, norm, mean):
        pass


@slip(
    "The norm is never asked at rest: one passes that takes the batch's own mean and variance there as well. Call "
    "eval(), "
    "and compare what it gives with the running ones."
)
class RestUnasked(Steps):
    def at_rest(self, y, right):
        pass


@slip("A norm passes that goes on learning at rest: compare running_mean and running_var before and after such a call.")
class LearnsAtRest(Steps):
    def unchanged(self, norm, mean, var):
        pass


@slip("What comes out in training is never looked at: a norm passes that divides by anything there.")
class ResultsUnseen(Steps):
    def results(self, y, right):
        pass

    def gradients(self, norm, g):
        pass


@slip(
    "Weight and bias are 1 and 0 in your test, as at the beginning: a norm passes that does not use them, or adds b "
    "first. "
    "Give them other numbers."
)
class OnesAndZeros(Steps):
    def weights(self, g):
        return torch.ones(self.D)

    def biases(self, g):
        return torch.zeros(self.D)


@slip(
    "eps is so small in your test that it makes no difference: a norm passes that adds it to the root or has one of "
    "its own. "
    "Make it as large as a variance."
)
class SmallEps(Steps):
    eps = 1e-12


@slip("momentum is 0.5 in your test, so a norm passes that gives the old and the new one each other's share.")
class HalfMomentum(Steps):
    momentum = 0.5


@slip("momentum is torch's 0.1 in your test, so a norm passes that has 0.1 of its own: ask with another.")
class TorchsMomentum(Steps):
    momentum = 0.1


@slip(
    "No gradient is looked at, or one of a plain sum of y, which is 0 with and without what flows through mean and "
    "variance: a norm passes that takes them for constants. They depend on x. Take the sum of y cubed, say."
)
class GradientUnseen(Steps):
    def gradients(self, norm, g):
        pass


@slip(
    "One norm alone learns in your test: one passes whose running numbers belong to the class, and so to all layers of "
    "a network. Let two of them learn at once."
)
class Alone(Steps):
    def __call__(self, BatchNorm):
        self.first = True
        super().__call__(self._only(BatchNorm))

    def _only(self, BatchNorm):
        def make(D, eps, momentum):
            if self.first:
                self.first = False
                return nn.BatchNorm1d(D, eps, momentum)
            return BatchNorm(D, eps, momentum)

        return make


@TRUSTED.alternative
def beside_torchs(BatchNorm):
    """Whatever torch's does, in two layers at once."""
    torch.manual_seed(0)
    pairs = [(BatchNorm(4, 0.5, 0.3), nn.BatchNorm1d(4, 0.5, 0.3)) for _ in range(2)]
    for ours, theirs in pairs:
        assert torch.equal(ours.running_mean, theirs.running_mean)
        assert torch.equal(ours.running_var, theirs.running_var)
        with torch.no_grad():
            theirs.weight.uniform_(0.5, 2)
            theirs.bias.normal_()
            ours.weight.copy_(theirs.weight)
            ours.bias.copy_(theirs.bias)
    for step in range(5):
        for ours, theirs in pairs:
            x = torch.randn(7, 4) * 3 - 1
            for norm in (ours, theirs):
                norm.train(step % 3 != 2)
            one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
            a, b = ours(one), theirs(other)
            assert torch.allclose(a, b, atol=1e-4)
            (a.sin().sum()).backward()
            (b.sin().sum()).backward()
            assert torch.allclose(one.grad, other.grad, atol=1e-4)
            assert torch.allclose(ours.running_mean, theirs.running_mean, atol=1e-5)
            assert torch.allclose(ours.running_var, theirs.running_var, atol=1e-4), "running_var"


@TRUSTED.alternative
def laws_of_a_norm(BatchNorm):
    """What has to hold, in numbers of its own; no other norm beside it."""
    a, b = BatchNorm(2, 1.0, 0.25), BatchNorm(2, 1.0, 0.25)
    x = torch.tensor([[0.0, 10.0], [2.0, 14.0], [4.0, 30.0]])
    b.train()(x + 100)
    assert a.running_mean.tolist() == [0, 0]
    assert a.running_var.tolist() == [1, 1]
    a.weight.data, a.bias.data = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    mean, biased, unbiased = x.mean(0), ((x - x.mean(0)) ** 2).mean(0), ((x - x.mean(0)) ** 2).sum(0) / 2
    y = a.train()(x)
    assert torch.allclose(y, (x - mean) / (biased + 1) ** 0.5 * a.weight + a.bias, atol=1e-5)
    assert torch.allclose(a.running_mean, 0.25 * mean)
    assert torch.allclose(a.running_var, 0.75 + 0.25 * unbiased)
    a.train()(x)
    b.train()(x - 50)
    assert torch.allclose(a.running_mean, 0.4375 * mean)
    assert torch.allclose(a.running_var, 0.5625 + 0.4375 * unbiased)
    before = a.running_mean.clone(), a.running_var.clone()
    still = a.eval()(x[:1] + 5)
    assert torch.allclose(still, (x[:1] + 5 - before[0]) / (before[1] + 1) ** 0.5 * a.weight + a.bias, atol=1e-5)
    assert torch.allclose(a.eval()(x)[:1] - a(x[:1]), torch.zeros(1, 2), atol=1e-6)
    assert torch.equal(a.running_mean, before[0])
    assert torch.equal(a.running_var, before[1])
    z = x.clone().requires_grad_()
    (a.train()(z) * torch.tensor([[1.0, 2.0], [-1.0, 0.5], [3.0, 1.0]])).sum().backward()
    assert torch.allclose(z.grad.sum(0), torch.zeros(2), atol=1e-5), "a shift of all changes nothing"
    u = x.clone().requires_grad_()
    m, v = u.mean(0), u.var(0, unbiased=False)
    right = (u - m) / (v + 1).sqrt() * a.weight + a.bias
    (right * torch.tensor([[1.0, 2.0], [-1.0, 0.5], [3.0, 1.0]])).sum().backward()
    assert torch.allclose(z.grad, u.grad, atol=1e-5)
