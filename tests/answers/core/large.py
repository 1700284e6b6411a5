"""Answers to core.large."""

import copy
from fractions import Fraction

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.large",
    spared={
        "dependence": "nothing is drawn",
        "unwatched": "numbers are compared",
        "far": "nothing is added up that could cancel",
        "surroundings": "nothing of the process is used",
    },
)
wrong = ANSWERS.wrong


def maps(c, d=None, kv=None):
    d = c["D"] // c["H"] if d is None else d
    return 2 * c["D"] ** 2 + 2 * c["D"] * d * (c["G"] if kv is None else kv)


def ffn(c, gated=3):
    return (gated if c["gated"] else 2) * c["D"] * c["F"]


def router(c):
    return c["D"] * c["E"] * (c["E"] > 1)


def weights(c, *, attention=maps, experts="E", route=router, norms=2, last=1, tied=1, untied=2, one=ffn):
    """All weights, where a part is replaced."""
    number = c[experts] if isinstance(experts, str) else experts
    layer = attention(c) + number * one(c) + route(c) + norms * c["D"]
    return c["L"] * layer + last * c["D"] + (tied if c["tied"] else untied) * c["V"] * c["D"]


def operations(c, *, attention=maps, experts="k", route=router, scores=1, pairs=12, each=6, one=ffn):
    number = c[experts] if isinstance(experts, str) else experts
    per_layer = attention(c) + number * one(c) + route(c)
    return each * (c["L"] * per_layer + scores * c["V"] * c["D"]) + pairs * c["L"] * c["D"] * c["T"]


@wrong("plain", "keys and values as wide as queries", told=r"shared key heads")
def all_heads(c):
    return weights(c, attention=lambda c: 4 * c["D"] ** 2)


@wrong("plain", "no norm behind the last layer")
def no_last_norm(c):
    return weights(c, last=0)


@wrong("named", "the head counts, tied or not", told=r"a tied embedding")
def head_always(c):
    return weights(c, tied=2)


@wrong("named", "only the embedding counts")
def head_never(c):
    return weights(c, untied=1)


@wrong("named", "tied the wrong way round", true="TiedExchanged")
def tied_exchanged(c):
    return weights(c, tied=2, untied=1)


@wrong("named", "the experts that a token meets", told=r"8 experts, 2 of them active: parameters")
def active_alone(c):
    return weights(c, experts="k")


@wrong("named", "no router", told=r"8 experts, 2 of them active: parameters")
def no_router(c):
    return weights(c, route=lambda c: 0)


@wrong("ones", "a router for one expert too")
def router_for_one(c):
    return weights(c, route=lambda c: c["D"] * c["E"])


@wrong("named", "a gate is no matrix of its own", told=r"a gated network")
def no_gate(c):
    return weights(c, one=lambda c: ffn(c, 2))


@wrong("named", "layer norms with biases")
def norms_with_biases(c):
    return weights(c, norms=4, last=2)


@wrong("large", "added up in float32, which holds 24 bits")
def in_float32(c):
    return float(np.float32(weights(c)))


@wrong("given", "F becomes what a gated network has, in the configuration", told=r"changes the configuration")
def changes(c):
    c["F"] *= 3 if c["gated"] else 2
    return weights(c, one=lambda c: c["D"] * c["F"])


KEPT = {}


@wrong("again", "kept by the number of layers")
def kept(c):
    return KEPT.setdefault(c["L"], weights(c))


@wrong(
    "plain",
    "4 operations for each weight, once there and once back",
    at=1,
    advice=r"flops is 0\.6667 times what is expected",
    told=r"flops is 0.6667 times",
)
def twice_forward(c):
    return operations(c, each=4, pairs=8)


@wrong("plain", "6 N, attention's scores left out", at=1, true="NoContext")
def six_n(c):
    return operations(c, pairs=0)


@wrong("plain", "6 for each of all weights, the embedding and norms as well", at=1)
def all_weights(c):
    return 6 * weights(c, experts="k") + 12 * c["L"] * c["D"] * c["T"]


@wrong("named", "all experts compute", at=1, true="AllExpertsActive")
def all_experts(c):
    return operations(c, experts="E")


@wrong("named", "the router costs nothing", at=1, told=r"8 experts, 2 of them active: flops")
def free_router(c):
    return operations(c, route=lambda c: 0)


@wrong("named", "where the embedding is not tied, both matrices cost", at=1)
def both_matrices(c):
    return operations(c, scores=1 if c["tied"] else 2)


@wrong("plain", "scores cost nothing", at=1, true="HeadIsFree")
def free_scores(c):
    return operations(c, scores=0)


@wrong("onward", "scores of keys alone, and no sum of values", at=1)
def scores_alone(c):
    return operations(c, pairs=6)


@wrong("named", "a router for the experts that are active", at=1, told=r"8 experts, 2 of them active: flops")
def router_of_active(c):
    return operations(c, route=lambda c: c["D"] * c["k"] * (c["E"] > 1))


@wrong("plain", "attention over keys of G heads", at=1, told=r"shared key heads")
def pairs_of_groups(c):
    return operations(c, pairs=0) + 12 * c["L"] * c["G"] * c["D"] // c["H"] * c["T"]


@wrong("named", "all heads are kept", at=2, true="CacheOfAllHeads")
def all_heads_kept(c, B):
    return 4 * c["L"] * c["D"] * c["T"] * B


@wrong("plain", "keys alone", at=2, true="KeysAlone")
def keys_alone(c, B):
    return 2 * c["L"] * c["G"] * (c["D"] // c["H"]) * c["T"] * B


@wrong(
    "plain",
    "numbers, not bytes: 4 for float32",
    at=2,
    advice=r"cache_bytes is 2 times what is expected",
    told=r"cache_bytes is 2 times",
)
def four_bytes(c, B):
    return 8 * c["L"] * c["G"] * (c["D"] // c["H"]) * c["T"] * B


@wrong("ones", "one text", at=2, true="OneText")
def one_text(c, B):
    return 4 * c["L"] * c["G"] * (c["D"] // c["H"]) * c["T"]


@wrong("plain", "no copy of the weights", at=3, true="NoMasterCopy")
def no_copy(c):
    return 12 * weights(c)


@wrong(
    "plain",
    "gradients in 4 bytes too",
    at=3,
    advice=r"training_bytes is 1\.125 times what is expecte",
    told=r"training_bytes is 1.125 times",
)
def wide_gradients(c):
    return 18 * weights(c)


@wrong("named", "of the active experts alone", at=3, told=r"training_bytes, 8 experts")
def active_trained(c):
    return 16 * weights(c, experts="k")


@ANSWERS.right
def by_shapes(c):
    """Every matrix by its shape."""
    c = copy.deepcopy(c)
    D, d = c["D"], c["D"] // c["H"]
    shapes = [(c["V"], D), (D,)] + [(c["V"], D)] * (not c["tied"])
    for _ in range(c["L"]):
        shapes += [(D, D), (c["G"] * d, D), (c["G"] * d, D), (D, D), (D,), (D,)]
        shapes += [(c["F"], D)] * (2 + c["gated"]) * c["E"] + [(c["E"], D)] * (c["E"] != 1)
    return sum(int(np.prod(shape)) for shape in shapes)


@ANSWERS.right_at(1)
def forward_and_back(c):
    """Multiplications and additions of one token, layer by layer, forward once and back twice."""
    D, d = c["D"], Fraction(c["D"], c["H"])
    multiplied = [D * D, 2 * D * c["G"] * d, D * D, c["k"] * D * c["F"] * (3 if c["gated"] else 2)]
    multiplied += [D * c["E"]] if c["E"] > 1 else []
    attention = 2 * c["T"] * D  # scores, and the sum of values
    forward = c["L"] * (2 * sum(multiplied) + 2 * attention) + 2 * c["V"] * D
    return torch.tensor(int(3 * forward))


@ANSWERS.right_at(2)
def with_numpy(c, B):
    return np.zeros((0, 2)).itemsize // 4 * int(np.prod([2, c["L"], B, c["G"], c["T"], c["D"] // c["H"]], dtype=object))


@ANSWERS.right_at(3)
def sixteen(c):
    return float(16 * weights(c))
