"""attention_backward(Q, K, V, dY): the gradients of sum(Y * dY) with respect to Q, K and V, by hand."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, shifted


def cases(g):
    def draw(B, H, T, S, d, e, dtype=torch.float32):
        shapes = {"Q": (B, H, T, d), "K": (B, H, S, d), "V": (B, H, S, e), "dY": (B, H, T, e)}
        return {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}

    def spread(*sizes):
        return {name: scattered(x) for name, x in draw(*sizes).items()}

    found = []
    for wanted in ("dV", "dQ", "dK"):
        drawn = {
            # T = S, because there a matrix that should be transposed fits without it.
            "T=4, S=4, d=5, e=3": draw(2, 2, 4, 4, 5, 3),
            "T=3, S=5, d=8, e=4": draw(1, 3, 3, 5, 8, 4),
            "T=5, S=2, d=3, e=6, not contiguous": spread(2, 1, 5, 2, 3, 6),
            "T=2, S=6, d=4, e=5, float64": draw(1, 2, 2, 6, 4, 5, torch.float64),
        }
        far = draw(1, 2, 3, 4, 5, 2, torch.float64)
        drawn["T=3, S=4, scores near -20000, float64"] = far | shifted(far["Q"], far["K"], -20_000)
        found += [Case(wanted, label, inputs | {"wanted": wanted}) for label, inputs in drawn.items()]
    return found


def probe(case, backward):
    dQ, dK, dV = backward(case["Q"], case["K"], case["V"], case["dY"])
    return {case["wanted"]: {"dQ": dQ, "dK": dK, "dV": dV}[case["wanted"]]}


def _library(Q, K, V, dY):
    return torch.func.vjp(F.scaled_dot_product_attention, Q, K, V)[1](dY)


EXERCISE = Exercise(
    id="attention.backward",
    title="The backward pass of attention, by hand",
    parts={"dV": 1, "dQ": 1, "dK": 1},
    minutes=40,
    difficulty="stretch",
    calls=("attention_backward(Q, K, V, dY) -> dQ, dK, dV",),
    cases=cases,
    probe=probe,
    library=(_library,),
    ordered=False,
)
