"""MultiHeadAttention(D, H): H heads side by side between two projections, named as PyTorch names them."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places

MODULE = Shapes(
    "X: B T D, dY: B T D, in_proj_weight: 3D D, in_proj_bias: 3D, out_proj.weight: D D, out_proj.bias: D",
    told="T D H",
)


def far_larger(g, real):
    """X (B T D) whose hidden tokens are 100,000 times as large as the others: so are the scores of their keys."""
    B, T = real.shape
    X = normal(g, B, T, 6, dtype=torch.float64)
    return {"X": X * (1 + 99_999 * ~real[..., None]), "B": B, "T": T, "D": 6, "H": 3, "allowed": real[:, None, None]}


def cases(g):
    case, double = MODULE.cases(g), torch.float64
    past = torch.ones(5, 5, dtype=torch.bool).tril()
    real = {"allowed": places("xxx. xxxx")[:, None, None], "note": "padding"}
    # One triangle for each head, so that a mask on the wrong head shows; every query sees at least one key.
    by_head = torch.stack([places("x.. xx. xxx"), places(".xx xxx x..")])[None]
    more_real = {"allowed": places("xxx.. .xxxx")[:, None, None], "note": "padding"}
    far = far_larger(g, places("xx.x x.xx"))
    # Two cases at least for most D and H: a module is called with the one before it is called with the other.
    return [
        case("values", B=2, T=3, D=8, H=2),
        case("values", B=1, T=5, D=6, H=3),
        case("values", B=2, T=4, D=6, H=1, dtype=double),
        case("values", B=2, T=7, D=6, H=1),
        case("values", B=1, T=2, D=16, H=16),
        case("values", B=1, T=300, D=4, H=1),
        case("mask", B=2, T=5, D=8, H=4, allowed=past, note="causal"),
        case("mask", B=2, T=5, D=8, H=4, **more_real),
        case("mask", B=2, T=4, D=6, H=3, **real),
        case("mask", dtype=double, note="padding of far larger numbers", **far),
        case("mask", B=1, T=3, D=8, H=2, allowed=by_head, dtype=double, note="heads with masks of their own"),
        case("gradients", B=2, T=3, D=8, H=2, upstream=True),
        case("gradients", B=2, T=4, D=6, H=3, dtype=double, upstream=True, **real),
    ]


EXERCISE = Exercise(
    id="attention.multihead",
    title="Multi-head attention as a module",
    parts={"values": 1, "mask": 1, "gradients": 1},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=("MultiHeadAttention(D, H)(X, allowed?) -> Y",),
    cases=cases,
    # Gradients of the weights add up many products that partly cancel: that of the keys' bias is 0 exactly.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
