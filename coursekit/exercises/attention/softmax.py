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
    # The same within a row: the minimum or the mean is no maximum, and what is far below it has weight 0 by itself.
    spread = normal(g, 3, 6) + torch.tensor([1000.0, -1000.0, 1000.0, 0.0, -1000.0, 1000.0])
    holes, low = normal(g, 3, 6), normal(g, 3, 6) - 1000
    holes[:, ::2], low[:, 1::2] = -torch.inf, -torch.inf  # below any finite score, and -1000 is one
    return [
        *(case("values", "shape (3, 4, 5)", x, dim) for dim in (-1, 0, 1)),
        case("values", "shape (4, 6), not contiguous", strided, -2),
        case("values", "shape (2, 5), float64", double, 1),
        case("values", "shape (4, 1, 3)", normal(g, 4, 1, 3), 1),
        case("values", "shape (7,)", normal(g, 7), 0),
        case("values", "shape (2, 300)", normal(g, 2, 300), 1),
        case("extremes", "rows near 1000, 0 and -1000", far),
        case("extremes", "from -1000 to 1000 in each row", spread),
        case("extremes", "every second entry is -inf", holes),
        case("extremes", "-inf beside entries near -1000", low),
    ]


def exactly_zero_at_minus_infinity(inputs, outputs):
    """A tolerance would let 1e-9 pass for 0."""
    found = outputs["A"][inputs["x"] == -torch.inf]
    if found.any():
        return f"an entry of -inf gets the weight {found.abs().max():.1e}, expected exactly 0"
    return None


EXERCISE = Exercise(
    id="attention.softmax",
    title="Softmax over any dimension",
    parts={"values": 1, "extremes": 1},
    minutes=10,
    difficulty="core",
    importance=5,
    calls=("softmax(x, dim) -> A",),
    cases=cases,
    laws=(exactly_zero_at_minus_infinity,),
    # x - logsumexp(x) is right too, and rounds to float32's spacing near 1000, which is 6e-5.
    tolerance={torch.float32: (1e-4, 1e-4)},
)
