"""ring_all_reduce(comm, x): the sum of all ranks' x, on every rank, by messages to the neighbour."""

import math

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.ranks import MESSAGES, READ, SAME_BITS, SENDS, TOO_LITTLE, apart, measured, on_each, traffic
from coursekit.world import World

ROWS = Shapes("X: n N", told="n N")


def cases(g):
    double = torch.float64

    def case(part, n, N, watched=False, **given):
        return ROWS.cases(g)(part, n=n, N=N, watched=watched, **given)

    return [
        case("the sum", 4, 12),
        case("the sum", 2, 6, dtype=double),
        case("the sum", 3, 9, dtype=double, note="numbers far apart", X=far_apart(g, 3, 9)),
        case("any sizes", 3, 7),
        case("any sizes", 5, 12, dtype=double),
        case("any sizes", 4, 5),
        case("any sizes", 5, 3),
        case("any sizes", 4, 1, dtype=double),
        case("any sizes", 1, 4),
        case("the way", 4, 40, watched=True),
        case("the way", 5, 37, watched=True, dtype=double),
        case("the way", 2, 9, watched=True),
        case("the way", 8, 64, watched=True),
    ]


def far_apart(g, n, N):
    """Rows of whole numbers of very different sizes: their sum is exact in every order."""
    X = torch.randint(-9, 10, (n, N), generator=g).double()
    return X * torch.tensor([1.0, 1e6, 1e12], dtype=torch.float64)[torch.arange(N) % 3]


def probe(case, ring_all_reduce):
    X, n = case["X"], case["n"]
    world = World(n, only=("send", "recv"))
    results = world.run(ring_all_reduce, list(X))
    part = math.ceil(X.shape[1] / n)
    found = on_each(results, "the sum")
    enough = traffic(world, 2 * (n - 1) * part, messages=2 * (n - 1), least=2 * (n - 1) * X.shape[1])
    return found | measured(X, apart=apart(results), **enough)


EXERCISE = Exercise(
    id="distributed.ring",
    title="Round the ring",
    parts={"the sum": 1, "any sizes": 1, "the way": 1},
    minutes=40,
    difficulty="core",
    importance=5,
    calls=("ring_all_reduce(comm, x)",),
    cases=cases,
    probe=probe,
    laws=(READ, MESSAGES, SENDS, TOO_LITTLE, SAME_BITS),
)
