"""grouped_query_attention(Q, K, V): H query heads share G key/value heads, H / G neighbours each."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, shifted
from coursekit.checking.probing import gradients, leaves


def cases(g):
    def draw(B, H, G, T, S, d, e, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, G, S, d), "V": (B, G, S, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}

    far = draw(1, 4, 2, 3, 5, 4, 3, torch.float64)
    far |= shifted(far["Q"], far["K"], -20_000)
    upstream = draw(2, 6, 2, 3, 4, 5, 3)
    return [
        Case("one or all", "4 query heads, 1 key head", draw(2, 4, 1, 3, 5, 4, 3)),
        Case("one or all", "3 query heads, 3 key heads", draw(2, 3, 3, 4, 2, 5, 4)),
        Case("groups", "4 query heads, 2 key heads", draw(2, 4, 2, 3, 5, 6, 4)),
        Case("groups", "6 query heads, 3 key heads, not contiguous", _scattered(draw(1, 6, 3, 4, 3, 4, 2))),
        Case("groups", "8 query heads, 2 key heads, float64", draw(1, 8, 2, 2, 4, 3, 4, torch.float64)),
        Case("groups", "4 query heads, 2 key heads, scores near -20000, float64", far),
        Case("groups", "gradients of 6 query heads, 2 key heads", upstream | {"dY": normal(g, 2, 6, 3, 3)}),
    ]


def _scattered(inputs):
    return {name: scattered(x) for name, x in inputs.items()}


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V)
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


def from_library(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V, enable_gqa=True)


EXERCISE = Exercise(
    id="attention.grouped_query",
    title="Grouped-query attention",
    parts={"one or all": 1, "groups": 1},
    minutes=15,
    difficulty="core",
    calls=("grouped_query_attention(Q, K, V) -> Y",),
    cases=cases,
    probe=probe,
    library=(from_library,),
)
