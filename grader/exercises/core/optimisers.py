"""SGD with momentum as torch has it (Sutskever et al. 2013, up to where the rate stands); AdamW: Loshchilov and Hutter
2019, algorithm 2.

SGD: g <- g + decay w;  b <- mu b + g;  w <- w - rate (g + mu b with Nesterov, else b).
AdamW: w <- (1 - rate decay) w;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
w <- w - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps), with t the steps of this parameter.
"""

import math

import torch

from grader.contract import Trusted


class Optimiser:
    """What both have in common, in steps."""

    def __init__(self, params, lr):
        self.params, self.lr, self.rate0 = list(params), lr, lr
        self.state = [{} for _ in self.params]

    @torch.no_grad()
    def step(self):
        self.begin()
        for p, state in zip(self.params, self.state, strict=True):
            if p.grad is None:
                self.missing(p, state)
            else:
                self.update(p, p.grad, state)

    def begin(self):
        pass

    def missing(self, p, state):
        pass

    def rate(self):
        return self.lr

    def zero_grad(self):
        for p in self.params:
            p.grad = None


class Sgd(Optimiser):
    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        super().__init__(params, lr)
        self.mu, self.nesterov, self.decay = momentum, nesterov, weight_decay

    def update(self, p, grad, state):
        g = self.decayed(grad, p)
        state["b"] = self.buffer(state.get("b", torch.zeros_like(p)), g)
        p -= self.step_of(g, state["b"])

    def decayed(self, g, p):
        return g + self.decay * p

    def buffer(self, b, g):
        return self.mu * b + g

    def step_of(self, g, b):
        return self.rate() * (g + self.mu * b if self.nesterov else b)


class Adamw(Optimiser):
    def __init__(self, params, lr, betas, eps, weight_decay):
        super().__init__(params, lr)
        self.betas, self.eps, self.decay, self.steps = betas, eps, weight_decay, 0

    def begin(self):
        self.steps += 1

    def update(self, p, grad, state):
        if not state:
            state |= {"m": torch.zeros_like(p), "v": torch.zeros_like(p), "t": 0}
        state["t"] += 1
        self.before(p)
        g = self.gradient(grad, p)
        beta1, beta2 = self.betas
        state["m"] = beta1 * state["m"] + (1 - beta1) * g
        state["v"] = beta2 * state["v"] + (1 - beta2) * self.square(g)
        p -= self.rate() * self.direction(*self.corrected(state, self.t(state)))
        self.after(p)

    def before(self, p):
        p *= 1 - self.rate() * self.decay

    def after(self, p):
        pass

    def gradient(self, g, p):
        return g

    def square(self, g):
        return g**2

    def t(self, state):
        return state["t"]

    def corrected(self, state, t):
        return [state[name] / (1 - beta**t) for name, beta in zip("mv", self.betas, strict=True)]

    def direction(self, m, v):
        return m / (v.sqrt() + self.eps)


TRUSTED = Trusted((Sgd, Adamw), budget="two classes, each with a decay, averages, a rate and missing gradients")
wrong_sgd, wrong_adamw = TRUSTED.one_by_one()


@wrong_sgd("SGD has no momentum: keep a buffer for each parameter, b = momentum * b + g.")
class NoMomentum(Sgd):
    def buffer(self, b, g):
        return g


@wrong_sgd("SGD's buffer is an average, momentum * b + (1 - momentum) * g: here it is a sum, momentum * b + g.")
class Averaged(Sgd):
    def buffer(self, b, g):
        return self.mu * b + (1 - self.mu) * g


@wrong_sgd(
    "SGD's `nesterov` has no effect, as when the old b is taken: with it the step is g + momentum * b, with the new b."
)
class NoNesterov(Sgd):
    def step_of(self, g, b):
        return self.rate() * b


@wrong_sgd("SGD's weight decay is missing: add weight_decay * p to the gradient first.")
class SgdNoDecay(Sgd):
    def decayed(self, g, p):
        return g


@wrong_sgd("SGD's weight decay acts on the parameter by itself: here it is part of the gradient, and of the momentum.")
class SgdDecoupled(Sgd):
    def decayed(self, g, p):
        p *= 1 - self.rate() * self.decay
        return g


@wrong_sgd("SGD keeps the rate in its buffer, so that old steps keep old rates: multiply by the rate when you step.")
class RateInTheBuffer(Sgd):
    def buffer(self, b, g):
        return self.mu * b + self.rate() * g

    def step_of(self, g, b):
        return self.rate() * g + self.mu * b if self.nesterov else b


@wrong_sgd("SGD steps with the rate that it was made with: a schedule changes `lr`, so read it in each step.")
class SgdFirstRate(Sgd):
    def rate(self):
        return self.rate0


@wrong_sgd("SGD climbs: a step goes against the gradient, p -= lr * ...")
class SgdClimbs(Sgd):
    def step_of(self, g, b):
        return -super().step_of(g, b)


@wrong_sgd(
    "SGD treats a gradient that is None as 0, and so decays and moves what had none: leave such a parameter as it is."
)
class SgdMissingIsZero(Sgd):
    def missing(self, p, state):
        self.update(p, torch.zeros_like(p), state)


@wrong_adamw(
    "AdamW's decay is added to the gradient, and so divided by sqrt(v): that is Adam with L2. Here the parameter "
    "shrinks by "
    "itself, p *= 1 - lr * weight_decay."
)
class DecayInTheMoments(Adamw):
    def before(self, p):
        pass

    def gradient(self, g, p):
        return g + self.decay * p


@wrong_adamw("AdamW's decay is missing: p *= 1 - lr * weight_decay.")
class NoDecay(Adamw):
    def before(self, p):
        pass


@wrong_adamw("AdamW's decay is not multiplied by the rate: p *= 1 - lr * weight_decay, so that a schedule reaches it.")
class DecayWithoutRate(Adamw):
    def before(self, p):
        p *= 1 - self.decay


@wrong_adamw("AdamW decays after its step, and so what it has just added: first p shrinks, then it steps.")
class DecaysLast(Adamw):
    def before(self, p):
        pass

    def after(self, p):
        p *= 1 - self.rate() * self.decay


@wrong_adamw("AdamW does not correct its averages, which begin at 0: divide m by 1 - beta1^t and v by 1 - beta2^t.")
class Uncorrected(Adamw):
    def corrected(self, state, t):
        return state["m"], state["v"]


@wrong_adamw("AdamW corrects m alone: v begins at 0 as well, and is divided by 1 - beta2^t.")
class CorrectsOne(Adamw):
    def corrected(self, state, t):
        return state["m"] / (1 - self.betas[0] ** t), state["v"]


@wrong_adamw("AdamW's t is one too many: in the first step it is 1.")
class OneStepAhead(Adamw):
    def t(self, state):
        return state["t"] + 1


@wrong_adamw(
    "AdamW counts one t for all parameters: one that comes late has averages that begin late, and a t of its own."
)
class OneCount(Adamw):
    def t(self, state):
        return self.steps


@wrong_adamw("AdamW adds eps under the root: it is added to the root, sqrt(v) + eps.")
class EpsInside(Adamw):
    def direction(self, m, v):
        return m / (v + self.eps).sqrt()


@wrong_adamw("AdamW divides by v: by its root.")
class NoRoot(Adamw):
    def direction(self, m, v):
        return m / (v + self.eps)


@wrong_adamw("AdamW exchanges its betas: the first is for m, the second for v.")
class BetasExchanged(Adamw):
    def __init__(self, params, lr, betas, eps, weight_decay):
        super().__init__(params, lr, betas[::-1], eps, weight_decay)


@wrong_adamw("AdamW's v is the average of sizes, and not of squares: v = beta2 * v + (1 - beta2) * g ** 2.")
class Sizes(Adamw):
    def square(self, g):
        return g.abs()


@wrong_adamw("AdamW treats a gradient that is None as 0, and so decays and moves what had none: leave it as it is.")
class MissingIsZero(Adamw):
    def missing(self, p, state):
        self.update(p, torch.zeros_like(p), state)


@wrong_adamw("AdamW steps with the rate that it was made with: a schedule changes `lr`, so read it in each step.")
class FirstRate(Adamw):
    def rate(self):
        return self.rate0


class SgdOfTorch(torch.optim.Optimizer):
    """On torch's base class, whose groups follow `lr`."""

    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "decay": weight_decay})
        self.lr = lr

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad.add(p, alpha=group["decay"])
                b = self.state[p].setdefault("b", torch.zeros_like(p))
                b.mul_(group["momentum"]).add_(g)
                p.sub_(g.add(b, alpha=group["momentum"]) if group["nesterov"] else b, alpha=self.lr)


class AdamwOfTorch(torch.optim.Optimizer):
    def __init__(self, params, lr, betas, eps, weight_decay):
        super().__init__(params, {"lr": lr})
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, weight_decay

    @torch.no_grad()
    def step(self):
        for p in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            state = self.state[p]
            state["t"] = state.get("t", 0) + 1
            m, v = (state.setdefault(name, torch.zeros_like(p)) for name in ("exp_avg", "exp_avg_sq"))
            m.lerp_(p.grad, 1 - self.betas[0])
            v.mul_(self.betas[1]).addcmul_(p.grad, p.grad, value=1 - self.betas[1])
            size = math.sqrt(1 - self.betas[1] ** state["t"]) / (1 - self.betas[0] ** state["t"])
            p.mul_(1 - self.lr * self.decay)
            p.addcdiv_(m, v.sqrt() + self.eps * math.sqrt(1 - self.betas[1] ** state["t"]), value=-self.lr * size)


class SgdByFunctions:
    """Dictionaries by parameter, numbers replaced through .data."""

    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        self.params, self.lr, self.settings, self.b = tuple(params), lr, (momentum, nesterov, weight_decay), {}

    def step(self):
        mu, nesterov, decay = self.settings
        for p in self.params:
            if p.grad is not None:
                g = p.grad + decay * p.data
                self.b[p] = g if p not in self.b else mu * self.b[p] + g
                p.data = p.data - self.lr * (g + mu * self.b[p] if nesterov else self.b[p])


class AdamwForeach:
    """Lists of tensors through torch's _foreach functions."""

    def __init__(self, params, lr, betas, eps, weight_decay):
        self.params, self.lr, self.betas, self.eps, self.decay = list(params), lr, betas, eps, weight_decay
        self.m = {p: torch.zeros_like(p) for p in self.params}
        self.v = {p: torch.zeros_like(p) for p in self.params}
        self.t = dict.fromkeys(self.params, 0)

    @torch.no_grad()
    def step(self):
        held = [p for p in self.params if p.grad is not None]
        if not held:
            return
        grads, m, v = [p.grad for p in held], [self.m[p] for p in held], [self.v[p] for p in held]
        torch._foreach_lerp_(m, grads, 1 - self.betas[0])
        torch._foreach_mul_(v, self.betas[1])
        torch._foreach_addcmul_(v, grads, grads, 1 - self.betas[1])
        torch._foreach_mul_(held, 1 - self.lr * self.decay)
        for p, one, two in zip(held, m, v, strict=True):
            self.t[p] += 1
            first, second = (1 - beta ** self.t[p] for beta in self.betas)
            p -= self.lr * (one / first) / ((two / second).sqrt() + self.eps)


TRUSTED.add_alternative("of_torch", SgdOfTorch, AdamwOfTorch)
TRUSTED.add_alternative("by_functions", SgdByFunctions, AdamwForeach)
