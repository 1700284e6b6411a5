"""softmax(x, dim): positive numbers that sum to 1 along `dim`, for any finite or -inf entries."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered


def cases(g):
    inf = float("inf")
    x = normal(g, 3, 4, 5)
    found = [Case("values", f"shape (3, 4, 5), dim {dim}", {"x": x, "dim": dim}) for dim in (-1, 0, 1)]
    found.append(Case("values", "shape (4, 6), dim -2, not contiguous", {"x": scattered(normal(g, 4, 6)), "dim": -2}))
    found.append(Case("values", "float64", {"x": normal(g, 2, 5, dtype=torch.float64), "dim": 1}))
    # One row near 1000 and one near -1000 in the same tensor: a maximum over everything saves only one of them.
    offsets = torch.tensor([[1000.0], [0.0], [-1000.0]])
    found.append(Case("extremes", "rows near 1000, 0 and -1000", {"x": normal(g, 3, 5) + offsets, "dim": -1}))
    holes = normal(g, 3, 6)
    holes[:, ::2] = -inf
    found.append(Case("extremes", "every second entry is -inf", {"x": holes, "dim": -1}))
    return found


def probe(case, softmax):
    return {"A": softmax(case["x"], case["dim"])}


EXERCISE = Exercise(
    id="attention.softmax",
    title="Softmax over any dimension",
    parts={"values": 1, "extremes": 1},
    minutes=10,
    difficulty="core",
    calls=("softmax(x, dim) -> A",),
    cases=cases,
    probe=probe,
    library=(torch.softmax,),
    # x - logsumexp(x) is right too, and rounds to float32's spacing near 1000, which is 6e-5.
    tolerance={torch.float32: (1e-4, 1e-4)},
)
