"""MultiHeadAttention(D, H): H heads side by side between two projections, named as PyTorch names them."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, leaves, load, returned

WEIGHTS = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")


def cases(g):
    def draw(B, T, D, H, dtype=torch.float32):
        weights = {
            "in_proj_weight": normal(g, 3 * D, D, dtype=dtype) / D**0.5,
            "in_proj_bias": normal(g, 3 * D, dtype=dtype),
            "out_proj.weight": normal(g, D, D, dtype=dtype) / D**0.5,
            "out_proj.bias": normal(g, D, dtype=dtype),
        }
        return {"D": D, "H": H, "X": normal(g, B, T, D, dtype=dtype)} | weights

    def with_upstream(inputs):
        X = inputs["X"]
        return inputs | {"dY": normal(g, *X.shape, dtype=X.dtype)}

    def masked(inputs, allowed):
        return inputs | {"allowed": allowed}

    double = torch.float64
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    real = _mask("xxx. xxxx")[:, None, None]
    # One triangle for each head, so that a mask on the wrong head shows; every query sees at least one key.
    by_head = torch.stack([_mask("x.. xx. xxx"), _mask(".xx xxx x..")])[None]
    return [
        Case("values", "T=3, D=8, H=2", draw(2, 3, 8, 2)),
        Case("values", "T=5, D=6, H=3", draw(1, 5, 6, 3)),
        Case("values", "T=4, D=6, H=1, float64", draw(2, 4, 6, 1, double)),
        Case("mask", "T=5, D=8, H=4, causal", masked(draw(2, 5, 8, 4), past)),
        Case("mask", "T=4, D=6, H=3, padding", masked(draw(2, 4, 6, 3), real)),
        Case(
            "mask",
            "T=3, D=8, H=2, float64, heads with masks of their own",
            masked(draw(1, 3, 8, 2, double), by_head),
        ),
        Case("gradients", "T=3, D=8, H=2", with_upstream(draw(2, 3, 8, 2))),
        Case(
            "gradients",
            "T=4, D=6, H=3, float64, padding",
            masked(with_upstream(draw(2, 4, 6, 3, double)), real),
        ),
    ]


def _mask(rows):
    return torch.tensor([[key == "x" for key in row] for row in rows.split()])


def probe(case, make):
    module = load(make(case["D"], case["H"]), {name: case[name] for name in WEIGHTS})
    (X,) = leaves(case["X"])
    given = (X, case["allowed"]) if "allowed" in case else (X,)
    Y = returned(module(*given), "Y")
    if "dY" not in case:
        return {"Y": Y}
    trained = dict(module.named_parameters())
    for name in WEIGHTS:
        if name not in trained:
            raise Wrong(f"{name!r} is not a parameter, so no optimiser would train it: make it an nn.Parameter")
    return {"Y": Y} | gradients(Y, {"X": X} | {name: trained[name] for name in WEIGHTS}, case["dY"])


class _Library(nn.MultiheadAttention):
    """nn.MultiheadAttention as the exercise calls it; its own mask says True where a key is hidden."""

    def __init__(self, D, H):
        super().__init__(D, H, batch_first=True)

    def forward(self, X, allowed=None):
        B, T, _ = X.shape
        hidden = None if allowed is None else ~allowed.expand(B, self.num_heads, T, T).flatten(0, 1)
        return super().forward(X, X, X, attn_mask=hidden, need_weights=False)[0]


EXERCISE = Exercise(
    id="attention.multihead",
    title="Multi-head attention as a module",
    parts={"values": 1, "mask": 1, "gradients": 1},
    minutes=30,
    difficulty="core",
    calls=("MultiHeadAttention(D, H)",),
    cases=cases,
    probe=probe,
    library=(_Library,),
    # Gradients of the weights add up many products that partly cancel: that of the keys' bias is 0 exactly.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
