"""global_norm(comm, shards, replicated): the norm of the whole model's gradient, of which ranks hold parts."""

import math
from types import SimpleNamespace

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.laws import none
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import READ, TOO_LITTLE, apart, at_most, measured, on_each, traffic
from coursekit.world import World, network

NORM, SENT = "the norm", "what is sent"
MIXED = (torch.bfloat16, torch.float32, torch.float16, torch.float64)


def cases(g):
    double = torch.float64

    def case(part, shards, replicated, note="", scale=1.0, dtype=torch.float32, first="", **how):
        """`shards` are the sizes of the tensors that each rank holds, `replicated` those of what all of them hold.

        Rank 0's first shard is full of `first`, a number in words.
        """
        sizes = [sum(map(math.prod, rank)) for rank in shards]
        label = f"{len(shards)} rank{'s' * (len(shards) > 1)}, shards of {' + '.join(map(str, sizes))} numbers"
        words = [label, f"{sum(map(math.prod, replicated))} replicated", note, dtype_name(dtype) * (dtype == double)]
        given = {
            "shards": scale * normal(g, sum(sizes), dtype=dtype),
            "replicated": scale * normal(g, sum(map(math.prod, replicated)), dtype=dtype),
            "of_shards": [[list(shape) for shape in rank] for rank in shards],
            "of_replicated": [list(shape) for shape in replicated],
            "first": first,
        } | {name: how.get(name, False) for name in ("turned", "mixed", "watched", "twice")}
        return Case(part, ", ".join(filter(None, words)), given)

    def some(low=1, high=9):
        return (int(torch.randint(low, high, (), generator=g)),)

    row, table, number = (5,), (2, 3), ()
    return [
        case(NORM, [[some()], [some()]], [(3,)]),
        case(
            *(NORM, [[row, some()], [some()], [(2,), (3,), (4,)]], [some(), (2,)], "numbers near 1e60", 1e60),
            dtype=double,
        ),
        case(NORM, [[some()], [some(), (2,)], [some()], [some()]], []),
        case(NORM, [[], [], []], [some(), row]),
        case(NORM, [[some(), (1,)]], [some()], "called twice", twice=True),
        case(NORM, [[], [row, some()], []], [(4,)], "two ranks without shards, called twice", dtype=double, twice=True),
        case(NORM, [[row], []], [], "a rank without anything", dtype=double),
        case(NORM, [[], []], [], "nobody holds anything"),
        case(NORM, [[(0,), some()], [(0,)]], [number], "shards without numbers", dtype=double),
        case(NORM, [[table, number], [(1, 1), (3, 2)]], [table, number], "of more dimensions", turned=True),
        case(NORM, [[row], [some()], [row]], [some()], "numbers near 1e25", scale=1e25),
        case(NORM, [[row, some()], [row] * 4], [some()] * 3, "four dtypes in a list", dtype=double, mixed=True),
        case(NORM, [[table, some()], [some()]], [some()], "rank 0's first shard is 0", first="0"),
        case(NORM, [[some()], [row]], [some()], "all numbers are 0", scale=0.0),
        case(NORM, [[(2,), some()], [row]], [some()], "rank 0's first shard is NaN", first="nan"),
        case(NORM, [[(1,), some()], [row]], [some()], "rank 0's first shard is infinite", first="inf", dtype=double),
        case(NORM, [[row], [some()] * 40], [some()] * 20, "60 tensors on a rank", dtype=double),
        case(NORM, [[some(100, 120)] * 3, [some(40, 60)] * 2, [some()]] * 2, [some(60, 80)] * 2, "6 ranks"),
        case(SENT, [[row, some()], [some()]], [(3,)], "in a second call", watched=True, twice=True),
        case(SENT, [[row], [], [some(20, 30), (4, 4)], [some()]], [some(20, 30)] * 2, dtype=double, watched=True),
        case(SENT, [[some(30, 40), row], [some()], [row], [], [some()]], [some()], watched=True),
    ]


def probe(case, global_norm):
    shapes = case["of_shards"]
    world = World(len(shapes))
    parts = case["shards"].split([sum(map(math.prod, rank)) for rank in shapes])
    shards = [cut(part, rank, case) for part, rank in zip(parts, shapes, strict=True)]
    if case["first"]:
        shards[0][0] = torch.full_like(shards[0][0], float(case["first"]))
    replicated = [cut(case["replicated"], case["of_replicated"], case) for _ in shapes]

    def program(comm, mine, ours):
        if case["twice"]:  # which writes into them in between
            mine, ours = ([x.clone() for x in xs] for xs in (mine, ours))
        lists = {"shards": mine, "replicated": ours}
        before = {name: ([*xs], [layout(x) for x in xs]) for name, xs in lists.items()}
        norm = global_norm(comm, mine, ours)
        if isinstance(norm, torch.Tensor) and norm.dtype != torch.float64:
            raise Wrong(f"the norm is of {dtype_name(norm.dtype)}, expected float64")
        for name, (was, layouts) in before.items():
            if len(was) != len(lists[name]) or any(x is not y for x, y in zip(was, lists[name], strict=True)):
                raise Wrong(f"the list `{name}` is another one afterwards: it belongs to whoever calls")
            if [layout(x) for x in was] != layouts:
                raise Wrong(
                    f"a tensor of `{name}` has another shape, stride, dtype, memory or requires_grad afterwards"
                )
        if not case["twice"]:
            return norm, norm, 0
        for x in (*mine, *ours):
            x.mul_(0.5)
        mark = sum(m.sender == comm.rank for m in world.messages)
        return norm, global_norm(comm, mine, ours), mark

    like = case["shards"]
    # A rank that holds nothing knows no device.
    first, second, marks = zip(*world.run(program, shards, replicated), strict=True)
    results = [x.to(like.device) for x in on_each(first, "norm").values()]
    enough = round(network.all_reduce(world.size, 1).numbers)
    # A rank has to tell something where it holds shards, and be told something where another one does.
    held = [any(map(math.prod, rank)) for rank in shapes]
    hear = world.size - (sum(held) == 1) if any(held) else 0
    costs = traffic(after(world, marks), enough, messages=1, least=hear if world.size > 1 else 0) | {
        "apart": apart(results)
    }
    found = {f"norm on rank {world.size - 1}": results[-1]}
    if case["twice"]:
        found["norm of half the gradient, in a second call"] = on_each(second, "norm")["norm on rank 0"].to(like.device)
    return found | measured(like, **costs)


def after(world, marks):
    """What `traffic` looks at, without the first messages of each rank, which are as many as `marks` say."""
    mine = [[m for m in world.messages if m.sender == rank][mark:] for rank, mark in enumerate(marks)]
    return SimpleNamespace(size=world.size, unread=world.unread, messages=[m for sent in mine for m in sent])


def layout(x):
    return x.shape, x.stride(), x.dtype, x.data_ptr(), x.requires_grad


def cut(flat, shapes, case):
    """Tensors of these shapes that look into `flat`, so that a change of one shows, but where dtypes are mixed."""
    parts = flat.split([math.prod(shape) for shape in shapes]) if shapes else ()
    pairs = list(zip(parts, shapes, strict=True))
    if case["turned"]:
        return [part.view(shape[::-1]).permute(tuple(reversed(range(len(shape))))) for part, shape in pairs]
    whole = [part.view(shape) for part, shape in pairs]
    return [x.to(MIXED[i % len(MIXED)]) for i, x in enumerate(whole)] if case["mixed"] else whole


EXERCISE = Exercise(
    id="distributed.global_norm",
    title="Mend this code, the norm of all",
    parts={NORM: 1, SENT: 1},
    minutes=15,
    difficulty="core",
    importance=4,
    calls=("global_norm(comm, shards, replicated)",),
    cases=cases,
    probe=probe,
    tolerance={torch.float64: (1e-12, 0.0)},  # of a norm in float32, however it is rounded, seven digits are right
    laws=(
        READ,
        none(
            "apart",
            "{n:.0f} other ranks' norms are not rank 0's, to the last bit, and they would clip by another factor",
        ),
        TOO_LITTLE,
        at_most("sent", "enough", "a rank sends {n:.0f} numbers, and one all-reduce of one number sends {of:.0f}"),
        at_most("messages", "messages_enough", "a rank sends {n:.0f} messages, and one all-reduce is enough"),
    ),
)
