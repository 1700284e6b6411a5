"""masked_attention(Q, K, V, real, causal): attention to real tokens, and to the past alone when causal."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, shifted
from coursekit.checking.probing import gradients, leaves


def cases(g):
    def draw(B, H, T, S, d, e, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, H, S, d), "V": (B, H, S, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}

    def padding(rows, inputs):
        return inputs | {"real": _real(rows), "causal": False}

    def causal(inputs):
        V = inputs["V"]
        return inputs | {"real": torch.ones(V.shape[0], V.shape[2], dtype=torch.bool), "causal": True}

    def both(rows, inputs):
        return inputs | {"real": _real(rows), "causal": True}

    half, double = torch.float16, torch.float64
    # Key 0 is always real: a query without any key is the next exercise. B = H and B = T each occur, because
    # there a mask on the wrong axis raises no error.
    last = "both, half precision"
    far = draw(2, 2, 4, 5, 3, 4, double)
    learning = draw(2, 3, 3, 4, 5, 2)
    learning["dY"] = normal(g, 2, 3, 3, 2)
    far |= shifted(far["Q"], far["K"], -20_000)
    return [
        Case("padding", "T=4, S=4", padding("xxxx xx.. x.x.", draw(3, 3, 4, 4, 8, 5))),
        Case("padding", "T=2, S=5", padding("xxx.. x.x.x", draw(2, 3, 2, 5, 4, 3))),
        Case("padding", "T=3, S=6, float64", padding("x.xx..", draw(1, 2, 3, 6, 5, 2, double))),
        Case("causal", "T=5, S=5", causal(draw(1, 3, 5, 5, 4, 3))),
        Case("causal", "T=3, S=7", causal(draw(1, 2, 3, 7, 6, 4))),
        Case("causal", "T=1, S=4, float64", causal(draw(2, 3, 1, 4, 3, 2, double))),
        Case(last, "T=4, S=6", both("xx.xx. x..xxx", draw(2, 3, 4, 6, 4, 5))),
        Case(last, "T=5, S=5, not contiguous", both("x.xxx", _scattered(draw(1, 2, 5, 5, 3, 4)))),
        Case(last, "T=4, S=5, scores near -20000, float64", both("xx.xx xxx..", far)),
        Case(last, "gradients, T=3, S=4", both("xx.x x.xx", learning)),
        Case(last, "T=3, S=5, float16", both("x.xx. xxxx.", draw(2, 2, 3, 5, 8, 3, half))),
        Case(last, "T=4, S=7, float16, not causal", padding("x.xxx.. xxxxxxx", draw(2, 1, 4, 7, 4, 6, half))),
    ]


def _real(rows):
    return torch.tensor([[token == "x" for token in row] for row in rows.split()])


def _scattered(inputs):
    return {name: scattered(x) for name, x in inputs.items()}


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"], case["real"], case["causal"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V, case["real"], case["causal"])
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


def _library(Q, K, V, real, causal):
    from transformers import masking_utils as masks  # here, because it takes seconds to import

    pattern = masks.causal_mask_function if causal else masks.bidirectional_mask_function
    (B, _, T, _), S = Q.shape, K.shape[2]
    where = {"q_offset": S - T, "device": Q.device, "allow_is_causal_skip": False}
    mask = masks.sdpa_mask(B, T, S, mask_function=pattern, attention_mask=real, **where)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=mask)


EXERCISE = Exercise(
    id="attention.masks",
    title="Padding and causal masks",
    parts={"padding": 1, "causal": 1, "both, half precision": 1},
    minutes=20,
    difficulty="core",
    calls=("masked_attention(Q, K, V, real, causal) -> Y",),
    cases=cases,
    probe=probe,
    library=(_library,),
    # Scores, weights and sums are each rounded to 11 bits on the way: a few times 2^-11 in the end.
    tolerance={torch.float16: (5e-3, 5e-3)},
)
