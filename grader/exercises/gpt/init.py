"""How a GPT begins. Radford et al. 2019, section 2.3: weights of residual layers are scaled by 1 / sqrt(N).

N is the number of residual layers, two in each of L blocks. All other weights are N(0, 0.02) (Radford et al. 2018,
section 4.1), biases are 0, norms the identity.
"""

import math

import torch
from torch import nn

from grader.contract import Trusted


def reference(model, layers, generator):
    sigma = 0.02
    for name, p in model.named_parameters():  # a matrix under two names comes once
        if p.dim() == 2:
            writes = name.split(".")[-2] in ("out", "down")
            p.data.normal_(0.0, sigma / math.sqrt(2 * layers) if writes else sigma, generator=generator)
        else:
            p.data.fill_(0.0 if name.endswith("bias") else 1.0)


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    @torch.no_grad()
    def __call__(self, model, layers, generator):
        for name, p in list(model.named_parameters()):
            *_, part, kind = name.split(".")
            if "norm" in part and kind == "weight":
                self.norm(p, generator)
            elif kind == "bias":
                self.bias(p, part, generator)
            else:
                self.matrix(p, part, layers, generator)

    def norm(self, p, generator):
        p.fill_(1.0)

    def bias(self, p, part, generator):
        p.zero_()

    def matrix(self, p, part, layers, generator):
        self.draw(p, self.deviation(part, layers), generator)

    def deviation(self, part, layers):
        return 0.02 * (self.scale(layers) if part in ("out", "down") else 1.0)

    def scale(self, layers):
        return 1 / math.sqrt(2 * layers)

    def draw(self, p, deviation, generator):
        p.normal_(0.0, deviation, generator=generator)


TRUSTED = Trusted(reference, budget="numbers can be drawn in many wrong ways, and left in some")
(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@slip(
    "This is the code as it was given. Which maps write to the residual stream, and how often does a block do so? And "
    "what does the code do with `generator`?"
)
class AsGiven(Steps):
    def deviation(self, part, layers):
        return 0.02 if part in ("tokens", "positions") else 0.02 / math.sqrt(layers)

    def draw(self, p, deviation, generator):
        p.normal_(0.0, deviation)


@slip(
    "All linear maps are scaled down: only `out` and `down` write to the residual stream, where what they write adds "
    "up. `qkv` and `up` read from it."
)
class AllLinearMaps(Steps):
    def deviation(self, part, layers):
        return 0.02 if part in ("tokens", "positions") else 0.02 * self.scale(layers)


@slip(
    "`out` and `down` are divided by sqrt(L). Each block writes to the stream twice, so 2 L terms add up, and the "
    "divisor is sqrt(2 L)."
)
class BlocksCounted(Steps):
    def scale(self, layers):
        return 1 / math.sqrt(layers)


@slip(
    "`out` and `down` begin like all other matrices: with 2 L of their results added up, the stream would grow with "
    "the depth. Divide their deviation by sqrt(2 L)."
)
class NotScaled(Steps):
    def scale(self, layers):
        return 1.0


@slip(
    "`out` and `down` are divided by 2 L without a root. Variances add up, not deviations: 2 L terms of variance "
    "1 / (2 L) have the variance 1."
)
class WithoutTheRoot(Steps):
    def scale(self, layers):
        return 1 / (2 * layers)


@slip("`down` is forgotten: the feed-forward network writes to the stream as attention does, and is scaled like `out`.")
class AttentionAlone(Steps):
    def deviation(self, part, layers):
        return 0.02 * self.scale(layers) if part == "out" else 0.02


@slip(
    "The vectors of tokens and positions have a deviation of 1, which is how nn.Embedding begins: theirs is 0.02 like "
    "that of other matrices."
)
class EmbeddingsAsTorchBegins(Steps):
    def matrix(self, p, part, layers, generator):
        self.draw(p, 1.0 if part in ("tokens", "positions") else self.deviation(part, layers), generator)


@slip("0.02 is taken for the variance: it is the standard deviation, which `normal_` and `init.normal_` ask for.")
class VarianceForDeviation(Steps):
    def draw(self, p, deviation, generator):
        super().draw(p, math.sqrt(deviation), generator)


@slip(
    "0.02 is the mean, and the deviation is 1: the second argument of `nn.init.normal_(p, mean, std)` is the mean, so "
    "name the other, `std=0.02`."
)
class MeanForDeviation(Steps):
    def draw(self, p, deviation, generator):
        p.normal_(deviation, 1.0, generator=generator)


@slip(
    "Draws beyond two deviations are cut off (trunc_normal_), which makes the deviation smaller than 0.02: the rule is "
    "an ordinary normal distribution."
)
class Truncated(Steps):
    def draw(self, p, deviation, generator):
        nn.init.trunc_normal_(p, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)


@slip(
    "The numbers lie evenly between -0.02 and 0.02 (and in smaller bounds for `out` and `down`): 0.02 is the deviation "
    "of a normal distribution."
)
class Uniform(Steps):
    def draw(self, p, deviation, generator):
        p.uniform_(-deviation, deviation, generator=generator)


@slip("The weights of norms are drawn, or set to 0: a norm begins as the identity, with the weight 1.")
class NormsDrawn(Steps):
    def norm(self, p, generator):
        self.draw(p, 0.02, generator)


@slip(
    "Norms are left as they were. That goes unseen in a fresh model and not in one that has been trained: set their "
    "weights to 1 and their biases to 0."
)
class NormsLeft(Steps):
    def norm(self, p, generator):
        pass

    def bias(self, p, part, generator):
        if "norm" not in part:
            p.zero_()


@slip("The biases of linear maps are not set: nn.Linear draws them, and a trained model has its own. They begin at 0.")
class BiasesLeft(Steps):
    def bias(self, p, part, generator):
        if "norm" in part:
            p.zero_()


@slip(
    "The numbers do not come from `generator`, but from torch's global random numbers: hand it on, "
    "`normal_(0, deviation, generator=generator)`."
)
class GeneratorUnused(Steps):
    def draw(self, p, deviation, generator):
        p.normal_(0.0, deviation)


@slip(
    "Another call with the same generator draws the same numbers again: it is set back, or copied, or another one is "
    "used. Draw from it as it comes, so that it moves on."
)
class SeedSet(Steps):
    def __call__(self, model, layers, generator):
        super().__call__(model, layers, torch.Generator().manual_seed(0))


@slip(
    "All matrices begin with the same numbers: the generator is set back for each of them, or one drawing is used for "
    "all. Blocks that begin alike learn alike."
)
class SeedSetForEach(Steps):
    def __call__(self, model, layers, generator):
        self.seed = int(torch.randint(2**31, (), generator=generator))
        super().__call__(model, layers, generator)

    def draw(self, p, deviation, generator):
        p.normal_(0.0, deviation, generator=torch.Generator().manual_seed(self.seed))


@slip(
    "New Parameters take the place of the old ones, which an optimiser may hold, and a matrix under two names falls "
    "apart into two. Draw in place, `p.normal_(...)` under torch.no_grad()."
)
class Replaced(Steps):
    def __call__(self, model, layers, generator):
        super().__call__(model, layers, generator)
        for module in model.modules():
            for name, p in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(p.detach().clone()))


@TRUSTED.alternative
def module_by_module(model, layers, generator):
    def begin(module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)

    model.apply(begin)
    for block in model.blocks:
        for linear in (block.out, block.down):
            linear.weight.data *= (2 * layers) ** -0.5


@TRUSTED.alternative
def by_copying(model, layers, generator):
    """New numbers in float64, copied into the old places."""
    new = {}
    for name, x in model.state_dict().items():
        if name == "head.weight":
            continue
        if x.dim() == 1:
            new[name] = torch.ones_like(x) if name.endswith("weight") else torch.zeros_like(x)
        else:
            divisor = math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 1
            new[name] = 0.02 / divisor * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    model.load_state_dict(new, strict=False)
