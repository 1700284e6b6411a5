"""linear_gelu(X, W, b) and its backward pass by hand: Y = GELU(X W^T + b), for any leading dimensions of X."""

import torch

from coursekit.checking.calls import by_hand
from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered

CALLS = {"forward": "linear_gelu", "backward": "linear_gelu_backward"}


def cases(g):
    double = torch.float64

    def case(part, *shape, E, note="", dtype=torch.float32, scale=1.0, contiguous=True, upstream=False):
        """X has this shape, whose last size is D; numbers before GELU lie around 0, where it bends."""
        D = shape[-1]
        X, W = normal(g, *shape, dtype=dtype), scale * normal(g, E, D, dtype=dtype) / D**0.5
        given = {"X": X, "W": W, "b": normal(g, E, dtype=dtype)}
        if not contiguous:
            given |= {name: scattered(x) for name, x in given.items() if x.dim() > 1}
        if part == "backward" or upstream:
            given["dY"] = normal(g, *shape[:-1], E, dtype=dtype)
        words = [f"X {shape}", f"E={E}", dtype_name(dtype) if dtype == double else "", note]
        words += ["gradients"] * upstream + ["not contiguous"] * (not contiguous)
        label = ", ".join(filter(None, words)).replace(",)", ")")
        sizes = {"D": D, "E": E, "N": X.numel() // D}
        return Case(part, label, given | sizes | {"call": CALLS[part]})

    def both(*shape, **given):
        return [case(part, *shape, **given) for part in CALLS]

    found = [
        both(4, 3, E=5),
        both(2, 3, 4, E=2, dtype=double),
        both(5, E=3),
        both(2, 3, 2, 3, E=4),
        both(3, 4, E=1),
        both(1, 1, E=2, dtype=double),
        both(2, 1, 5, E=3, contiguous=False),
        both(3, 4, E=6, scale=12.0, dtype=double, note="far from 0"),
        both(300, 2, E=3),
        [case("forward", 3, 4, E=2, dtype=double, upstream=True)],
    ]
    return sorted((one for pair in found for one in pair), key=lambda one: [*CALLS].index(one.part))


SIGNATURES = ("linear_gelu(X, W, b) -> Y", "linear_gelu_backward(X, W, b, dY) -> dX, dW, db")

EXERCISE = Exercise(
    id="core.linear_gelu",
    title="A layer, there and back",
    parts={"forward": 1, "backward": 2},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=SIGNATURES,
    cases=cases,
    probe=by_hand(SIGNATURES, CALLS["backward"]),
    tolerance={torch.float32: (1e-5, 3e-5)},  # gradients of weights add up many products that partly cancel
)
