"""sliding_window_attention(Q, K, V, window): each token sees itself and the window - 1 tokens before it."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, shifted
from coursekit.checking.probing import gradients, leaves


def cases(g):
    def draw(B, H, T, d, e, window, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, H, T, d), "V": (B, H, T, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()} | {"window": window}

    far = draw(1, 2, 6, 4, 3, window=3, dtype=torch.float64)
    far |= shifted(far["Q"], far["K"], -20_000)
    strided = draw(2, 1, 6, 3, 4, window=2)
    upstream = draw(1, 2, 6, 4, 3, window=3)
    return [
        Case("wide windows", "T=5, window=9", draw(2, 2, 5, 4, 3, window=9)),
        Case("wide windows", "T=4, window=6, float64", draw(1, 2, 4, 3, 5, window=6, dtype=torch.float64)),
        Case("narrow windows", "T=7, window=3", draw(2, 2, 7, 4, 3, window=3)),
        Case("narrow windows", "T=5, window=4", draw(1, 3, 5, 6, 2, window=4)),
        Case("narrow windows", "T=4, window=4", draw(1, 2, 4, 3, 5, window=4)),
        Case("narrow windows", "T=4, window=1", draw(2, 1, 4, 5, 3, window=1)),
        Case(
            "narrow windows",
            "T=6, window=2, not contiguous",
            strided | {n: scattered(strided[n]) for n in "QKV"},
        ),
        Case("narrow windows", "T=6, window=5, float64", draw(1, 2, 6, 3, 4, window=5, dtype=torch.float64)),
        Case("narrow windows", "T=6, window=3, scores near -20000, float64", far),
        Case("narrow windows", "gradients, T=6, window=3", upstream | {"dY": normal(g, 1, 2, 6, 3)}),
    ]


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"], case["window"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V, case["window"])
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


def from_library(Q, K, V, window):
    from transformers.masking_utils import sliding_window_causal_mask_function

    at = torch.arange(Q.shape[-2], device=Q.device)
    allowed = sliding_window_causal_mask_function(window)(0, 0, at[:, None], at)
    return F.scaled_dot_product_attention(Q, K, V, allowed)


EXERCISE = Exercise(
    id="attention.sliding_window",
    title="Sliding-window attention",
    parts={"wide windows": 1, "narrow windows": 1},
    minutes=15,
    difficulty="core",
    calls=("sliding_window_attention(Q, K, V, window) -> Y",),
    cases=cases,
    probe=probe,
    library=(from_library,),
)
