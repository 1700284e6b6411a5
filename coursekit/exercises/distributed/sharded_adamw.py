"""ShardedAdamW(comm, params, ...): AdamW on the mean gradient, of whose averages each rank keeps its part alone."""

import contextlib
import math

import torch
from torch import Tensor, nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.holding import Living, numbers_beside_tensors
from coursekit.checking.laws import none
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import TOO_LITTLE, WATCHED, apart, at_most, measured, on_each, traffic
from coursekit.world import World

HOLDING, PATH = "holding", "the result of each step"
SEVERAL = ([2, 3], [4])
# Dealt out by the number of tensors, in turns or in a row, some rank has far more than its share of the numbers.
UNEVEN = [[100] if i in (0, 1, 4) else [2, 3] for i in range(8)]
MANY, LONG = [[2, 4]] * 12, 12  # a third row of P / n numbers is more than two of the largest parameter
ONE_STEP = [0.7, 0.99]  # with 0.9 and 0.99 the two corrections of a first step cancel


def cases(g):
    double = torch.float64
    one, ten, held, sent = "one step", "ten steps", "what each rank holds", "what is sent"

    def case(part, n, shapes, steps=1, note="", dtype=torch.float32, layout=False, scale=1.0, zeros=False, **given):
        weights = {f"w{i}": normal(g, 1, *shape, dtype=dtype)[0] for i, shape in enumerate(shapes)}
        grads = {f"g{i}": scale * normal(g, n, steps, *shape, dtype=dtype) for i, shape in enumerate(shapes)}
        if zeros:  # in the second step all, and a number here and there
            for x in grads.values():
                x[:, 1], x.view(n, steps, -1)[:, 2::3, 0] = 0, 0
        # A gradient may lie in memory otherwise than its parameter does.
        apart = {k: x for k, x in (weights | grads).items() if layout and x.dim() > 1 and k != "g0"}
        tensors = weights | grads | {k: scattered(x) for k, x in apart.items()}
        settings = {"lr": 0.1, "betas": [0.9, 0.99], "eps": 0.05, "weight_decay": 0.0}
        settings |= {"betas": ONE_STEP} if part == one else {}
        switches = {"once": False, "three": False, "halved": False, "last": False, HOLDING: False, WATCHED: False}
        sizes = ", ".join("x".join(map(str, shape)) or "a scalar" for shape in shapes)
        words = [f"n={n}", *[f"parameters {sizes}"] * (len(shapes) < 5), note, *[dtype_name(dtype)] * (dtype == double)]
        plain = {"n": n, "count": len(shapes), "steps": steps}
        return Case(part, ", ".join(filter(None, words)), tensors | plain | switches | settings | given)

    return [
        case(one, 2, SEVERAL),
        case(one, 3, ([2, 2], [5], [1]), weight_decay=0.5),
        case(
            *(one, 5, ([3], [], [1, 2])),
            note="smaller than n, gradients near 1e-4, eps 1e-8",
            dtype=double,
            weight_decay=0.3,
            scale=1e-4,
            eps=1e-8,
        ),
        case(one, 2, ([3, 4], [4, 3]), note="not contiguous", dtype=double, layout=True, lr=0.3),
        case(one, 1, ([3, 2], []), weight_decay=0.3, eps=0.2),
        case(one, 2, ([3],), note="gradients near 1e60", scale=1e60, dtype=double),
        case(
            *(ten, 2, ([2, 2], []), 6),
            note="six steps, all gradients of step 2 are 0, and some of others",
            weight_decay=0.1,
            zeros=True,
        ),
        case(ten, 3, ([2],), 5, note="five steps, beta1 is 0", betas=[0.0, 0.8], dtype=double),
        case(
            *(ten, 2, ([5],), 4),
            note="three optimizers in turns, two of them with equal settings, params from iterators, four steps",
            weight_decay=0.1,
            three=True,
            once=True,
        ),
        case(ten, 2, ([3],), 3, note="somebody halves the parameters before each step, three steps", halved=True),
        case(ten, 1, ([1],), LONG, note=f"{LONG} steps", dtype=double, last=True),
        case(held, 4, UNEVEN, note="8 parameters, three of them large", holding=True),
        case(held, 2, MANY, 2, note="12 small parameters, two steps", holding=True, last=True),
        case(sent, 4, ([5, 4], [9], [3]), watched=True),
        case(sent, 3, ([31],), watched=True, dtype=double),
        case(sent, 2, ([8], [4]), 10, note="ten steps", watched=True, last=True),
    ]


def probe(case, ShardedAdamW):
    n, sizes = case["n"], [case[f"w{i}"].numel() for i in range(case["count"])]
    world = World(n)
    found = world.run(lambda comm: trained(comm, world, case, ShardedAdamW))
    share, largest = math.ceil(sum(sizes) / n), max(sizes)
    costs = {
        "held": max(held for _, held, _ in found),
        "held_enough": 2 * (share + largest) + len(sizes) + 8,
    }
    enough = 2 * (n - 1) * sum(math.ceil(size / n) for size in sizes)
    # Of each number all ranks but one send on what they have added up, and all but one have to be told the new one.
    costs |= traffic(world, enough, least=2 * (n - 1) * sum(sizes) * case["steps"])
    costs["sent"] = max(sent for _, _, sent in found)
    paths = [path for path, _, _ in found]
    start = torch.cat([case[f"w{i}"].flatten() for i in range(case["count"])])
    start = start / 2 if case["halved"] else start
    if all(torch.equal(path[0, : len(start)], start) for path in paths):
        raise Wrong(
            "step() changes none of the given parameters: write the new numbers into them, as p.copy_(...) does"
        )
    return on_each(paths, PATH) | measured(case["w0"], apart=apart(paths), **costs)


def trained(comm, world, case, ShardedAdamW):
    """On one rank: where its parameters stand after each step, what it holds then, and what its steps have sent."""
    with Kept(x for x in case.values() if isinstance(x, Tensor)) if case[HOLDING] else contextlib.nullcontext() as kept:
        before_any = numbers_beside_tensors(comm, ShardedAdamW)
        trials = [made(comm, case, ShardedAdamW, first) for first in (True, False, True)[: 3 if case["three"] else 1]]
        every = [p for _, params, _ in trials for p in params]
        path, held, sent = [], 0, 0
        for step in range(case["steps"]):
            before = len(messages(world, comm))
            if case["halved"]:
                with torch.no_grad():
                    for p in every:
                        p.mul_(0.5)
            for sign, params, optimizer in trials:
                for i, p in enumerate(params):
                    p.grad = sign * case[f"g{i}"][comm.rank, step].detach()
                optimizer.step()
                check(params, [case[f"w{i}"] for i in range(case["count"])])
                for p in params:
                    p.grad = None
            sent = max(sent, sum(m.numbers for m in messages(world, comm)[before:]))
            if not case["last"] or step == case["steps"] - 1:
                path.append(torch.cat([p.detach().flatten() for p in every]))
            if kept:
                beside = numbers_beside_tensors(comm, *(optimizer for _, _, optimizer in trials)) - before_any
                held = max(held, kept.beside([*every, *path]) + beside)
    return torch.stack(path), held, sent


def made(comm, case, ShardedAdamW, first):
    """The sign of its gradients, parameters and an optimizer; the second one has other settings."""
    params = [nn.Parameter((1 if first else -1) * case[f"w{i}"].detach()) for i in range(case["count"])]
    betas = case["betas"] if first else [beta / 2 for beta in case["betas"]]
    settings = (case["lr"], tuple(betas), case["eps"], case["weight_decay"])
    if not first:
        settings = (case["lr"] / 2, tuple(betas), 4 * case["eps"], case["weight_decay"] + 0.2)
    given = [*params]
    optimizer = ShardedAdamW(comm, iter(params) if case["once"] else given, *settings)
    if [*map(id, given)] != [*map(id, params)]:
        raise Wrong("the list that is handed in as `params` is in another order afterwards: make a list of your own")
    return (1 if first else -0.5), params, optimizer


def messages(world, comm):
    return [m for m in world.messages if m.sender == comm.rank]


def check(params, weights):
    for p, weight in zip(params, weights, strict=True):
        if p.shape != weight.shape:
            raise Wrong(f"a parameter of shape {tuple(weight.shape)} has shape {tuple(p.shape)} after step()")
        if not p.requires_grad or p.grad_fn is not None:
            raise Wrong("a parameter is frozen after step(), or has a graph: a step is no part of one (no_grad)")


class Kept(Living):
    """Which of the numbers that were made inside something refers to still."""

    def beside(self, aside):
        """How many, those of `aside` not counted."""
        known = {x.untyped_storage()._cdata for x in aside}
        self._held = {key: held for key, held in self._held.items() if key not in known}
        return self.now


EXERCISE = Exercise(
    id="distributed.sharded_adamw",
    title="AdamW in shards",
    parts={"one step": 1, "ten steps": 1, "what each rank holds": 1, "what is sent": 1},
    minutes=50,
    difficulty="core",
    importance=5,
    calls=("ShardedAdamW(comm, params, lr, betas, eps, weight_decay)",),
    cases=cases,
    probe=probe,
    laws=(
        none("apart", "ranks that hold other parameters than rank 0 after step(): {n:.0f}"),
        at_most(
            *("held", "held_enough"),
            "a rank holds {n:.0f} numbers beside parameters and gradients, and {of:.0f} are enough",
            HOLDING,
        ),
        at_most("sent", "enough", "in a step a rank sends {n:.0f} numbers, and {of:.0f} are enough"),
        TOO_LITTLE,
    ),
    # Ten steps add up their rounding, and the order of sums is free. In float64 a step in float32 has to show.
    tolerance={torch.float32: (1e-4, 2e-5), torch.float64: (1e-10, 1e-11)},
)
