"""Answers to core.init."""

import functools
import math

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.init",
    spared={
        "onward": "one call, and no event after which it goes on",
        "unwatched": "the numbers themselves are judged",
        "far": "nothing is handed in that could lie far apart",
    },
)
wrong, right = ANSWERS.wrong, ANSWERS.right


def deviation(layer, kind, layers):
    m, n = layer.weight.shape
    return {"xavier": math.sqrt(2 / (n + m)), "he": math.sqrt(2 / n), "residual": 0.02 / math.sqrt(2 * layers)}[kind]


def no_bias(layer):
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def begin(layer, std, generator):
    nn.init.normal_(layer.weight, std=std, generator=generator)
    no_bias(layer)


@wrong("plain", "the two sizes are exchanged", true="FansExchanged")
def sizes_exchanged(layer, kind, generator, layers):
    n, m = layer.weight.shape
    begin(
        layer,
        {"xavier": (2 / (n + m)) ** 0.5, "he": (2 / n) ** 0.5, "residual": 0.02 / (2 * layers) ** 0.5}[kind],
        generator,
    )


@wrong("plain", "the variance in place of the deviation", true="VarianceForDeviation")
def variances(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers) ** 2, generator)


@wrong("plain", "1/n: the half that ReLU takes is forgotten", true="NoGain")
def one_over_n(layer, kind, generator, layers):
    std = deviation(layer, kind, layers)
    begin(layer, std / 2**0.5 if kind == "he" else std, generator)


@wrong("plain", "L, not 2 L", true="BlocksCounted")
def once_per_block(layer, kind, generator, layers):
    begin(layer, 0.02 / layers**0.5 if kind == "residual" else deviation(layer, kind, layers), generator)


@wrong("plain", "He's deviation over sqrt(2 L)", told="deviation of 0.0513, expected 0.00408")
def residual_of_he(layer, kind, generator, layers):
    std = deviation(layer, "he", layers) / (2 * layers) ** 0.5 if kind == "residual" else deviation(layer, kind, layers)
    begin(layer, std, generator)


@wrong("plain", "layers counts for every kind", true="ScaledEverywhere")
def layers_for_all(layer, kind, generator, layers):
    std = deviation(layer, kind, layers)
    begin(layer, std if kind == "residual" else std / (2 * layers) ** 0.5, generator)


@wrong("plain", "a uniform distribution as wide as the deviation", true="BoundIsDeviation")
def narrow_uniform(layer, kind, generator, layers):
    a = deviation(layer, kind, layers)
    nn.init.uniform_(layer.weight, -a, a, generator=generator)
    no_bias(layer)


@wrong("plain", "a uniform distribution from 0 on", told="mean of some matrices is too far from 0")
def positive(layer, kind, generator, layers):
    nn.init.uniform_(layer.weight, 0, 12**0.5 * deviation(layer, kind, layers), generator=generator)
    no_bias(layer)


@wrong(
    "named",
    "PyTorch's own beginning for He: kaiming_uniform_ with a = sqrt(5)",
    told="standard deviation of 0.102, expected 0.25",
)
def as_reset_parameters(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers), generator)
    if kind == "he":
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)


@wrong("plain", "the bias stays", true="BiasLeft")
def bias_stays(layer, kind, generator, layers):
    nn.init.normal_(layer.weight, std=deviation(layer, kind, layers), generator=generator)


@wrong("named", "a layer without a bias is not thought of", told="'NoneType' object")
def needs_a_bias(layer, kind, generator, layers):
    nn.init.normal_(layer.weight, std=deviation(layer, kind, layers), generator=generator)
    nn.init.zeros_(layer.bias)


@wrong("dependence", "torch's global generator", true="GeneratorUnused")
def global_generator(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers), None)


@wrong(
    "again", "a new generator with the old one's seed: each call draws the same", told="draws the same numbers again"
)
def its_seed(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers), torch.Generator().manual_seed(generator.initial_seed()))


@wrong("surroundings", "the global seed is set from the generator's", told="sets the seed")
def sets_the_seed(layer, kind, generator, layers):
    torch.manual_seed(torch.randint(2**31, (), generator=generator).item())
    begin(layer, deviation(layer, kind, layers), None)


@wrong("again", "the generator is seeded with 0", true="SeedSet", told="draws the same numbers again")
def seeded(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers), generator.manual_seed(0))


@wrong("given", "a new Parameter", true="Replaced")
def new_parameter(layer, kind, generator, layers):
    w = torch.randn(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
    layer.weight = nn.Parameter(w * deviation(layer, kind, layers), layer.weight.requires_grad)
    no_bias(layer)


@wrong("named", "new data in float32, whatever was there", told="torch.float32. afterwards")
def float32_data(layer, kind, generator, layers):
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * deviation(layer, kind, layers)
    no_bias(layer)


@ANSWERS.right
def new_storage(layer, kind, generator, layers):
    """The Parameter stays, and gets another tensor of numbers."""
    w = torch.randn(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
    layer.weight.data = w * deviation(layer, kind, layers)
    no_bias(layer)


@wrong("named", "a frozen layer is trained from now on", told="was frozen before")
def thawed(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, layers), generator)
    layer.weight.requires_grad_(True)


@wrong("dependence", "orthogonal rows, scaled", told="rows of a matrix depend")
def orthogonal(layer, kind, generator, layers):
    nn.init.orthogonal_(layer.weight, generator=generator)
    with torch.no_grad():
        layer.weight *= deviation(layer, kind, layers) / layer.weight.std()
    no_bias(layer)


@wrong("dependence", "drawn, and brought to the right mean and deviation afterwards", told="closer than chance comes")
def standardised(layer, kind, generator, layers):
    begin(layer, 1.0, generator)
    with torch.no_grad():
        w = layer.weight
        w.copy_((w - w.mean()) / w.std() * deviation(layer, kind, layers))


@wrong("plain", "drawn again where it lies beyond two deviations, and not stretched: too small", true="Truncated")
def truncated(layer, kind, generator, layers):
    std = deviation(layer, kind, layers)
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
    no_bias(layer)


@functools.cache
def drawn_once(m, n, seed):
    return torch.randn(m, n, generator=torch.Generator().manual_seed(seed))


@wrong("again", "a cache of what was drawn for a shape", told="draws the same numbers again")
def cached(layer, kind, generator, layers):
    with torch.no_grad():
        layer.weight.copy_(drawn_once(*layer.weight.shape, generator.initial_seed()) * deviation(layer, kind, layers))
    no_bias(layer)


@wrong(
    "ones",
    "`fan_in` as the size of a squeezed weight: of one input it is the outputs",
    told=r"weights of Linear\(1, 200\) have",
)
def squeezed_sizes(layer, kind, generator, layers):
    n = layer.weight.squeeze().shape[-1]
    begin(layer, (2 / n) ** 0.5 if kind == "he" else deviation(layer, kind, layers), generator)


@wrong("large", "`layers` is a number up to 12, as in the small GPT-2", told="layers=48, no bias: the weights")
def twelve_at_most(layer, kind, generator, layers):
    begin(layer, deviation(layer, kind, min(layers, 12)), generator)


@right
def by_library(layer, kind, generator, layers):
    if kind == "xavier":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    elif kind == "he":
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    else:
        nn.init.normal_(layer.weight, 0.0, 0.02 * (2 * layers) ** -0.5, generator=generator)
    no_bias(layer)


@right
@torch.no_grad()
def in_place(layer, kind, generator, layers):
    layer.weight.normal_(generator=generator).mul_(deviation(layer, kind, layers))
    for bias in (layer.bias,) * (layer.bias is not None):
        bias.zero_()


@right
def box_muller(layer, kind, generator, layers):
    u, v = torch.rand(2, *layer.weight.shape, generator=generator, dtype=torch.float64)
    z = (-2 * (1 - u).log()).sqrt() * (2 * math.pi * v).cos()
    layer.weight.data.copy_(z * deviation(layer, kind, layers))
    if layer.bias is not None:
        layer.bias.data *= 0


@right
def row_by_row(layer, kind, generator, layers):
    a = 3**0.5 * deviation(layer, kind, layers)
    with torch.no_grad():
        for row in layer.weight:
            row.copy_((2 * torch.rand(len(row), generator=generator) - 1) * a)
        no_bias(layer)


@right
def stretched(layer, kind, generator, layers):
    """A truncated normal distribution, stretched to the right deviation, as JAX has it."""
    std = deviation(layer, kind, layers) / 0.87962566103423978
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std, generator=generator)
    no_bias(layer)
