"""TransformerBlock: attention and a feed-forward network, each with a residual and a norm, in both orders."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

BLOCK = Shapes(
    "X: B T D, dY: B T D, self_attn.in_proj_weight: 3D D, self_attn.in_proj_bias: 3D, self_attn.out_proj.weight: D D,"
    "self_attn.out_proj.bias: D, linear1.weight: F D, linear1.bias: F, linear2.weight: D F, linear2.bias: D,"
    "norm1.weight: D, norm1.bias: D, norm2.weight: D, norm2.bias: D",
    told="T D H F norm_first",
)


def cases(g):
    case, past = BLOCK.cases(g), torch.ones(4, 4, dtype=torch.bool).tril()
    causal = {"dtype": torch.float64, "allowed": past, "note": "causal mask"}
    return [
        case("post-norm", B=2, T=5, D=8, H=2, F=12, norm_first=False),
        case("post-norm", B=1, T=4, D=6, H=3, F=10, norm_first=False, **causal),
        case("pre-norm", B=2, T=5, D=8, H=2, F=12, norm_first=True),
        case("pre-norm", B=1, T=4, D=6, H=3, F=10, norm_first=True, **causal),
        # Wide tokens: a norm over four numbers that happen to be nearly equal would magnify every rounding error.
        case("gradients", B=2, T=3, D=12, H=2, F=8, norm_first=False, upstream=True),
        case("gradients", B=2, T=3, D=12, H=2, F=8, norm_first=True, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.block",
    title="A transformer block",
    parts={"post-norm": 1, "pre-norm": 1, "gradients": 1},
    minutes=20,
    difficulty="core",
    calls=("TransformerBlock(D, H, F, norm_first)(X, allowed?) -> Y",),
    cases=cases,
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
