"""Answers to core.optimisers."""

import math

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.optimisers",
    spared={
        "dependence": "nothing is drawn",
        "ones": "all is entry by entry: no step of it knows a dimension",
    },
)


def wrong(kind, says, at=1, **told):
    return ANSWERS.wrong(kind, says, at=at, **told)


class BaseSGD:
    """Right; what is written below changes one thing each."""

    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        self.params, self.lr = list(params), lr
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.b = {}

    def remembered(self, p, g):
        self.b[p] = self.momentum * self.b[p] + g if p in self.b else g.clone()
        return self.b[p]

    def gradient(self, p):
        return p.grad + self.weight_decay * p

    def direction(self, p, g, b):
        return g + self.momentum * b if self.nesterov else b

    @torch.no_grad()
    def step(self):
        for p in self.params:
            if p.grad is not None:
                g = self.gradient(p)
                p -= self.lr * self.direction(p, g, self.remembered(p, g))


class BaseAdamW:
    """The same for AdamW."""

    def __init__(self, params, lr, betas, eps, weight_decay):
        self.params, self.lr, self.betas, self.eps, self.weight_decay = list(params), lr, betas, eps, weight_decay
        self.states = {}

    def state_of(self, p):
        return self.states.setdefault(p, {"m": torch.zeros_like(p), "v": torch.zeros_like(p), "t": 0})

    def skipped(self, p):
        return p.grad is None

    def gradient(self, p):
        return p.grad

    def decay(self, p):
        p *= 1 - self.lr * self.weight_decay

    def averaged(self, s, g):
        s["t"] += 1
        s["m"] = self.betas[0] * s["m"] + (1 - self.betas[0]) * g
        s["v"] = self.betas[1] * s["v"] + (1 - self.betas[1]) * g**2

    def direction(self, s):
        m, v = (s[name] / (1 - beta ** s["t"]) for name, beta in zip("mv", self.betas, strict=True))
        return m / (v.sqrt() + self.eps)

    @torch.no_grad()
    def step(self):
        for p in self.params:
            if not self.skipped(p):
                s, g = self.state_of(p), self.gradient(p)
                self.decay(p)
                self.averaged(s, g)
                p -= self.lr * self.direction(s)


@wrong("plain", "the rate is inside of the memory, as in Sutskever's form", at=0, told="the rate falls: parameters")
class RateInside(BaseSGD):
    def remembered(self, p, g):
        self.b[p] = self.momentum * self.b.get(p, 0) + self.lr * g
        return self.b[p] / self.lr if self.lr else self.b[p]


@wrong("plain", "Nesterov along the memory before this gradient", at=0, true="NoNesterov")
class OldMemory(BaseSGD):
    def direction(self, p, g, b):
        return g + (b - g) if self.nesterov else b


@wrong("given", "the first gradient becomes the memory, as the same tensor: the next step writes into it", at=0)
class FirstGradient(BaseSGD):
    def gradient(self, p):
        return p.grad + self.weight_decay * p if self.weight_decay else p.grad

    def remembered(self, p, g):
        self.b[p] = self.b[p].mul_(self.momentum).add_(g) if p in self.b else g
        return self.b[p]


@wrong("again", "memories on the parameters: a second optimiser of these goes on with them", at=0)
class OnTheParameters(BaseSGD):
    def remembered(self, p, g):
        p.memory = self.momentum * getattr(p, "memory", torch.zeros_like(p)) + g
        return p.memory


@wrong("named", "a missing gradient is one of zeros", at=0, true="SgdMissingIsZero")
class NoneIsZero(BaseSGD):
    def step(self):
        for p in self.params:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        super().step()


@wrong("named", "parameters that are frozen at the start are left out for ever", at=0)
class TrainedAlone(BaseSGD):
    def __init__(self, params, *rest):
        super().__init__([p for p in params if p.requires_grad], *rest)


@wrong(
    "named", "`params` is kept as it comes: a generator is empty after the first step", at=0, told="from a generator"
)
class GoneThrough(BaseSGD):
    def __init__(self, params, *rest):
        super().__init__([], *rest)
        self.params = params


@wrong("unwatched", "other numbers under the name p: nothing has changed", at=0)
class Rebound(BaseSGD):
    @torch.no_grad()
    def step(self):
        for p in self.params:
            if p.grad is not None:
                g = self.gradient(p)
                p = p - self.lr * self.direction(p, g, self.remembered(p, g))


@wrong(
    "surroundings", "gradients are switched off for the step, and stay so", at=0, told="leaves gradients switched off"
)
class SwitchesOff(BaseSGD):
    def step(self):
        torch.set_grad_enabled(False)
        super().step.__wrapped__(self)


@wrong("plain", "Adam with L2: the decay goes through the averages", true="DecayInTheMoments")
class L2(BaseAdamW):
    def gradient(self, p):
        return p.grad + self.weight_decay * p

    def decay(self, p):
        pass


@wrong("far", "Kingma and Ba's shorter form: eps beside a root that is not corrected")
class EpsHat(BaseAdamW):
    def direction(self, s):
        one, two = (1 - beta ** s["t"] for beta in self.betas)
        return math.sqrt(two) / one * s["m"] / (s["v"].sqrt() + self.eps)


@wrong("named", "one t for all", true="OneCount")
class OneCounter(BaseAdamW):
    t = 0

    def step(self):
        self.t += 1
        super().step()

    def averaged(self, s, g):
        super().averaged(s, g)
        s["t"] = self.t


@wrong("onward", "the corrected averages are kept")
class KeepsCorrected(BaseAdamW):
    def direction(self, s):
        for name, beta in zip("mv", self.betas, strict=True):
            s[name] = s[name] / (1 - beta ** s["t"])
        return s["m"] / (s["v"].sqrt() + self.eps)


@wrong("named", "gradients of zeros are none", told="gradients of 0, float64: parameters")
class ZeroIsNone(BaseAdamW):
    def skipped(self, p):
        return p.grad is None or not p.grad.any()


@wrong("large", "the correction ends after 20 steps", told="50 steps, float64: parameters")
class CorrectedAtFirst(BaseAdamW):
    def direction(self, s):
        return super().direction(s) if s["t"] <= 20 else s["m"] / (s["v"].sqrt() + self.eps)


@wrong("plain", "gradients are forgotten after the step", told="step.. takes gradients away")
class Zeroes(BaseAdamW):
    def step(self):
        super().step()
        for p in self.params:
            p.grad = None


ANSWERS.right(BaseSGD)
ANSWERS.right_at(1)(BaseAdamW)


@ANSWERS.right
class TorchsSGD:
    """torch's own, with the rate handed on."""

    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        self.lr = lr
        nesterov = nesterov and momentum > 0
        self.inner = torch.optim.SGD(params, lr, momentum, nesterov=nesterov, weight_decay=weight_decay)

    def step(self):
        self.inner.param_groups[0]["lr"] = self.lr
        self.inner.step()


@ANSWERS.right_at(1)
class ByHand(BaseAdamW):
    """Each parameter is a list of its own averages; numbers are written through .data."""

    def step(self):
        for p in self.params:
            if p.grad is None:
                continue
            s, g = self.state_of(p), p.grad.detach()
            s["t"] += 1
            s["m"] = torch.lerp(s["m"].detach(), g, 1 - self.betas[0])
            s["v"] = torch.addcmul(self.betas[1] * s["v"].detach(), g, g, value=1 - self.betas[1])
            root = (s["v"] / (1 - self.betas[1] ** s["t"])).sqrt() + self.eps
            step = s["m"] / root / (1 - self.betas[0] ** s["t"]) + self.weight_decay * p.data
            p.data.sub_(self.lr * step)
