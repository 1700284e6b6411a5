"""Answers to distributed.training_bytes."""

import math
from collections import Counter
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.training_bytes",
    spared={
        "given": "numbers are handed in, which nobody can alter",
        "surroundings": "nothing is needed from around",
        "dependence": "nothing is drawn",
    },
)
wrong = ANSWERS.wrong


def up(P, n):
    return -(-P // n)


def known(stage):
    if stage not in (0, 1, 2, 3):
        raise ValueError(f"found stage={stage}, expected 0, 1, 2 or 3")


def added(entries):
    return sum(entries.values())


def counted(
    P, n, stage, master, activations, *, shard=up, look=known, first=(3, 2, 1), per=(2, 2, 8, 4), total=added, kind=int
):
    """A right answer, of which a part is replaced; `first` is the stage from which each entry is in shards."""
    look(stage)
    weights, gradients, optimizer = (shard(P, n) if stage >= begin else P for begin in first)
    entries = {
        "weights": per[0] * weights,
        "gradients": per[1] * gradients,
        "optimizer": (per[2] + per[3] * master) * optimizer,
        "activations": activations,
    }
    entries["total"] = total(entries)
    return {key: kind(value) for key, value in entries.items()}


@wrong("plain", "a shard is rounded down", true="Floor")
def rounds_down(*given):
    return counted(*given, shard=lambda P, n: P // n)


@wrong("plain", "a shard is rounded to the nearest")
def rounds_nearest(*given):
    return counted(*given, shard=lambda P, n: (2 * P + n) // (2 * n))


@wrong("plain", "always one number more, also where n divides P")
def one_more(*given):
    return counted(*given, shard=lambda P, n: P // n + 1)


@wrong("ones", "always one number more, but for n = 1")
def one_more_among_several(*given):
    return counted(*given, shard=lambda P, n: P // n + (n > 1))


@wrong("ones", "a shard of no number becomes one of one number, and all others are rounded down")
def at_least_one(*given):
    return counted(*given, shard=lambda P, n: max(P // n, 1))


@wrong("plain", "bytes are divided and rounded up, not numbers", true="BytesRounded")
def bytes_divided(P, n, stage, master, activations):
    known(stage)
    entries = {"weights": 2 * P, "gradients": 2 * P, "optimizer": (12 if master else 8) * P}
    begins = {"weights": 3, "gradients": 2, "optimizer": 1}
    entries = {key: up(x, n) if stage >= begins[key] else x for key, x in entries.items()}
    entries["activations"] = activations
    return entries | {"total": sum(entries.values())}


@wrong("large", "ceil of a float quotient: inexact above 2^53", true="ThroughFloats")
def float_ceil(*given):
    return counted(*given, shard=lambda P, n: math.ceil(P / n))


@wrong("large", "the total is added up in floats", told="wrong where it is \\d+ or more")
def float_total(*given):
    return counted(*given, total=lambda entries: int(math.fsum(entries.values())))


@wrong("plain", "every entry is divided, at every stage", told="did not look at stage")
def all_divided(*given):
    return counted(*given, first=(0, 0, 0))


@wrong("plain", "stages one too early: 0 divides the optimizer")
def stages_too_early(*given):
    return counted(*given, first=(2, 1, 0))


@wrong("plain", "stage 1 divides the weights, stage 3 the optimizer")
def stages_turned_round(*given):
    return counted(*given, first=(1, 2, 3))


@wrong("plain", "each stage divides its own entry alone")
def one_entry_a_stage(P, n, stage, master, activations):
    known(stage)
    entries = {
        "weights": 2 * (up(P, n) if stage == 3 else P),
        "gradients": 2 * (up(P, n) if stage == 2 else P),
        "optimizer": (12 if master else 8) * (up(P, n) if stage == 1 else P),
        "activations": activations,
    }
    return entries | {"total": sum(entries.values())}


@wrong("plain", "the weights stay whole at stage 3 too")
def weights_never(*given):
    return counted(*given, first=(9, 2, 1))


@wrong("plain", "gradients have 4 bytes", true="GradientsInFourBytes")
def wide_gradients(*given):
    return counted(*given, per=(2, 4, 8, 4))


@wrong(
    "plain",
    "the master copy is always there",
    told="right where master is True, wrong where it is False",
    advice="it is 1\\.5 times",
)
def always_master(P, n, stage, master, activations):
    return counted(P, n, stage, True, activations)


@wrong("plain", "no master copy: master is not looked at", true="MasterForgotten")
def never_master(P, n, stage, master, activations):
    return counted(P, n, stage, False, activations)


@wrong("plain", "m and v together have 4 bytes", true="OneMoment")
def one_average(*given):
    return counted(*given, per=(2, 2, 4, 4))


@wrong("plain", "the master copy counts as weights", true="MasterAmongTheWeights")
def master_among_weights(P, n, stage, master, activations):
    return counted(P, n, stage, False, activations, per=(6 if master else 2, 2, 8, 0))


@wrong("plain", "the master copy stays whole at every stage", true="MasterWhole")
def master_whole(P, n, stage, master, activations):
    found = counted(P, n, stage, False, activations)
    return found | {k: found[k] + 4 * P * master for k in ("optimizer", "total")}


@wrong("plain", "with master the weights of 2 bytes are not counted again")
def master_in_place_of_weights(P, n, stage, master, activations):
    return counted(P, n, stage, master, activations, per=(0 if master else 2, 2, 8, 4))


@wrong("plain", "activations are divided as well at stage 3", true="ActivationsDivided")
def activations_divided(P, n, stage, master, activations):
    return counted(P, n, stage, master, up(activations, n) if stage == 3 else activations)


@wrong("plain", "the total leaves the activations out", true="TotalWithoutActivations")
def total_without_activations(*given):
    return counted(*given, total=lambda entries: sum(v for k, v in entries.items() if k != "activations"))


@wrong("plain", "no total", told="no key 'total'")
def no_total(*given):
    found = counted(*given)
    del found["total"]
    return found


@wrong("plain", "a key more", told="the dict has 6 keys")
def with_shard(P, n, *given):
    return counted(P, n, *given) | {"shard": up(P, n)}


@wrong("plain", "the total of all ranks", told="total is n times what is expected")
def of_all_ranks(P, n, *given):
    found = counted(P, n, *given)
    return found | {"total": n * found["total"]}


@wrong("plain", "values are floats", told="'weights' is a float, expected an int")
def floats(*given):
    return counted(*given, kind=float)


@wrong("unwatched", "values of NumPy's type, which are no int", told="of type int64, expected an int")
def numpy_values(*given):
    return counted(*given, kind=np.int64)


@wrong("unwatched", "values are tensors of shape (), which are no int", told="of type Tensor, expected an int")
def tensors(*given):
    return counted(*given, kind=torch.tensor)


@wrong("named", "a negative stage is stage 0", told="stage=-1, which is none: a ValueError is raised is False")
def negative_stage(*given):
    def look(stage):
        if stage > 3:
            raise ValueError("no such stage")

    return counted(*given, look=look)


@wrong("named", "a stage above 3 is stage 3", told="stage=4, which is none: a ValueError is raised is False")
def stage_above(*given):
    def look(stage):
        if stage < 0:
            raise ValueError("no such stage")

    return counted(*given, look=look)


@wrong("named", "any stage is one", true="AnyStage")
def any_stage(*given):
    return counted(*given, look=lambda stage: None)


@wrong("named", "an assertion, no ValueError", told="raises AssertionError, expected a ValueError")
def asserts(*given):
    def look(stage):
        assert 0 <= stage <= 3, "no such stage"

    return counted(*given, look=look)


@wrong(
    "named",
    "an index of a tuple: -1 is the last stage",
    told="stage=-1, which is none: a ValueError is raised is False",
)
def by_index(P, n, stage, master, activations):
    s = up(P, n)
    try:
        weights, gradients, optimizer = ((P, P, P), (P, P, s), (P, s, s), (s, s, s))[stage]
    except IndexError as error:
        raise ValueError("no such stage") from error
    entries = {"weights": 2 * weights, "gradients": 2 * gradients}
    entries |= {"optimizer": (12 if master else 8) * optimizer, "activations": activations}
    return entries | {"total": sum(entries.values())}


@wrong(
    "named",
    "for one rank everything is whole, before anybody looks at the stage",
    told="which is none.*: a ValueError is raised is False",
)
def one_rank_first(P, n, stage, master, activations):
    return counted(P, n, 0 if n == 1 else stage, master, activations)


@wrong(
    "again",
    "the dict is a default argument: from the second call on the old total is added",
    told="it keeps something from one call to the next",
)
def kept_dict(P, n, stage, master, activations, found={}):  # noqa: B006
    new = counted(P, n, stage, master, activations)
    found.update({k: v for k, v in new.items() if k != "total"})
    found["total"] = sum(found.values())
    return dict(found)


SEEN = {}


@wrong(
    "again",
    "kept by P, n and stage: whether there is a master copy is that of the first call",
    advice="it is 1\\.5 times",
)
def kept_without_master(P, n, stage, master, activations):
    key = P, n, stage
    SEEN.setdefault(key, counted(P, n, stage, master, 0))
    found = SEEN[key]
    return found | {"activations": activations, "total": found["total"] + activations}


@wrong("onward", "a generator is summed, and is empty afterwards: the total leaves out the first entries")
def total_of_the_rest(P, n, stage, master, activations):
    found = counted(P, n, stage, master, activations)
    values = iter([found[k] for k in ("weights", "gradients", "optimizer", "activations")])
    assert any(values) or True
    return found | {"total": sum(values)}


@wrong("far", "integers below 2^32 in a C array", told="wrong where it is 7000000000\\d or more")
def in_32_bits(*given):
    return counted(*given, kind=lambda x: int(x) % 2**32)


@ANSWERS.right
def by_divmod(P, n, stage, master, activations):
    if stage not in range(4):
        raise ValueError(stage)
    whole, rest = divmod(P, n)
    found = {"total": 0, "activations": activations}
    for key, size, begin in (("optimizer", 12 if master else 8, 1), ("gradients", 2, 2), ("weights", 2, 3)):
        found[key] = size * (whole + (rest > 0) if stage >= begin else P)
    found["total"] = sum(found.values())
    return found


class NoStage(ValueError):
    pass


@ANSWERS.right
def as_a_counter(P, n, stage, master, activations):
    match stage:
        case 0 | 1 | 2 | 3:
            s = math.ceil(Fraction(P, n))
        case _:
            raise NoStage
    found = Counter(activations=activations)
    found["optimizer"] += (4 + 4 + 4 * int(master)) * [P, s, s, s][stage]
    found["gradients"] += 2 * [P, P, s, s][stage]
    found["weights"] += 2 * [P, P, P, s][stage]
    found["total"] = found.total()
    return found


@dataclass
class Bytes:
    weights: int
    gradients: int
    optimizer: int
    activations: int
    total: int = 0


@ANSWERS.right
def as_a_dataclass(P, n, stage, master, activations):
    try:
        parts = {0: (1, 1, 1), 1: (1, 1, n), 2: (1, n, n), 3: (n, n, n)}[stage]
    except KeyError:
        raise ValueError(f"found stage={stage}") from None
    sizes = [(P + ranks - 1) // ranks for ranks in parts]
    found = Bytes(2 * sizes[0], 2 * sizes[1], 8 * sizes[2] + 4 * sizes[2] * master, activations)
    found.total = found.weights + found.gradients + found.optimizer + found.activations
    return asdict(found)


@ANSWERS.right
def by_a_nested_function(P, n, stage, master, activations):
    if stage < 0 or stage > 3:
        raise ValueError("stages are 0, 1, 2, 3")

    def has(bytes_each, since):
        return bytes_each * P if stage < since else bytes_each * ((P - 1) // n + 1)

    entries = dict(
        zip(("weights", "gradients", "optimizer"), map(has, (2, 2, 12 if master else 8), (3, 2, 1)), strict=True)
    )
    return {**entries, "activations": activations, "total": sum(entries.values()) + activations}
