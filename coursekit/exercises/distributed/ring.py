"""ring_all_reduce(comm, x): the sum of all ranks' x, on every rank, by messages to the neighbour."""

import math
from functools import partial

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import (
    MESSAGES,
    READ,
    SAME_BITS,
    SENDS,
    TOO_LITTLE,
    apart,
    measured,
    on_each,
    one_by_one,
    traffic,
)
from coursekit.world import World

ROWS = Shapes("X: n N", told="n N")


def cases(g):
    double = torch.float64

    def case(part, n, N, watched=False, often=False, **given):
        return ROWS.cases(g)(part, n=n, N=N, watched=watched, often=often, **given)

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
        case("any sizes", 2, 200),
        case("the way", 4, 40, watched=True),
        case("the way", 5, 37, watched=True, dtype=double),
        case("the way", 2, 9, watched=True),
        case("the way", 9, 20, watched=True),
        case("the way", 5, 3, watched=True),
        case("the way", 3, 7, watched=True, often=True, note="three calls"),
    ]


def far_apart(g, n, N):
    """Rows of whole numbers of very different sizes: their sum is exact in every order."""
    X = torch.randint(-9, 10, (n, N), generator=g).double()
    return X * torch.tensor([1.0, 1e6, 1e12], dtype=torch.float64)[torch.arange(N) % 3]


def probe(case, ring_all_reduce):
    X, n = case["X"], case["n"]
    world = World(n, only=("send", "recv"))
    times, N = 3 if case["often"] else 1, X.shape[1]
    # The first is what was drawn: a change in place shows.
    several = [[x, *(x * call for call in range(2, times + 1))] for x in X]
    calls = world.run(lambda comm, mine: one_by_one(partial(called, ring_all_reduce, comm), mine), several)
    results, *others = zip(*calls, strict=True)
    found = on_each(results, "the sum")
    for call, again in enumerate(others):
        found |= on_each(again, f"the sum of call {call + 2}")
    rounds = times * 2 * (n - 1)
    enough = traffic(world, rounds * math.ceil(N / n), messages=rounds, least=rounds * N)
    return found | measured(X, apart=apart(results), **enough)


def called(ring_all_reduce, comm, x):
    """A call's result. Raises Wrong where it is the caller's own tensor."""
    total = ring_all_reduce(comm, x)
    if isinstance(total, torch.Tensor) and len(x) and looks_into(total) == looks_into(x):
        raise Wrong("what it returns looks into x: give the sum as a new tensor, also where there is one rank")
    return total


def looks_into(x):
    return x.untyped_storage().data_ptr()


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
    # Sums of a few numbers: what was rounded to float32 on its way is no such sum.
    tolerance={torch.float64: (1e-12, 1e-12)},
)
