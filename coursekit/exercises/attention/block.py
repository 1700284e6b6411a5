"""TransformerBlock: attention and a feed-forward network, each with a residual and a norm, in both orders."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, leaves, load, returned


def cases(g):
    def draw(B, T, D, H, F, norm_first, dtype=torch.float32, hidden=False, upstream=False):
        inputs = {"X": normal(g, B, T, D, dtype=dtype), "H": H, "F": F, "norm_first": norm_first}
        # Norms far from the identity and scores of ordinary size, so that every part of the block shows.
        shapes = {
            "self_attn.in_proj_weight": (3 * D, D),
            "self_attn.in_proj_bias": (3 * D,),
            "self_attn.out_proj.weight": (D, D),
            "self_attn.out_proj.bias": (D,),
            "linear1.weight": (F, D),
            "linear1.bias": (F,),
            "linear2.weight": (D, F),
            "linear2.bias": (D,),
            **{f"norm{n}.{part}": (D,) for n in (1, 2) for part in ("weight", "bias")},
        }
        for name, shape in shapes.items():
            scale = 0.6 if name.startswith("norm") else shape[-1] ** -0.5 if len(shape) > 1 else 0.5
            offset = 1.0 if name.startswith("norm") and name.endswith("weight") else 0.0
            inputs[name] = normal(g, *shape, dtype=dtype) * scale + offset
        if hidden:
            inputs["allowed"] = torch.ones(T, T, dtype=torch.bool).tril()
        if upstream:
            inputs["dY"] = normal(g, B, T, D, dtype=dtype)
        return inputs

    return [
        Case("post-norm", "T=5, D=8, H=2, F=12", draw(2, 5, 8, 2, 12, False)),
        Case("post-norm", "float64, causal mask", draw(1, 4, 6, 3, 10, False, torch.float64, hidden=True)),
        Case("pre-norm", "T=5, D=8, H=2, F=12", draw(2, 5, 8, 2, 12, True)),
        Case("pre-norm", "float64, causal mask", draw(1, 4, 6, 3, 10, True, torch.float64, hidden=True)),
        # Wide tokens: a norm over four numbers that happen to be nearly equal would magnify every rounding error.
        Case("gradients", "post-norm, T=3, D=12", draw(2, 3, 12, 2, 8, False, upstream=True)),
        Case("gradients", "pre-norm, T=3, D=12", draw(2, 3, 12, 2, 8, True, upstream=True)),
    ]


def probe(case, Block):
    weights = {name: value for name, value in case.items() if "." in name}
    block = load(Block(case["X"].shape[-1], case["H"], case["F"], case["norm_first"]), weights)
    if "dY" not in case:
        return {"Y": _forward(block, case["X"], case.get("allowed"))}
    (X,) = leaves(case["X"])
    Y = _forward(block, X, None)
    sources = {"X": X, "W1": block.linear1.weight, "W_out": block.self_attn.out_proj.weight}
    return {"Y": Y} | gradients(Y, sources, case["dY"])


def _forward(block, X, allowed):
    if type(block).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, X, allowed=None)")
    return returned(block(X) if allowed is None else block(X, allowed), "Y")


class Library(nn.TransformerEncoderLayer):
    """torch's layer, called as the exercise calls a block."""

    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first)

    def forward(self, X, allowed=None):
        if allowed is not None:
            B, T = X.shape[:2]
            allowed = ~allowed.expand(B, self.self_attn.num_heads, T, T).flatten(0, 1)
        return super().forward(X, src_mask=allowed)


EXERCISE = Exercise(
    id="attention.block",
    title="A transformer block",
    parts={"post-norm": 1, "pre-norm": 1, "gradients": 1},
    minutes=20,
    difficulty="core",
    calls=("TransformerBlock(D, H, F, norm_first)",),
    cases=cases,
    probe=probe,
    library=(Library,),
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
