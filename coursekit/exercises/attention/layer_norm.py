"""layer_norm(X, weight, bias, eps): each token with mean 0 and variance 1, scaled and shifted."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal

NORM = Shapes("X: B T D, weight: D, bias: D, dY: B T D", told="B T D eps")


def far(g, B, T, D):
    """Tokens around a million, ten apart: the mean of the squares less the square of the mean is noise there."""
    return {"X": 1e6 + 10 * normal(g, B, T, D), "B": B, "T": T, "D": D, "note": "numbers around a million"}


def equal(g, B, T, D):
    """Tokens whose numbers are all equal: the variance is 0, and only eps is left."""
    X = normal(g, B, T, 1, dtype=torch.float64).expand(B, T, D).clone()
    return {"X": X, "B": B, "T": T, "D": D, "note": "the numbers of a token are all equal"}


def cases(g):
    case, double = NORM.cases(g), torch.float64
    small = {"X": 0.01 * normal(g, 2, 3, 6, dtype=double), "note": "numbers near 0.01, where eps counts"}
    first = case("values", B=2, T=3, D=8, eps=1e-5)
    same = {name: first.inputs[name] for name in ("X", "weight", "bias")}
    return [
        first,
        case("values", B=2, T=4, D=5, eps=1e-12, contiguous=False),
        case("values", B=3, T=2, D=6, eps=0.1, dtype=double),
        case("values", B=2, T=3, D=6, eps=1e-3, dtype=double, **small),
        case("values", eps=1e-5, **far(g, 2, 3, 8)),
        case("values", eps=1e-5, dtype=double, **equal(g, 2, 2, 4)),
        case("values", B=1, T=3, D=1, eps=1e-5),
        case("values", B=1, T=1, D=7, eps=1e-5, dtype=double),
        case("values", B=2, T=1, D=700, eps=1e-5),
        case("values", B=2, T=3, D=8, eps=0.2, note="the same X, weight and bias", **same),
        case("gradients", B=2, T=3, D=8, eps=1e-5, upstream=True),
        case("gradients", B=1, T=4, D=5, eps=0.5, dtype=double, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.layer_norm",
    title="Layer norm",
    parts={"values": 1, "gradients": 1},
    minutes=10,
    difficulty="core",
    importance=4,
    calls=("layer_norm(X, weight, bias, eps) -> Y",),
    cases=cases,
    # Around a million float32 knows a number to 0.06, and tokens that are ten apart to half a percent.
    tolerance={torch.float32: (1e-4, 2e-2)},
)
