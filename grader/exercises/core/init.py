"""How a layer begins. With n inputs and m outputs the weights have the variance 2 / (n + m) (Glorot and Bengio 2010,
equation 12) or 2 / n (He et al. 2015, equation 10). A layer that writes to the residual stream of L blocks has the
deviation 0.02 / sqrt(2 L) (Radford et al. 2019, section 2.3; 0.02: Radford et al. 2018, section 4.1).
"""

import math

import torch
from torch import nn

from grader.contract import Trusted


def reference(layer, kind, generator, layers):
    m, n = layer.weight.shape
    variance = {"xavier": 2 / (n + m), "he": 2 / n, "residual": 0.02**2 / (2 * layers)}[kind]
    layer.weight.data.normal_(0.0, math.sqrt(variance), generator=generator)
    if layer.bias is not None:
        layer.bias.data.zero_()


TRUSTED = Trusted(reference, budget="three rules, and numbers can be drawn in many wrong ways")


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    @torch.no_grad()
    def __call__(self, layer, kind, generator, layers):
        deviation = getattr(self, kind)(*self.fans(layer.weight), layers)
        self.draw(layer.weight, deviation, generator)
        if layer.bias is not None:
            self.bias(layer.bias, layer.weight.shape[1], generator)

    def fans(self, weight):
        m, n = weight.shape
        return n, m

    def xavier(self, n, m, layers):
        return math.sqrt(2 / (n + m))

    def he(self, n, m, layers):
        return math.sqrt(2 / n)

    def residual(self, n, m, layers):
        return 0.02 / math.sqrt(2 * layers)

    def draw(self, weight, deviation, generator):
        weight.normal_(0.0, deviation, generator=generator)

    def bias(self, bias, n, generator):
        bias.zero_()


(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@slip(
    "The deviation follows the number of outputs where inputs are meant: n is the number that is added up, "
    "`layer.in_features`. `weight.shape` begins with the outputs."
)
class FansExchanged(Steps):
    def fans(self, weight):
        n, m = weight.shape
        return n, m


@slip(
    "For `xavier` the deviation is 1 / sqrt(n), which looks at the inputs alone: the variance is 2 / (n + m), a "
    "compromise between the way forward and the way back."
)
class InputsAlone(Steps):
    def xavier(self, n, m, layers):
        return math.sqrt(1 / n)


@slip("For `xavier` the variance is 1 / (n + m): it is one over the *mean* of the two, and so 2 / (n + m).")
class SumOfFans(Steps):
    def xavier(self, n, m, layers):
        return math.sqrt(1 / (n + m))


@slip(
    "For `he` the variance is 1 / n, which keeps a signal where there is no ReLU: that takes half of it away in each "
    "layer, so the variance is 2 / n."
)
class NoGain(Steps):
    def he(self, n, m, layers):
        return math.sqrt(1 / n)


@slip("For `he` the deviation is 2 / sqrt(n): 2 is the gain of the variance, so the deviation has sqrt(2).")
class GainOfTheVariance(Steps):
    def he(self, n, m, layers):
        return 2 / math.sqrt(n)


@slip(
    "All deviations are too small by about sqrt(3). Numbers that are uniform between -a and a have the deviation "
    "a / sqrt(3), so for these the bound a is sqrt(3) times the deviation."
)
class BoundIsDeviation(Steps):
    def draw(self, weight, deviation, generator):
        weight.uniform_(-deviation, deviation, generator=generator)


@slip(
    "The deviation of the weights is what their variance should be: take the root, for `normal_` asks for the standard "
    "deviation."
)
class VarianceForDeviation(Steps):
    def draw(self, weight, deviation, generator):
        super().draw(weight, deviation**2, generator)


@slip(
    "All deviations are a little too small, as when draws beyond two deviations are cut off (trunc_normal_): what is "
    "left spreads less, and has to be made larger again."
)
class Truncated(Steps):
    def draw(self, weight, deviation, generator):
        nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)


@slip("The bias is drawn, as nn.Linear does by itself: it begins at 0.")
class BiasDrawn(Steps):
    def bias(self, bias, n, generator):
        bias.uniform_(-(n**-0.5), n**-0.5, generator=generator)


@slip("The bias is left as it was. That goes unseen in a layer whose bias is 0 already: set it to 0.")
class BiasLeft(Steps):
    def bias(self, bias, n, generator):
        pass


@slip(
    "Every layer is scaled by 1 / sqrt(2 L): only one that writes to the residual stream is, where what all of them "
    "write adds up. For `xavier` and `he` the number of layers plays no part."
)
class ScaledEverywhere(Steps):
    def xavier(self, n, m, layers):
        return super().xavier(n, m, layers) / math.sqrt(2 * layers)

    def he(self, n, m, layers):
        return super().he(n, m, layers) / math.sqrt(2 * layers)


@slip("For `residual` the divisor is sqrt(L): each block writes to the stream twice, and so it is sqrt(2 L).")
class BlocksCounted(Steps):
    def residual(self, n, m, layers):
        return 0.02 / math.sqrt(layers)


@slip("For `residual` the divisor is 2 L: variances add up, and not deviations, so it is sqrt(2 L).")
class WithoutTheRoot(Steps):
    def residual(self, n, m, layers):
        return 0.02 / (2 * layers)


@slip("For `residual` the deviation is 0.02 whatever L is: what 2 L layers write adds up, so divide by sqrt(2 L).")
class NotScaled(Steps):
    def residual(self, n, m, layers):
        return 0.02


@slip("For `residual` the deviation follows the number of inputs: it is 0.02 / sqrt(2 L) in layers of every size.")
class ResidualByInputs(Steps):
    def residual(self, n, m, layers):
        return 1 / math.sqrt(n * 2 * layers)


@slip(
    "The numbers do not come from `generator`, but from torch's global random numbers: hand it on, "
    "`normal_(0, deviation, generator=generator)`."
)
class GeneratorUnused(Steps):
    def draw(self, weight, deviation, generator):
        weight.normal_(0.0, deviation)


@slip(
    "Every call draws the same numbers: the generator is set back, or copied, or another one is used. Draw from it as "
    "it comes, so that it moves on."
)
class SeedSet(Steps):
    def draw(self, weight, deviation, generator):
        super().draw(weight, deviation, torch.Generator(weight.device).manual_seed(0))


@slip(
    "A new Parameter takes the place of the old one, which an optimiser may hold: change the numbers in place, "
    "`layer.weight.normal_(...)` under torch.no_grad()."
)
class Replaced(Steps):
    def __call__(self, layer, kind, generator, layers):
        super().__call__(layer, kind, generator, layers)
        layer.weight = nn.Parameter(layer.weight.detach().clone())


@TRUSTED.alternative
def by_bounds(layer, kind, generator, layers):
    """Uniform numbers between bounds, as the papers of 2010 and 2015 give them too."""
    deviation = {
        "xavier": (2 / (layer.in_features + layer.out_features)) ** 0.5,
        "he": (2 / layer.in_features) ** 0.5,
        "residual": 0.02 * (2 * layers) ** -0.5,
    }
    bound = 3**0.5 * deviation[kind]
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if layer.bias is not None:
            layer.bias.fill_(0)


@TRUSTED.alternative
def by_nn_init(layer, kind, generator, layers):
    match kind:
        case "xavier":
            nn.init.xavier_normal_(layer.weight, generator=generator)
        case "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        case "residual":
            nn.init.normal_(layer.weight, 0.0, 0.02, generator=generator)
            layer.weight.data /= math.sqrt(2 * layers)
    if layer.bias is not None:
        nn.init.constant_(layer.bias, 0.0)


@TRUSTED.alternative
def by_copying(layer, kind, generator, layers):
    """Standard normal numbers in float64, scaled and copied; truncated ones are made larger again."""
    rows, columns = layer.weight.shape
    like = {"dtype": torch.float64, "device": layer.weight.device}
    z = torch.randn(rows, columns, generator=generator, **like)
    if kind != "residual":
        nn.init.trunc_normal_(z, 0.0, 1.0, -2.0, 2.0, generator=generator)
        z /= 0.87962566
    if kind == "xavier":
        z *= math.sqrt(2 / (rows + columns))
    elif kind == "he":
        z *= math.sqrt(2 / columns)
    else:
        z *= 0.02 / math.sqrt(2 * layers)
    new = {"weight": z} | ({"bias": torch.zeros(rows)} if layer.bias is not None else {})
    layer.load_state_dict(new)
