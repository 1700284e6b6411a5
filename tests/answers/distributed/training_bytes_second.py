"""Answers to distributed.training_bytes, second round."""

import functools
import math
from collections import OrderedDict
from fractions import Fraction

import numpy as np

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.training_bytes")
wrong = ANSWERS.wrong


def checked(stage):
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"found stage {stage}")


def ceil(P, n):
    return -(-P // n)


def made(P, n, stage, master, activations, *, check=checked, shard=ceil, whole=lambda P: P, whose=(3, 2, 1)):
    check(stage)
    w, g, o = (shard(P, n) if stage >= s else whole(P) for s in whose)
    found = {"weights": 2 * w, "gradients": 2 * g, "optimizer": (12 if master else 8) * o, "activations": activations}
    found["total"] = sum(found.values())
    return found


@wrong("large", "what is not in shards is a quotient P / 1 made int: no more exact above 2^53 at stages 0 to 2")
def divides_by_one(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, whole=lambda P: int(P / 1))


@wrong(
    "large",
    "2 bytes a number as 2.0: weights and gradients of many numbers are rounded",
    told=r"wrong where it is \d+ or more",
)
def two_point_zero(P, n, stage, master, activations):
    found = made(P, n, stage, master, activations)
    w, g = (ceil(P, n) if stage >= s else P for s in (3, 2))
    found |= {"weights": int(2.0 * w), "gradients": int(2.0 * g)}
    found["total"] = sum(found[key] for key in ("weights", "gradients", "optimizer", "activations"))
    return found


@wrong("large", "math.ceil of a float quotient", true="ThroughFloats")
def ceil_of_float(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, shard=lambda P, n: math.ceil(P / n))


@wrong("large", "the total is added up as floats", told=r"wrong where it is \d+ or more")
def fsum(P, n, stage, master, activations):
    found = made(P, n, stage, master, activations)
    found["total"] = int(math.fsum(v for k, v in found.items() if k != "total"))
    return found


@wrong("named", "stage 12 is taken: '12' is in '0123'", told=r"stage=12, which is none")
def in_a_string(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, check=lambda s: "0123".index(str(s)))


@wrong("named", "only -1 and what is above 3 is refused, -2 is not", told=r"stage=-2, which is none")
def minus_one(P, n, stage, master, activations):
    def check(stage):
        if stage == -1 or stage > 3:
            raise ValueError

    return made(P, n, stage, master, activations, check=check)


@wrong("named", "a stage of 4 only is refused: those above are taken for 3", told=r"stage=5, which is none")
def four_alone(P, n, stage, master, activations):
    def check(stage):
        if stage < 0 or stage == 4:
            raise ValueError

    return made(P, n, stage, master, activations, check=check)


@functools.lru_cache
def _kept(P, n, stage, master):
    return {}


@wrong(
    "again",
    "kept by P, n, stage and master: other activations get the first ones' result",
    told=r"differ in activations alone",
)
def kept_without_activations(P, n, stage, master, activations):
    checked(stage)
    kept = _kept(P, n, stage, master)
    return dict(kept or kept.update(made(P, n, stage, master, activations)) or kept)


@wrong(
    "again",
    "a default argument: every call returns the same dict, and changes what an earlier one returned",
    told=r"second call changes",
)
def one_dict(P, n, stage, master, activations, found={}):  # noqa: B006
    found.update(made(P, n, stage, master, activations))
    return found


STAGE = []


@wrong("onward", "after a stage that is none, each call raises", told=r"called again: .*raises_for_ever")
def raises_for_ever(P, n, stage, master, activations):
    if STAGE or stage not in range(4):
        STAGE.append(stage)
        raise ValueError
    return made(P, n, stage, master, activations)


@wrong("ones", "one rank: stage and check are passed over", told=r"n=1, stage=4, which is none")
def one_rank(P, n, stage, master, activations):
    return made(P, n, 0 if n == 1 else stage, master, activations)


@wrong("ones", "one rank has no shards, and no master copy", advice=r"0\.6667 times")
def no_master_alone(P, n, stage, master, activations):
    return made(P, n, stage, master and n > 1, activations)


@wrong("plain", "rounded up in bytes and not in numbers", true="BytesRounded")
def bytes_up(P, n, stage, master, activations):
    found = made(P, n, stage, master, activations)
    for key, size, s in (("weights", 2, 3), ("gradients", 2, 2), ("optimizer", 12 if master else 8, 1)):
        found[key] = ceil(size * P, n) if stage >= s else size * P
    found["total"] = sum(v for k, v in found.items() if k != "total")
    return found


@wrong("plain", "rounded to the nearest")
def nearest(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, shard=lambda P, n: (P + n // 2) // n)


@wrong("plain", "one more than the quotient, always")
def always_more(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, shard=lambda P, n: P // n + 1)


@wrong("plain", "stage 2 has the weights in shards, stage 3 the gradients", told=r"gradients and weights are exchanged")
def swapped(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, whose=(2, 3, 1))


@wrong("plain", "the master copy stays whole", true="MasterWhole")
def whole_master(P, n, stage, master, activations):
    found = made(P, n, stage, False, activations)
    found["optimizer"] += 4 * P * master
    found["total"] += 4 * P * master
    return found


@wrong("far", "no shard is smaller than 8 numbers, so that it can be sent in one piece")
def at_least_eight(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, shard=lambda P, n: max(ceil(P, n), min(P, 8)))


@ANSWERS.right
def by_fraction(P, n, stage, master, activations):
    return made(P, n, stage, master, activations, shard=lambda P, n: math.ceil(Fraction(P, n)))


@ANSWERS.right
def by_numpy(P, n, stage, master, activations):
    stages = [0, 1, 2, 3]
    sharded = np.arange(3, 0, -1) <= stages.index(stage)
    sizes = np.where(sharded, (P - 1) // n + 1, P).astype(np.int64) * np.array([2, 2, 8 + 4 * master])
    keys = ("weights", "gradients", "optimizer", "activations")
    found = dict(zip(keys, [*sizes.tolist(), activations], strict=True))
    return found | {"total": sum(found.values())}


@ANSWERS.right
def ordered(P, n, stage, master, activations):
    match stage:
        case 0:
            ns = (1, 1, 1)
        case 1:
            ns = (1, 1, n)
        case 2:
            ns = (1, n, n)
        case 3:
            ns = (n, n, n)
        case _:
            raise ValueError(stage)
    w, g, o = ((P + k - 1) // k for k in ns)
    o = o * 8 + (o * 4 if master else 0)
    return OrderedDict(
        total=2 * w + 2 * g + o + activations, weights=w + w, gradients=g + g, optimizer=o, activations=activations
    )


@ANSWERS.right
def by_divmod_of_two(P, n, stage, master, activations):
    if stage % 4 != stage:
        raise ValueError
    q, r = divmod(P, n)
    sizes = [P, q + bool(r)]
    two = sizes[stage > 2] * 2, sizes[stage > 1] * 2, sizes[stage > 0] * (12 if master else 8), activations
    return dict(zip(("weights", "gradients", "optimizer", "activations", "total"), (*two, sum(two)), strict=True))
