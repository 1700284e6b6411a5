"""softmax(x, dim): positive numbers that sum to 1 along `dim`, for any finite or -inf entries."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered


def cases(g):
    def case(part, label, x, dim=-1):
        return Case(part, f"{label}, dim={dim}", {"x": x, "dim": dim})

    x, strided, double = normal(g, 3, 4, 5), scattered(normal(g, 4, 6)), normal(g, 2, 5, dtype=torch.float64)
    # One row near 1000 and one near -1000 in the same tensor: a maximum over everything saves only one of them.
    far = normal(g, 3, 5) + torch.tensor([[1000.0], [0.0], [-1000.0]])
    holes = normal(g, 3, 6)
    holes[:, ::2] = -torch.inf
    return [
        *(case("values", "shape (3, 4, 5)", x, dim) for dim in (-1, 0, 1)),
        case("values", "shape (4, 6), not contiguous", strided, -2),
        case("values", "shape (2, 5), float64", double, 1),
        case("extremes", "rows near 1000, 0 and -1000", far),
        case("extremes", "every second entry is -inf", holes),
    ]


EXERCISE = Exercise(
    id="attention.softmax",
    title="Softmax over any dimension",
    parts={"values": 1, "extremes": 1},
    minutes=10,
    difficulty="core",
    calls=("softmax(x, dim) -> A",),
    cases=cases,
    # x - logsumexp(x) is right too, and rounds to float32's spacing near 1000, which is 6e-5.
    tolerance={torch.float32: (1e-4, 1e-4)},
)
