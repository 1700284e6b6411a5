"""scaled_dot_product_attention(Q, K, V): each query's mix of the values, and its gradients."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, shifted
from coursekit.checking.probing import gradients, leaves


def cases(g):
    def draw(B, H, T, S, d, e, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, H, S, d), "V": (B, H, S, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}

    def with_upstream(inputs):
        Q, V = inputs["Q"], inputs["V"]
        return inputs | {"dY": normal(g, *Q.shape[:-1], V.shape[-1], dtype=Q.dtype)}

    far = draw(1, 2, 3, 5, 4, 3, torch.float64)
    return [
        Case("values", "T=3, S=4, d=8, e=5", draw(2, 3, 3, 4, 8, 5)),
        Case("values", "T=1, S=6, d=2, e=3", draw(1, 2, 1, 6, 2, 3)),
        Case("values", "float64", draw(1, 2, 4, 3, 5, 2, torch.float64)),
        Case("values", "not contiguous", {n: scattered(x) for n, x in draw(2, 1, 5, 3, 4, 6).items()}),
        Case("values", "scores near -20000, float64", far | shifted(far["Q"], far["K"], -20_000)),
        Case("gradients", "T=3, S=4, d=8, e=5", with_upstream(draw(1, 2, 3, 4, 8, 5))),
        Case("gradients", "float64", with_upstream(draw(2, 1, 4, 2, 3, 4, torch.float64))),
    ]


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V)
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


EXERCISE = Exercise(
    id="attention.sdpa",
    title="Scaled dot-product attention",
    parts={"values": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("scaled_dot_product_attention(Q, K, V) -> Y",),
    cases=cases,
    probe=probe,
    library=(F.scaled_dot_product_attention,),
)
