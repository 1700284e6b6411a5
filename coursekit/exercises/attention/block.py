"""TransformerBlock: attention and a feed-forward network, each with a residual and a norm, in both orders."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places

BLOCK = Shapes(
    "X: B T D, dY: B T D, self_attn.in_proj_weight: 3D D, self_attn.in_proj_bias: 3D, self_attn.out_proj.weight: D D,"
    "self_attn.out_proj.bias: D, linear1.weight: F D, linear1.bias: F, linear2.weight: D F, linear2.bias: D,"
    "norm1.weight: D, norm1.bias: D, norm2.weight: D, norm2.bias: D",
    told="T D H F norm_first",
)


# What the two halves add is 0 where their last maps are.
SILENT = {
    "self_attn.out_proj.weight": (8, 8),
    "self_attn.out_proj.bias": 8,
    "linear2.weight": (8, 12),
    "linear2.bias": 8,
}


def far_larger(g, allowed):
    """X (B T 6) whose hidden tokens are 100,000 times as large as the others: so are the scores of their keys."""
    X = normal(g, len(allowed), allowed.shape[-1], 6, dtype=torch.float64)
    return X * (1 + 99_999 * ~allowed[:, 0, 0, :, None])


def cases(g):
    case, double = BLOCK.cases(g), torch.float64
    silent = {name: torch.zeros(size) for name, size in SILENT.items()}
    small, wide = {"D": 6, "H": 3, "F": 10}, {"D": 8, "H": 2, "F": 12}
    padding, by_head = "padding, a mask (B, 1, 1, T)", "a mask for each head, (B, H, T, T)"
    # Blocks that are made alike, called with masks of every shape and without: nothing may be kept from an earlier one.
    masks = {
        "causal mask": torch.ones(4, 4, dtype=torch.bool).tril(),
        padding: places("xxx. xx..")[:, None, None],
        by_head: torch.rand(2, 3, 4, 4, generator=g) < 0.5 + 2 * torch.eye(4),
    }

    def masked(part, norm_first, *names, **given):
        sizes = {"B": 2, "T": 4, **small, "norm_first": norm_first, "dtype": double}
        return [case(part, **sizes | {"allowed": masks[name], "note": name} | given) for name in names]

    return [
        case("post-norm", B=2, T=4, **small, norm_first=False),
        case("pre-norm", B=2, T=5, **wide, norm_first=True),
        case("post-norm", B=2, T=5, **wide, norm_first=False),
        case("post-norm", B=2, T=3, **wide, norm_first=False, note="both halves add 0: Norm_2(Norm_1(X))", **silent),
        *masked("post-norm", False, "causal mask"),
        *masked("post-norm", False, padding, X=far_larger(g, masks[padding]), note=f"{padding}, of far larger numbers"),
        *masked("post-norm", False, by_head),
        case("post-norm", B=1, T=1, **small, norm_first=False),
        case("post-norm", B=1, T=520, D=4, H=2, F=4, norm_first=False, dtype=double),
        case("pre-norm", B=2, T=3, **wide, norm_first=True, note="both halves add 0: Y is X", **silent),
        *masked("pre-norm", True, *list(masks)[:2]),
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
    importance=5,
    calls=("TransformerBlock(D, H, F, norm_first)(X, allowed?) -> Y",),
    cases=cases,
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
