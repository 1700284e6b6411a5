"""Counts of a decoder. FLOPs of training: Kaplan et al. 2020, section 2.1; attention's term: Chowdhery et al. 2022, B.

A layer has D D + 2 D G d + D D numbers in its maps, 3 D F or 2 D F in each of E experts, D E in the router of several,
2 D in its norms; a last norm has D, an embedding V D, a head V D more where it is not tied. A token takes in training
6 FLOPs for each number that multiplies it (k experts, the head, not the embedding) and 12 L D T in attention. A cache
holds 2 L G d numbers of 2 bytes for each of B T tokens. Mixed precision keeps 16 bytes for each number: Rajbhandari et
al. 2020, section 3.1.
"""

from grader.contract import Trusted


class Counts:
    """All four counts in steps: a mistake is written as the step in which it differs."""

    def width(self, c):
        return c["D"] // c["H"]

    def attention(self, c):
        return 2 * c["D"] * c["D"] + 2 * c["D"] * self.key_heads(c) * self.width(c)

    def key_heads(self, c):
        return c["G"]

    def expert(self, c):
        return (3 if c["gated"] else 2) * c["D"] * c["F"]

    def router(self, c):
        return c["D"] * c["E"] if c["E"] > 1 else 0

    def experts(self, c):
        return c["E"]

    def norms(self, c):
        return (2 * c["L"] + 1) * c["D"]

    def ends(self, c):
        return (1 if c["tied"] else 2) * c["V"] * c["D"]

    def parameters(self, c):
        layer = self.attention(c) + self.experts(c) * self.expert(c) + self.router(c)
        return c["L"] * layer + self.norms(c) + self.ends(c)

    factor, in_attention = 6, 12

    def active(self, c):
        return c["k"]

    def head(self, c):
        return c["V"] * c["D"]

    def flops(self, c):
        layer = self.attention(c) + self.active(c) * self.expert(c) + self.router(c)
        return self.factor * (c["L"] * layer + self.head(c)) + self.in_attention * c["L"] * c["D"] * self.context(c)

    def context(self, c):
        return c["T"]

    both, bytes_each = 2, 2

    def cached_heads(self, c):
        return c["G"]

    def cache_bytes(self, c, B):
        return self.both * c["L"] * self.cached_heads(c) * self.width(c) * self.tokens(c, B) * self.bytes_each

    def tokens(self, c, B):
        return c["T"] * B

    bytes_in_training = 16

    def training_bytes(self, c):
        return self.parameters(c) * self.bytes_in_training

    def all(self):
        return self.parameters, self.flops, self.cache_bytes, self.training_bytes


TRUSTED = Trusted(Counts().all(), budget="four counts of a configuration with many sizes")


def slip(sentence):
    def register(steps):
        TRUSTED.add_mistake(steps.__name__, sentence, *steps().all())
        return steps

    return register


@slip("A tied head is counted twice: it is the embedding itself, one matrix of V D numbers.")
class TiedTwice(Counts):
    def ends(self, c):
        return 2 * c["V"] * c["D"]


@slip(
    "`tied` is taken the wrong way round: a tied head is the embedding, one matrix of V D numbers, and others are two."
)
class TiedExchanged(Counts):
    def ends(self, c):
        return (2 if c["tied"] else 1) * c["V"] * c["D"]


@slip("The head is never counted: where it is not tied it has V D numbers of its own.")
class HeadForgotten(Counts):
    def ends(self, c):
        return c["V"] * c["D"]


@slip("Maps for keys and values are counted as wide as those for queries: with G key heads they are G d wide.")
class KeysForAllHeads(Counts):
    def key_heads(self, c):
        return c["H"]


@slip("The gate is forgotten: a gated network has three matrices, and not two.")
class GateForgotten(Counts):
    def expert(self, c):
        return 2 * c["D"] * c["F"]


@slip("The router is forgotten: to choose among E experts takes a map of D E numbers in each layer.")
class RouterForgotten(Counts):
    def router(self, c):
        return 0


@slip("A router is counted where there is one network alone, and nothing to choose.")
class RouterOfOne(Counts):
    def router(self, c):
        return c["D"] * c["E"]


@slip("Of the experts only the active ones are counted as parameters: all E of them are in memory.")
class ActiveInMemory(Counts):
    def experts(self, c):
        return c["k"]


@slip("The last norm is forgotten: there are two in each layer, and one more at the end.")
class LastNormForgotten(Counts):
    def norms(self, c):
        return 2 * c["L"] * c["D"]


@slip("Norms are counted with a bias: an RMS norm has D weights and nothing else.")
class NormsWithBias(Counts):
    def norms(self, c):
        return 2 * (2 * c["L"] + 1) * c["D"]


@slip("2 FLOPs for each number are those of the forward pass: backward costs twice as many, so training takes 6.")
class ForwardAlone(Counts):
    factor, in_attention = 2, 4


@slip("Attention's own products are missing: each token meets T keys and T values, 12 L D T FLOPs in training.")
class NoContext(Counts):
    in_attention = 0


@slip("Attention's products are counted forward alone, 4 L D T: training takes three times as many.")
class AttentionForward(Counts):
    in_attention = 4


@slip("All experts are counted as if each token went through them: k of E are active.")
class AllExpertsActive(Counts):
    def active(self, c):
        return c["E"]


@slip("The embedding is counted as a product: a row of it is looked up. The head multiplies.")
class LookupMultiplies(Counts):
    def head(self, c):
        return 2 * c["V"] * c["D"]


@slip("The head's product is missing: it multiplies each token by V D numbers, tied or not.")
class HeadIsFree(Counts):
    def head(self, c):
        return 0


@slip("The cache is counted for all H heads: it holds keys and values of G.")
class CacheOfAllHeads(Counts):
    def cached_heads(self, c):
        return c["H"]


@slip(
    "The cache is half as large as it should be: keys and values are two numbers each time, and each number takes 2 "
    "bytes."
)
class KeysAlone(Counts):
    both = 1


@slip("The cache is counted in bits, or in numbers of 16 bytes: bfloat16 takes 2 bytes.")
class CacheInBits(Counts):
    bytes_each = 16


@slip("The cache is that of one text: a batch of B has B of them.")
class OneText(Counts):
    def tokens(self, c, B):
        return c["T"]


@slip("One number in float32 is missing: beside 2 + 2 bytes come 4 + 4 + 4, for a copy of the weight and two averages.")
class NoMasterCopy(Counts):
    bytes_in_training = 12


@slip("Training is counted as if it kept weights alone: gradients, a float32 copy and two moments come to 16 bytes.")
class WeightsAlone(Counts):
    bytes_in_training = 2


def shapes(c):
    """Every matrix of a layer by its shape; experts apart."""
    D, d = c["D"], c["D"] // c["H"]
    maps = [(c["H"] * d, D), (c["G"] * d, D), (c["G"] * d, D), (D, c["H"] * d)]
    maps += [(c["E"], D)] if c["E"] != 1 else []
    return maps, [(c["F"], D), (D, c["F"])] + [(c["F"], D)] * bool(c["gated"])


def total(sizes):
    return sum(rows * columns for rows, columns in sizes)


def parameters_by_shapes(c):
    maps, expert = shapes(c)
    layer = total(maps) + c["E"] * total(expert) + total([(1, c["D"])] * 2)
    return sum([layer] * c["L"]) + c["D"] + total([(c["V"], c["D"])] * (2 - c["tied"]))


def flops_by_products(c):
    """Forward, a multiplication and an addition each; backward twice as much."""
    maps, expert = shapes(c)
    products = c["L"] * (total(maps) + c["k"] * total(expert) + 2 * c["T"] * c["D"]) + c["V"] * c["D"]
    return 3 * 2 * products


def cache_by_token(c, B):
    one = 2 * (c["D"] // c["H"]) * c["G"] * 2
    return sum(one * c["T"] for _ in range(c["L"])) * B


def training_by_kind(c):
    return sum(parameters_by_shapes(c) * size for size in (2, 2, 4, 4, 4))


def parameters_in_floats(c):
    D, G, L, F, V = (float(c[name]) for name in ("D", "G", "L", "F", "V"))
    network = D * F * (3 if c["gated"] else 2) * c["E"] + (D * c["E"] if c["E"] > 1 else 0)
    return L * (D * D * (2 + 2 * G / c["H"]) + network + 2 * D) + D + V * D * (1 + (not c["tied"]))


def flops_in_floats(c):
    D, G, L, F = (float(c[name]) for name in ("D", "G", "L", "F"))
    network = D * F * (3 if c["gated"] else 2) * c["k"] + (D * c["E"] if c["E"] > 1 else 0)
    return 6 * L * (D * D * (2 + 2 * G / c["H"]) + network) + 6 * c["V"] * D + 12 * L * D * c["T"]


TRUSTED.add_alternative("by_shapes", parameters_by_shapes, flops_by_products, cache_by_token, training_by_kind)
TRUSTED.add_alternative(
    "in_floats",
    parameters_in_floats,
    flops_in_floats,
    lambda c, B: 4.0 * c["L"] * c["G"] * c["D"] / c["H"] * c["T"] * B,
    lambda c: 16 * parameters_in_floats(c),
)
