"""g <- g min(1, limit / |g|), |g| the norm of all gradients together: Pascanu et al. 2013, algorithm 1."""

import math

import torch

from grader.contract import Trusted


def reference(params, limit):
    grads = [p.grad for p in params if p.grad is not None]
    norm = math.sqrt(sum((grad.double() ** 2).sum().item() for grad in grads))
    if not math.isfinite(norm):
        raise ValueError(f"the norm of all gradients is {norm}")
    if norm > limit:
        for grad in grads:
            grad *= limit / norm
    return norm


TRUSTED = Trusted(reference, budget="a norm, a factor, a return, and gradients that are missing or no numbers")


class Clip:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, params, limit):
        grads = self.grads([*params])
        norm = self.norm(grads)
        if self.is_odd(norm):
            return self.odd(norm)
        self.scale(grads, norm, limit)
        return self.result(norm, limit)

    def grads(self, params):
        return [p.grad for p in params if p.grad is not None]

    def norm(self, grads):
        return math.sqrt(sum((grad.double() ** 2).sum().item() for grad in grads))

    def is_odd(self, norm):
        return not math.isfinite(norm)

    def odd(self, norm):
        raise ValueError(f"the norm is {norm}")

    def scale(self, grads, norm, limit):
        for grad in grads:
            grad *= self.factor(norm, limit)

    def factor(self, norm, limit):
        return min(1.0, limit / norm) if norm else 1.0

    def result(self, norm, limit):
        return norm


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. Whose norm is compared with the limit, what happens below it, and which "
    "norm is returned?"
)
def as_given(params, limit):
    norm = 0.0
    for p in params:
        norm = p.grad.norm()
        p.grad *= limit / norm
    return norm


@slip("Each gradient is clipped by itself, which turns their common direction: one norm of all together decides.")
class OneByOne(Clip):
    def scale(self, grads, norm, limit):
        for grad in grads:
            grad *= self.factor(grad.norm().item(), limit)


@slip("Every entry is clipped by itself, between -limit and limit: the norm of all gradients together decides.")
class ByEntry(Clip):
    def scale(self, grads, norm, limit):
        for grad in grads:
            grad.clamp_(-limit, limit)


@slip("Gradients below the limit are scaled up to it: the factor is at most 1, `min(1, limit / norm)`.")
class ScaledUp(Clip):
    def factor(self, norm, limit):
        return limit / norm if norm else 1.0


@slip("Gradients above the limit are divided by their norm alone, and have a norm of 1: multiply by the limit.")
class NormOne(Clip):
    def factor(self, norm, limit):
        return 1 / norm if norm > limit else 1.0


@slip("The factor is the limit over the *squared* norm: take the root before you divide.")
class Squared(Clip):
    def norm(self, grads):
        return super().norm(grads) ** 2


@slip("The norms of the gradients are added up: the norm of all is the root of the sum of their squares.")
class NormsAdded(Clip):
    def norm(self, grads):
        return sum(grad.norm().item() for grad in grads)


@slip("The largest entry is taken for the norm: it is the root of the sum of all squares.")
class LargestEntry(Clip):
    def norm(self, grads):
        return max((grad.abs().max().item() for grad in grads), default=0.0)


@slip("The norm is that of the mean square, which forgets how many numbers there are: sum the squares.")
class MeanSquare(Clip):
    def norm(self, grads):
        n = sum(grad.numel() for grad in grads)
        return super().norm(grads) / max(n, 1) ** 0.5


@slip("The norm after clipping is returned: the one before is what a training log needs to see.")
class ReturnsTheClipped(Clip):
    def result(self, norm, limit):
        return min(norm, limit)


@slip("The factor is returned: the norm before clipping is asked for.")
class ReturnsTheFactor(Clip):
    def result(self, norm, limit):
        return self.factor(norm, limit)


@slip("A norm that is no number passes silently, and NaN goes into the weights with the next step: raise a ValueError.")
class SilentNaN(Clip):
    def is_odd(self, norm):
        return False


@slip("A norm that is no number is hidden: gradients become 0, and nobody hears of it. Raise a ValueError.")
class HidesNaN(Clip):
    def grads(self, params):
        for grad in super().grads(params):
            grad.nan_to_num_(0.0, 0.0, 0.0)
        return super().grads(params)


@slip("An infinite norm is let pass: not only NaN is no number to step with. `math.isfinite` asks for both.")
class InfinityPasses(Clip):
    def is_odd(self, norm):
        return math.isnan(norm)


@slip(
    "A parameter without a gradient (None) breaks it: a frozen one, or one that the loss does not reach. Leave it out."
)
class MissingBreaks(Clip):
    def grads(self, params):
        grads = [p.grad for p in params]
        if None in [None if grad is None else 1 for grad in grads]:
            raise AttributeError("'NoneType' object has no attribute 'norm'")
        return grads


@slip("Where all gradients are 0 the factor is 0/0, and they become NaN: below the limit nothing is divided.")
class ZeroOverZero(Clip):
    def factor(self, norm, limit):
        return min(1.0, limit / norm) if norm else math.nan


@slip(
    "`params` is gone through twice. model.parameters() is a generator, which gives everything once: make a list of it "
    "first."
)
class ReadTwice(Clip):
    def __call__(self, params, limit):
        norm = self.norm([p.grad for p in params if p.grad is not None])
        if self.is_odd(norm):
            self.odd(norm)
        self.scale([p.grad for p in params if p.grad is not None], norm, limit)
        return norm


@TRUSTED.alternative
def one_long_vector(params, limit):
    held = [p for p in params if p.grad is not None]
    if not held:
        return 0.0
    norm = torch.cat([p.grad.reshape(-1) for p in held]).norm()
    if norm.isnan() or norm.isinf():
        raise ValueError("gradients are no numbers")
    share = limit / norm
    if share < 1:
        for p in held:
            p.grad.mul_(share)
    return norm


@TRUSTED.alternative
def norm_of_norms(params, limit):
    grads = [g for g in (p.grad for p in list(params)) if g is not None]
    norms = torch._foreach_norm(grads) if grads else [torch.zeros(())]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if not torch.isfinite(norm):
        raise ValueError("not finite")
    if norm > limit:
        torch._foreach_mul_(grads, (limit / norm).item())
    return norm.item()
