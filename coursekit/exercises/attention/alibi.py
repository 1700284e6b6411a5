"""alibi_attention(Q, K, V): causal attention whose scores fall with the distance, at a slope of each head's own."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, shifted
from coursekit.checking.probing import gradients, leaves


def cases(g):
    def draw(B, H, T, d, e, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, H, T, d), "V": (B, H, T, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}

    def with_upstream(inputs):
        return inputs | {"dY": normal(g, *inputs["V"].shape, dtype=inputs["V"].dtype)}

    far = draw(1, 2, 5, 4, 3, torch.float64)
    far |= shifted(far["Q"], far["K"], -20_000)
    return [
        Case("slopes", "H=4, T=6, d=8, e=5", draw(2, 4, 6, 8, 5)),
        Case("slopes", "H=8, T=5, d=4, e=3", draw(1, 8, 5, 4, 3)),
        Case("slopes", "H=1, T=7, d=3, e=2", draw(2, 1, 7, 3, 2)),
        Case("slopes", "H=2, float64", draw(1, 2, 4, 6, 3, torch.float64)),
        Case("slopes", "H=2, scores near -20000, float64", far),
        Case("gradients", "H=4, T=5, d=6, e=3", with_upstream(draw(1, 4, 5, 6, 3))),
    ]


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V)
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


def bloom(Q, K, V):
    """BLOOM's penalty grows with the key's position; softmax does not see the difference."""
    from transformers.models.bloom.modeling_bloom import (
        build_alibi_tensor,
    )  # here: it takes a second to import

    B, H, T = Q.shape[:3]
    penalty = build_alibi_tensor(torch.ones(B, T, device=Q.device), H, Q.dtype).view(B, H, 1, T)
    future = torch.full((T, T), -torch.inf, dtype=Q.dtype, device=Q.device).triu(1)
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=penalty + future)


EXERCISE = Exercise(
    id="attention.alibi",
    title="ALiBi, a penalty on distance",
    parts={"slopes": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("alibi_attention(Q, K, V) -> Y",),
    cases=cases,
    probe=probe,
    library=(bloom,),
)
