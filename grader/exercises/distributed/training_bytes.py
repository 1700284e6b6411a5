"""Model states of mixed-precision AdamW, (2 + 2 + K) P bytes with K = 8, or 12 with master weights, and who divides
what by n: Rajbhandari et al. 2020, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", figure 1.
"""

import math

import numpy as np

from grader.contract import Trusted


class Bytes:
    """The answer in steps: a mistake is written as the one in which it differs."""

    WEIGHTS, GRADIENTS, OPTIMIZER = 3, 2, 1  # the stage from which on each is in shards

    def __call__(self, P, n, stage, master, activations):
        self.check(stage)
        self.P, self.n, self.stage = P, n, stage
        entries = {
            "weights": self.weights(),
            "gradients": self.gradients(),
            "optimizer": self.optimizer(master),
            "activations": self.activations(activations),
        }
        return {**entries, "total": self.total(entries)}

    def check(self, stage):
        if stage not in (0, 1, 2, 3):
            raise ValueError(f"found stage {stage}, expected 0 to 3")

    def numbers(self, first):
        return self.shard(1) if self.stage >= first else self.P

    def shard(self, width):
        return width * ((self.P + self.n - 1) // self.n)

    def weights(self):
        return 2 * self.numbers(self.WEIGHTS)

    def gradients(self):
        return 2 * self.numbers(self.GRADIENTS)

    def optimizer(self, master):
        return self.moments() + (self.master() if master else 0)

    def moments(self):
        return 8 * self.numbers(self.OPTIMIZER)

    def master(self):
        return 4 * self.numbers(self.OPTIMIZER)

    def activations(self, given):
        return given

    def total(self, entries):
        return sum(entries.values())


def reference(P, n, stage, master, activations):
    return Bytes()(P, n, stage, master, activations)


TRUSTED = Trusted(reference)
(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip("The master copy is missing: with `master` the optimizer keeps the weights once more, in 4 bytes each.")
class MasterForgotten(Bytes):
    def master(self):
        return 0


@slip("The master copy counts 2 bytes a number: it is there because 2 bytes are too coarse for an update, and has 4.")
class MasterInTwoBytes(Bytes):
    def master(self):
        return 2 * self.numbers(self.OPTIMIZER)


@slip("The master copy is counted among the weights: it belongs to the optimizer, and is in shards from stage 1 on.")
class MasterAmongTheWeights(Bytes):
    def __call__(self, P, n, stage, master, activations):
        self.kept = master
        return super().__call__(P, n, stage, False, activations)

    def weights(self):
        return (6 if self.kept else 2) * self.numbers(self.WEIGHTS)


@slip("The master copy stays whole on every rank: as part of the optimizer it is in shards from stage 1 on.")
class MasterWhole(Bytes):
    def master(self):
        return 4 * self.P


@slip("At stage 1 weights and gradients are divided as well: it puts the optimizer alone into shards.")
class AllAtStageOne(Bytes):
    WEIGHTS = GRADIENTS = 1


@slip("Gradients are divided at stage 1: they are in shards from stage 2 on.")
class GradientsTooEarly(Bytes):
    GRADIENTS = 1


@slip("Weights are divided at stage 2: they are in shards at stage 3 alone.")
class WeightsTooEarly(Bytes):
    WEIGHTS = 2


@slip("At stage 0 the optimizer is divided: nothing is in shards there.")
class StageZeroDivided(Bytes):
    OPTIMIZER = 0


@slip("Gradients are counted with 4 bytes a number: here they have 2, as the weights have.")
class GradientsInFourBytes(Bytes):
    def gradients(self):
        return 4 * self.numbers(self.GRADIENTS)


@slip(
    "Beside the master copy the optimizer has 4 bytes for each weight, expected 8: AdamW keeps two numbers, m and v, "
    "of 4 bytes each."
)
class OneMoment(Bytes):
    def moments(self):
        return 4 * self.numbers(self.OPTIMIZER)


@slip("Activations are divided by n: they are those of this rank's own batch already.")
class ActivationsDivided(Bytes):
    def activations(self, given):
        return -(-given // self.n)


@slip("The total lacks the activations.")
class TotalWithoutActivations(Bytes):
    def total(self, entries):
        return sum(entries.values()) - entries["activations"]


@slip("A shard is rounded down: where n does not divide P, the largest shard has one number more than P // n.")
class Floor(Bytes):
    def shard(self, width):
        return width * (self.P // self.n)


@slip("The bytes are divided by n and rounded up: a shard has whole numbers, so round P / n up, and then multiply.")
class BytesRounded(Bytes):
    def weights(self):
        return self.rounded(2, self.WEIGHTS)

    def gradients(self):
        return self.rounded(2, self.GRADIENTS)

    def optimizer(self, master):
        return self.rounded(12 if master else 8, self.OPTIMIZER)

    def rounded(self, width, first):
        return -(-width * self.P // self.n) if self.stage >= first else width * self.P


@slip("P / n is a float, which does not hold every large whole number: divide with //, which takes and gives integers.")
class ThroughFloats(Bytes):
    def shard(self, width):
        return width * math.ceil(self.P / self.n)


@slip("A stage that is none is let pass: raise a ValueError unless it is 0, 1, 2 or 3.")
class AnyStage(Bytes):
    def check(self, stage):
        pass


@TRUSTED.alternative
def stage_by_stage(P, n, stage, master, activations):
    """What each stage takes away from what it finds."""
    counts, part = {"weights": P, "gradients": P, "optimizer": P}, P // n + (P % n > 0)
    for name in {0: [], 1: ["optimizer"], 2: ["optimizer", "gradients"], 3: [*counts]}.get(stage, [None]):
        if name is None:
            raise ValueError(stage)
        counts[name] = part
    found = {name: count * (2 if name != "optimizer" else 8 + 4 * master) for name, count in counts.items()}
    return {"total": sum(found.values(), activations), "activations": activations} | found


@TRUSTED.alternative
def with_numpy(P, n, stage, master, activations):
    if not 0 <= stage <= 3:
        raise ValueError("no such stage")
    whole = np.array([2, 2, 12 if master else 8], dtype=np.int64)
    held = (np.where(stage >= np.array([3, 2, 1]), -(-P // n), P) * whole).tolist()
    found = dict(zip(("weights", "gradients", "optimizer"), held, strict=True)) | {"activations": activations}
    return found | {"total": sum(found.values())}
