"""masked_attention_or_zero(Q, K, V, allowed): a query without any allowed key gives 0, and gradients of 0."""

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

    def forward(label, inputs, allowed):
        return Case("forward", label, inputs | {"allowed": allowed})

    def backward(label, inputs, allowed):
        return Case("backward", label, with_upstream(inputs) | {"allowed": allowed})

    double = torch.float64
    far = draw(1, 2, 3, 5, 4, 3, double)
    far |= shifted(far["Q"], far["K"], -20_000)
    two_heads = torch.stack([_mask("xx.x .... .x.x"), _mask("x.x. xxxx ....")])[None]
    whole_sequence = _mask("xx.x. .....")[:, None, None]
    spread = {n: scattered(x) for n, x in draw(1, 3, 4, 5, 3, 4).items()}
    return [
        forward("T=3, S=5, query 1 sees nothing", draw(2, 2, 3, 5, 4, 3), _mask("x.xx. ..... .xx.x")),
        forward("T=3, S=4, heads with masks of their own", draw(1, 2, 3, 4, 8, 5), two_heads),
        forward("T=3, S=5, one sequence is all padding", draw(2, 3, 3, 5, 4, 2), whole_sequence),
        forward("T=4, S=5, not contiguous", spread, _mask("..... x...x .xx.. .....")[None, None]),
        forward("T=2, S=6, float64", draw(2, 1, 2, 6, 5, 3, double), _mask("...... x.xx.x")),
        forward("T=3, S=5, scores near -20000, float64", far, _mask("x.xx. ..... .xx.x")),
        forward("T=2, S=3, every query sees something", draw(1, 2, 2, 3, 4, 3), _mask("x.x .x.")),
        backward("T=3, S=5, query 1 sees nothing", draw(1, 2, 3, 5, 4, 3), _mask("x.xx. ..... .xx.x")),
        backward("T=3, S=5, one sequence is all padding", draw(2, 1, 3, 5, 3, 4), whole_sequence),
        backward("T=3, S=4, float64", draw(1, 2, 3, 4, 5, 2, double), two_heads),
        backward("T=2, S=3, every query sees something", draw(1, 2, 2, 3, 4, 3), _mask("x.x .x.")),
    ]


def _mask(rows):
    return torch.tensor([[key == "x" for key in row] for row in rows.split()])


def probe(case, attend):
    if "dY" not in case:
        return {"Y": attend(case["Q"], case["K"], case["V"], case["allowed"])}
    Q, K, V = leaves(case["Q"], case["K"], case["V"])
    Y = attend(Q, K, V, case["allowed"])
    return {"Y": Y} | gradients(Y, {"Q": Q, "K": K, "V": V}, case["dY"])


def exactly_zero_where_empty(inputs, outputs):
    """A tolerance would let 1e-9 pass for 0."""
    empty = ~inputs["allowed"].any(-1).expand(outputs["Y"].shape[:-1])
    found = outputs["Y"][empty]
    if found.any():
        return f"a query without any allowed key gives {found.abs().max():.1e}, expected exactly 0"
    return None


def _library(Q, K, V, allowed):
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)


EXERCISE = Exercise(
    id="attention.empty_rows",
    title="Queries that may look at nothing",
    parts={"forward": 1, "backward": 1},
    minutes=20,
    difficulty="stretch",
    calls=("masked_attention_or_zero(Q, K, V, allowed) -> Y",),
    cases=cases,
    probe=probe,
    library=(_library,),
    laws=(exactly_zero_where_empty,),
)
