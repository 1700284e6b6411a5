"""Copy, Sum, Gather: collectives through which gradients flow."""

import re

import torch

from coursekit.checking import probing
from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import SENDS, TOO_LITTLE, WATCHED, at_most, measured, on_each, traffic
from coursekit.world import World

NAMES = ("Copy", "Sum", "Gather")
TOLD = {
    "once": "",
    "twice": "twice inside of a longer computation",
    "groups": "two groups of ranks in one graph",
    "grid": "a sum over two ranks, and one over two others",
}


def cases(g):
    double = torch.float64

    def case(name, n, shape, dtype=torch.float32, how="once", above="", watched=False):
        """`above` says how the gradient from above lies in memory."""
        result = (n, *shape) if name == "Gather" else shape
        if above == "expanded":
            result = (*result[:-1], 1)  # one number for each row, which the probe repeats
        X = drawn(g, dtype, *(() if name == "Copy" else (n,)), *shape)
        dY = drawn(g, dtype, *(() if name == "Sum" else (n,)), *result)
        dY = scattered(dY) if above == "turned" else dY
        words = [f"n={n}, x of shape {tuple(shape)}", dtype_name(dtype) if dtype == double else "", TOLD[how]]
        words += ["a gradient in another layout" if above else "", "what is sent" if watched else ""]
        plain = {"call": name, "n": n, "how": how, "above": above, "watched": watched}
        return Case(name, ", ".join(filter(None, words)), {"X": X, "dY": dY} | plain)

    def all_of(name):
        # All ranks have one loss behind Sum, so it is summed in rows of ranks and then in columns.
        groups = [case(name, 4, (3,), double, "grid" if name == "Sum" else "groups")]
        return [
            case(name, 3, (2,)),
            case(name, 3, (2, 3), double, above="turned"),
            case(name, 2, (), double),
            case(name, 5, (1, 2)),
            case(name, 1, (3,)),
            case(name, 2, (2, 4), double, "twice", above="expanded"),
            *groups,
            case(name, 4, (10,), watched=True),
        ]

    return [case for name in NAMES for case in all_of(name)]


def drawn(g, dtype, *shape):
    return normal(g, 1, *shape, dtype=dtype)[0]


def probe(case, *classes):
    name, n = case["call"], case["n"]
    function = checked(name, classes[NAMES.index(name)])
    X = [case["X"]] * n if name == "Copy" else list(case["X"])
    dY = [case["dY"]] * n if name == "Sum" else list(case["dY"])
    world = World(n)
    try:
        found = world.run(lambda comm, x, upstream: on_a_rank(comm, function.apply, case, x, upstream), X, dY)
    except RuntimeError as error:  # torch's own words, but for the name of the class
        if said := re.search(r"returned an (incorrect number of|invalid) gradient.*", str(error)):
            raise Wrong(
                f"{name}'s backward has to return a tuple with a value for each argument of forward; torch says it "
                f"{said[0]!s}"
            ) from error
        raise
    results, gradients = zip(*found, strict=True)
    outputs = on_each(results, "y") | on_each(gradients, "dx")
    return outputs | (measured(case["X"], **costs(world, case)) if case["watched"] else {})


def checked(name, function):
    """A class with an `apply` that records. Raises Wrong."""
    if isinstance(function, type) and issubclass(function, torch.autograd.Function):
        return function
    try:
        function(None, None)
    except NotImplementedError:
        raise  # a cell that is not written yet
    except Exception:
        pass  # told below
    raise Wrong(f"{name} is no torch.autograd.Function: derive the class from it, and it has an `apply`")


def on_a_rank(comm, apply, case, x, upstream):
    """What is compared of one rank: a result, and the gradient of sum(result * upstream) for x."""
    x = x.detach().requires_grad_()  # in the memory of what was drawn: a change in place shows
    result = USES[case["how"]](lambda x, comm: probing.returned(apply(x, comm), "y"), x, comm)
    if case["above"] == "expanded":
        upstream = upstream.expand(*upstream.shape[:-1], result.shape[-1] if result.dim() else 1)
    return result.detach(), probing.gradients(result, {"x": x}, upstream)["dx"]


def twice(apply, x, comm):
    return apply(x.sin() * x, comm) + apply(2 * x, comm).sin()


def in_groups(apply, x, comm):
    """Among all ranks, and among the even or the odd ones; of rows that are gathered there, the sum goes on."""
    group = comm.split(range(comm.rank % 2, comm.size, 2))
    everybody = apply(x, comm)
    apply(x.cos(), group)  # of which nobody asks a gradient
    return everybody + apply(x.sin(), group).reshape(-1, *x.shape).sum(0)


def in_a_grid(apply, x, comm):
    """Two by two ranks: the sum of the row, and of these the sum of the column."""
    row, column = divmod(comm.rank, 2)
    along = apply(x, comm.split([2 * row, 2 * row + 1]))
    return apply(along.sin(), comm.split([column, column + 2]))


USES = {
    "grid": in_a_grid,
    "once": lambda apply, x, comm: apply(x, comm),
    "twice": twice,
    "groups": in_groups,
}


def costs(world, case):
    n, numbers = case["n"], case["X"].numel() // (1 if case["call"] == "Copy" else case["n"])
    gather = case["call"] == "Gather"
    enough = 2 * (n - 1) * numbers if gather else round(2 * (n - 1) / n * numbers)
    return traffic(world, enough, messages=2 if gather else 1, least=n * enough)


CALLS = at_most(
    "messages",
    "messages_enough",
    "forward and backward together, a rank calls collectives (or sends) {n:.0f} times, where {of:.0f} would do",
    WATCHED,
)

EXERCISE = Exercise(
    id="distributed.gradients",
    title="Gradients across ranks",
    parts=dict.fromkeys(NAMES, 1),
    minutes=35,
    difficulty="core",
    importance=4,
    calls=("Copy(x, comm)", "Sum(x, comm)", "Gather(x, comm)"),
    cases=cases,
    probe=probe,
    laws=(CALLS, SENDS, TOO_LITTLE),
    ordered=False,
    # Sums of a few numbers: what was rounded to float32 on its way is no such sum.
    tolerance={torch.float64: (1e-12, 1e-12)},
)
