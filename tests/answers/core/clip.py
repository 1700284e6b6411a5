"""Answers to core.clip."""

import math

import numpy as np
import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("core.clip", spared={"dependence": "nothing is drawn", "unwatched": "values are compared"})
wrong = ANSWERS.wrong


def grads_of(params):
    return [p.grad for p in params if p.grad is not None]


def total(grads):
    return math.sqrt(sum((g.double() ** 2).sum().item() for g in grads))


def refuse(norm):
    if not math.isfinite(norm):
        raise ValueError(f"found a norm of {norm}")


def shorten(grads, norm, limit):
    if norm > limit:
        for g in grads:
            g.mul_(limit / norm)


def clipped(params, limit, *, chosen=grads_of, norm_of=total, look=refuse, change=shorten):
    """A right answer, of which a part is replaced."""
    grads = chosen(params)
    norm = norm_of(grads)
    look(norm)
    change(grads, norm, limit)
    return norm


@wrong("plain", "the given code", true="as_given")
def given_clip(params, limit):
    norm = 0.0
    for p in params:
        norm = p.grad.norm()
        p.grad *= limit / norm
    return norm


@wrong(
    "plain", "half mended: what has no gradient is left out, and each gradient has a norm of its own", true="OneByOne"
)
def each_its_own(params, limit):
    def change(grads, norm, limit):
        for g in grads:
            shorten([g], g.norm(), limit)

    return clipped(params, limit, change=change)


@wrong("plain", "scaled up as well, where the norm is below the limit", true="ScaledUp")
def always_scaled(params, limit):
    def change(grads, norm, limit):
        for g in grads:
            g.mul_(limit / norm if norm else 1)

    return clipped(params, limit, change=change)


@wrong("given", "p.grad becomes another tensor", told=r"p.grad is another tensor afterwards")
def new_tensors(params, limit):
    params = [p for p in params if p.grad is not None]
    norm = total(grads_of(params))
    refuse(norm)
    if norm > limit:
        for p in params:
            p.grad = p.grad * (limit / norm)
    return norm


@wrong("named", "a generator is gone through twice", true="ReadTwice")
def twice(params, limit):
    norm = total(grads_of(params))
    refuse(norm)
    shorten(grads_of(params), norm, limit)
    return norm


@wrong(
    "named", "any() takes the first parameter out of a generator", told=r"from a generator: the norm that is returned"
)
def first_one_lost(params, limit):
    return clipped(params, limit) if any(p.grad is not None for p in params) else 0.0


@wrong("named", "NaN is looked for after the gradients were changed", told=r"gradients have been changed before")
def looks_too_late(params, limit):
    norm = nn.utils.clip_grad_norm_(params, limit).item()
    refuse(norm)
    return norm


@wrong("named", "an infinite norm raises nothing", true="InfinityPasses")
def nan_alone(params, limit):
    return clipped(params, limit, look=lambda norm: refuse(norm if math.isnan(norm) else 0))


@wrong(
    "named", "NaN raises nothing, for NaN > limit is false", told=r"one entry is NaN: a ValueError is raised is False"
)
def infinity_alone(params, limit):
    return clipped(params, limit, look=lambda norm: refuse(norm if norm == math.inf else 0))


@wrong("named", "a RuntimeError, as torch's error_if_nonfinite has it", told=r"RuntimeError: The total norm")
def runtime_error(params, limit):
    return nn.utils.clip_grad_norm_(params, limit, error_if_nonfinite=True)


@wrong("plain", "torch's: NaN raises nothing", told=r"a ValueError is raised is False")
def torchs(params, limit):
    return nn.utils.clip_grad_norm_(params, limit)


@wrong("plain", "the norm after clipping is returned", true="ReturnsTheClipped")
def norm_after(params, limit):
    return min(clipped(params, limit), limit)


@wrong("plain", "each number is clipped by itself", true="ByEntry")
def by_entry(params, limit):
    return clipped(params, limit, change=lambda grads, norm, limit: [g.clamp_(-limit, limit) for g in grads])


@wrong("plain", "the sum of the norms", true="NormsAdded")
def sum_of_norms(params, limit):
    return clipped(params, limit, norm_of=lambda grads: float(sum(g.norm().item() for g in grads)))


@wrong("plain", "the largest entry", true="LargestEntry")
def largest_entry(params, limit):
    return clipped(params, limit, norm_of=lambda grads: max((g.abs().max().item() for g in grads), default=0.0))


@wrong(
    "named", "no gradient at all is an error of torch.stack's", told=r"none is there: .*stack|stack expects a non-empty"
)
def stacks_nothing(params, limit):
    return clipped(params, limit, norm_of=lambda grads: torch.stack([g.norm() for g in grads]).norm().item())


@wrong("plain", "a gradient that is missing becomes one of zeros", told=r"a gradient that was None is one afterwards")
def fills_in(params, limit):
    params = list(params)
    for p in params:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    return clipped(params, limit)


@wrong("named", "what is frozen does not count, though it has a gradient")
def frozen_left_out(params, limit):
    return clipped([p for p in params if p.requires_grad], limit)


@wrong("ones", "biases do not count")
def matrices_alone(params, limit):
    return clipped([p for p in params if p.dim() > 1], limit)


@wrong("far", "in float16, which ends at 65,504")
def in_half(params, limit):
    return clipped(params, limit, norm_of=lambda grads: float(sum((g.half() ** 2).sum() for g in grads)) ** 0.5)


@wrong("large", "the first sixteen gradients", told=r"40 gradients: the norm that is returned")
def sixteen(params, limit):
    return clipped(params, limit, chosen=lambda params: grads_of(params)[:16])


MEAN = {}


@wrong(
    "again",
    "the norm is averaged over the calls so far",
    told=r"two calls with the same arguments give two different results",
)
def running(params, limit):
    def change(grads, norm, limit):
        MEAN["norm"] = 0.5 * MEAN.get("norm", norm) + 0.5 * norm
        shorten(grads, MEAN["norm"], limit)

    return clipped(params, limit, change=change)


@wrong(
    "onward",
    "it ends at the first parameter without a gradient",
    advice=r"all gradients afterwards is 2\.5 tim",
    told=r"some are missing: the norm that is returned",
)
def ends_at_none(params, limit):
    params = list(params)
    ends = [i for i, p in enumerate(params) if p.grad is None]
    return clipped(params[: ends[0]] if ends else params, limit)


@wrong("surroundings", "gradients are switched off for good", told=r"leaves gradients switched off")
def switched_off(params, limit):
    torch.set_grad_enabled(False)
    return clipped(params, limit)


@ANSWERS.right
def by_torch(params, limit):
    params = list(params)
    norm = nn.utils.get_total_norm(grads_of(params))
    refuse(norm.item())
    if norm > limit:
        nn.utils.clip_grads_with_norm_(params, limit, norm)
    return norm


@ANSWERS.right
def with_numpy(params, limit):
    """NumPy shares the memory of a CPU tensor."""
    arrays = [p.grad.detach().cpu().numpy() for p in params if p.grad is not None]
    norm = np.linalg.norm([np.linalg.norm(a.astype(np.float64)) for a in arrays]) if arrays else np.float64(0)
    refuse(norm)
    if norm > limit:
        for a in arrays:
            a *= limit / norm
    return norm


@ANSWERS.right
def foreach(params, limit):
    """A factor of 1 changes nothing."""
    grads = grads_of(params)
    norm = torch.stack(torch._foreach_norm(grads)).norm() if grads else torch.zeros(())
    refuse(norm.item())
    if grads and norm:
        torch._foreach_mul_(grads, (limit / norm).clamp(max=1.0))
    return norm
