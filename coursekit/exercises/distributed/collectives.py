"""reduce_scatter, all_gather, all_to_all: three collectives made of messages from rank to rank."""

import math
from dataclasses import replace
from functools import partial

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import MESSAGES, READ, SENDS, TOO_LITTLE, WATCHED, measured, on_each, one_by_one, traffic
from coursekit.world import Deadlock, World

KINDS = (torch.float64, torch.int64, torch.bool)
SCATTER, GATHER, EXCHANGE = "reduce_scatter", "all_gather", "all_to_all"


def cases(g):
    double, twice = torch.float64, "two calls in one world"

    def rows(part, n, row=(), dtype=torch.float32, times=1, note="", watched=False, X=None):
        """Each rank gets one tensor for each call: rows for all ranks, or one row."""
        shape = (times, n, n, *row) if part == SCATTER else (times, n, *row)
        size = f"rows of shape {tuple(row)}" if row else "a row is one number"
        X = normal(g, *shape, dtype=dtype) if X is None else X
        plain = {"call": part, "n": n, "times": times, "watched": watched, "shapes": [], "turned": False}
        return Case(part, label(f"n={n}, {size}", dtype, note, watched), {"X": X} | plain)

    def lists(shapes, dtype=torch.float32, times=1, note="", watched=False, turned=False, mixed=False):
        """`shapes[i][j]` is that of what rank i has for rank j; all of it lies in one row of numbers."""
        n, count = len(shapes), sum(math.prod(shape) for row in shapes for shape in row)
        whole = dtype == torch.int64
        X = torch.randint(-99, 99, (times, count), generator=g) if whole else normal(g, times, count, dtype=dtype)
        plain = {"call": EXCHANGE, "n": n, "times": times, "watched": watched, "turned": turned, "mixed": mixed}
        shapes = [[list(shape) for shape in row] for row in shapes]
        return Case(EXCHANGE, label(f"n={n}", dtype, note, watched), {"X": X, "shapes": shapes} | plain)

    return [
        rows(SCATTER, 3, (4,)),
        rows(SCATTER, 2, (), double),
        rows(SCATTER, 3, (2, 1)),
        rows(SCATTER, 3, (3,), double, X=cancelling(g, 3, 3), note="numbers that nearly cancel"),
        rows(SCATTER, 3, (2, 3), X=normal(g, 2, 3, 3, 3, 2).mT, times=2, note=f"not contiguous, {twice}"),
        rows(SCATTER, 1, (2,)),
        rows(SCATTER, 4, (10,), watched=True),
        rows(SCATTER, 5, (7,), watched=True),
        rows(GATHER, 3, (4,)),
        rows(GATHER, 3, (), double),
        rows(GATHER, 3, (2, 1)),
        rows(GATHER, 3, (2, 3), X=normal(g, 2, 3, 3, 2).mT, times=2, note=f"not contiguous, {twice}"),
        rows(GATHER, 1, (2,)),
        rows(GATHER, 4, (10,), watched=True),
        rows(GATHER, 5, (7,), watched=True),
        lists([[(2, 3)] * 3] * 3, note="equal shapes, not contiguous", turned=True),
        lists(any_shapes(g, 4), double, note="shapes that differ"),
        lists([[(0, 2), (2,), (0,)], [(3,), (0,), (1, 1)], [(0,), (0,), (0,)]], note="some are empty"),
        lists([[()] * 3] * 3, note="one number each"),
        lists([[(2,), (3,), (1,)]] * 3, double, note="dtypes that differ", mixed=True),
        lists(any_shapes(g, 2), torch.int64, times=2, note=f"whole numbers, {twice}"),
        lists([[(2, 2)]]),
        lists([[(9 + 3 * i + 2 * j,) for j in range(4)] for i in range(4)], watched=True),
        lists([[(3 + (i * j) % 4,) for j in range(5)] for i in range(5)], watched=True),
    ]


def label(sizes, dtype, note, watched):
    words = [sizes, dtype_name(dtype) if dtype == torch.float64 else "", note, "what is sent" if watched else ""]
    return ", ".join(filter(None, words))


def cancelling(g, n, k):
    """Whole numbers, small ones beside large ones that cancel in the sum: it is exact in every order."""
    large = torch.randint(1, 9, (n, n, k), generator=g).double() * 1e12
    large[-1] -= large.sum(0)
    return (large + torch.randint(-9, 10, (n, n, k), generator=g))[None]


def any_shapes(g, n):
    """No two of one size, in one, two or three dimensions."""
    sizes = (torch.randperm(n * n, generator=g) + 1).view(n, n).tolist()
    ways = [lambda s: (s,), lambda s: (s, 1), lambda s: (1, s), lambda s: (2, 1, s)]
    return [[ways[(i + j) % len(ways)](s) for j, s in enumerate(row)] for i, row in enumerate(sizes)]


def probe(case, *objects):
    n, function = case["n"], objects[(SCATTER, GATHER, EXCHANGE).index(case["call"])]
    world = World(n, only=("send", "recv"))
    given = handed_out(case) if case["shapes"] else [list(case["X"][:, rank]) for rank in range(n)]
    try:
        results = world.run(lambda comm, calls: one_by_one(partial(called, function, comm), calls), given)
    except Deadlock:
        if world.messages:
            raise
        raise Wrong(
            "ranks wait for a message, and nobody has sent one: a send does not wait, so let every rank send first"
        ) from None
    found = {}
    for time, of_ranks in enumerate(zip(*results, strict=True)):
        name = f"{case['call']}{', second call,' * time}"
        found |= lists_of(of_ranks, name) if case["shapes"] else on_each(of_ranks, name)
    return found | (measured(case["X"], **costs(world, case)) if case["watched"] else {})


def handed_out(case):
    """For each rank its list of parts, one list for each call: they look into one memory, as parts of a batch do."""
    n, sizes = case["n"], [math.prod(shape) for row in case["shapes"] for shape in row]
    given = [[] for _ in range(n)]
    for numbers in case["X"]:
        pieces = iter(numbers.split(sizes))
        for rank, (mine, row) in enumerate(zip(given, case["shapes"], strict=True)):
            parts = [laid_out(next(pieces), shape, case["turned"]) for shape in row]
            mine.append([part.to(KINDS[(rank + j) % 3]) for j, part in enumerate(parts)] if case["mixed"] else parts)
    return given


def laid_out(numbers, shape, turned):
    return numbers.view(*shape[:-2], shape[-1], shape[-2]).mT if turned else numbers.view(shape)


def called(function, comm, parts):
    if not isinstance(parts, list):
        return function(comm, parts)
    before, copies = list(parts), [part.clone() for part in parts]
    result = function(comm, parts)
    if len(parts) != len(before) or any(a is not b for a, b in zip(parts, before, strict=True)):
        raise Wrong("the list `parts` holds other tensors afterwards: it belongs to the caller, so make a new list")
    if not all(map(torch.equal, parts, copies)):
        raise Wrong("a tensor of `parts` is changed in place: it belongs to the caller, so work on a copy")
    return result


def lists_of(results, name):
    """The parts that each rank returned, one by one."""
    n, found = len(results), {}
    for rank, parts in enumerate(results):
        if not isinstance(parts, list | tuple):
            what = "None (is there a return?)" if parts is None else f"a {type(parts).__name__}"
            raise Wrong(f"on rank {rank} it returned {what}, expected a list of {n} tensors")
        if len(parts) != n:
            raise Wrong(
                f"on rank {rank} it returned {len(parts)} tensors, expected {n}: one from each rank, its own too"
            )
        for source, part in enumerate(parts):
            if not isinstance(part, torch.Tensor):
                raise Wrong(f"on rank {rank} the list holds a {type(part).__name__}, expected tensors")
            found[f"{name} on rank {rank}, place {source}"] = part
    return found


def costs(world, case):
    """Each rank has to send what the others need of it."""
    n, times = case["n"], case["times"]
    if case["shapes"]:
        needs = [sum(math.prod(s) for j, s in enumerate(row) if j != i) for i, row in enumerate(case["shapes"])]
    else:
        needs = [(n - 1) * math.prod(case["X"].shape[2 + (case["call"] == SCATTER) :])] * n
    enough = [times * need for need in needs]
    return traffic(world, enough, messages=times * (n - 1), least=sum(enough))


EXERCISE = Exercise(
    id="distributed.collectives",
    title="Three collectives",
    parts={SCATTER: 1, GATHER: 1, EXCHANGE: 1},
    minutes=40,
    difficulty="core",
    importance=4,
    calls=("reduce_scatter(comm, x)", "all_gather(comm, x)", "all_to_all(comm, parts)"),
    cases=cases,
    probe=probe,
    laws=(replace(READ, when=WATCHED), MESSAGES, SENDS, TOO_LITTLE),
    ordered=False,
    # Sums of a few numbers: what was rounded to float32 on its way is no such sum.
    tolerance={torch.float64: (1e-12, 1e-12)},
)
