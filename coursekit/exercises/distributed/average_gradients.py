"""average_gradients(comm, model, tokens): p.grad on each rank is the gradient of the mean over all ranks' tokens."""

import math

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.laws import none
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import READ, SENDS, TOO_LITTLE, measured, traffic
from coursekit.world import World, network

SMALL = {"body.weight": (2, 3), "scale": ()}
MORE = {"embed.weight": (3, 2), "body.up.weight": (1, 2), "scale": ()}
LARGE = {"embed.weight": (12, 5), "body.up.weight": (7, 6), "scale": (), "frozen.weight": (8, 10)}
WITH_FROZEN = {"embed.weight": (3, 2), "frozen.weight": (2, 2), "body.up.weight": (1, 2), "scale": ()}
ALIKE = {"first.weight": (2, 2), "second.weight": (2, 2)}
A_FEW = 4  # numbers beside the gradients, for each parameter
STEPS = ["", ", second step", ", third step"]
HUGE = 1e60  # float32 ends far below

MEAN, SPECIAL, NONE = "the mean over all tokens", "parameters that are special", "no tokens, no hang, no waste"


def cases(g):
    double = torch.float64

    def case(part, tokens, note="", shapes=SMALL, dtype=torch.float32, scale=1.0, **given):
        n = len(tokens)
        grads = {name: scale * normal(g, n, *shape, dtype=dtype) for name, shape in shapes.items()}
        words = [f"tokens {', '.join(map(str, tokens))}", note, dtype_name(dtype) if dtype == double else ""]
        plain = {
            "names": list(shapes),
            "tokens": tokens,
            "missing": {},  # by name, the ranks on which a parameter has no gradient
            "empty": {},  # by rank, what stands in p.grad there
            "broken": [],  # ranks on which an entry is NaN, and the last one of several infinite, and which have tokens
            "tied": {},
            "frozen": [],
            "old": [],  # what is frozen and has a gradient of earlier
            "wide": [],  # of float64, with huge gradients
            "turned": [],  # transposes
            "later": [],  # further steps: what is another one there
            "anew": False,  # a step with another model
            "watched": False,
        }
        return Case(part, ", ".join(filter(None, words)), grads | plain | given)

    def some(n, high=12):
        return [int(t) for t in torch.randint(1, high, (n,), generator=g)]

    tied = {"head.weight": "embed.weight"}
    return [
        case(MEAN, [1, 9]),
        case(MEAN, [2_000_003, *some(1), 700_001], "numbers near 1e60", MORE, dtype=double, scale=1e60),
        case(MEAN, [50, 1, 1, 1, 1]),
        case(MEAN, some(1)),
        case(
            *(MEAN, [2, 7], "a step with other tokens on rank 1, and one with another model"),
            later=[{"tokens": [2, 4]}, {"tokens": [9, 5], "anew": True}],
        ),
        case(SPECIAL, [5, *some(1)], "rank 1 has not used body.weight", missing={"body.weight": [1]}),
        case(
            *(SPECIAL, [2, 7], "rank 0 has not used scale, body.weight is a transpose"),
            dtype=double,
            missing={"scale": [0]},
            turned=["body.weight"],
        ),
        case(
            *(SPECIAL, [6, 2], "each rank has used another one of two alike", ALIKE),
            missing={"first.weight": [1], "second.weight": [0]},
        ),
        case(SPECIAL, [1, *some(1)], "one Parameter under two names", MORE, tied=tied),
        case(
            *(SPECIAL, [3, 5], "embed.weight is frozen, and in another step scale, with an old gradient", MORE),
            frozen=["embed.weight"],
            later=[{"frozen": ["scale"], "old": ["scale"]}],
        ),
        case(
            *(SPECIAL, [4, 3], "nobody has used body.weight, and in another step rank 0 has"),
            dtype=double,
            missing={"body.weight": [0, 1]},
            later=[{"tokens": [6, 2], "missing": {"body.weight": [1]}}],
        ),
        case(
            *(SPECIAL, [5, 1, *some(2)], "all of this at once, and embed.weight is of float64, near 1e60", WITH_FROZEN),
            missing={"scale": [0, 3], "embed.weight": [2]},
            frozen=["frozen.weight"],
            tied=tied,
            wide=["embed.weight"],
        ),
        case(NONE, [0, 4], "no gradients where there are none", dtype=double, empty={"0": "none"}),
        case(NONE, [2, 0, 5], "NaN where there are none", empty={"1": "nan"}),
        case(NONE, [0, 3, 0], "infinite or any numbers where there are none", empty={"0": "inf", "2": "any"}),
        case(
            *(NONE, [3, 0], "body.weight is used where there are none, and nowhere else"),
            missing={"body.weight": [0]},
            empty={"1": "nan"},
        ),
        case(NONE, [4, 0, 1], "entries are NaN or infinite on rank 2", dtype=double, empty={"1": "any"}, broken=[2]),
        case(NONE, [7, 2, 1, *some(2)], "what is sent", LARGE, frozen=["frozen.weight"], tied=tied, watched=True),
        case(
            *(NONE, [6, 0, *some(1)], "what is sent, NaN on rank 2, frozen.weight has an old gradient", LARGE),
            missing={"body.up.weight": [0]},
            empty={"1": "nan"},
            broken=[2],
            frozen=["frozen.weight"],
            old=["frozen.weight"],
            dtype=double,
            watched=True,
        ),
    ]


def probe(case, average_gradients):
    """The last rank's gradients, which those of all others have to equal, after each step."""
    n = len(case["tokens"])
    world = World(n)

    def program(comm):
        model, found = built(case, comm.rank), {}
        for step, other in enumerate([{}, *case["later"]]):
            now = case | other
            model = built(case, comm.rank) if now["anew"] else model
            for name, p in model.named_parameters():
                p.requires_grad_(name not in now["frozen"])
                p.grad = given(now, name, comm.rank, step)
            before = looked_at(model)
            average_gradients(comm, model, now["tokens"][comm.rank])
            as_it_was(model, before)
            found |= {f"{name}.grad{STEPS[step]}": left(now, name, p, comm.rank, step) for name, p in trained(model)}
        return found

    *others, last = world.run(program)
    unlike = sum(not all(map(equal, last.values(), other.values())) for other in others)
    like = case[case["names"][0]]
    sizes = [case[name][0].numel() for name in case["names"] if name not in case["frozen"]]
    enough = network.all_reduce(n, sum(sizes) + A_FEW * len(sizes)).numbers
    costs = traffic(world, math.ceil(enough), least=(n - 1) * sum(sizes))  # each other one has to hear of each number
    return {f"{name} on rank {n - 1}": x for name, x in last.items()} | measured(like, unlike=unlike, **costs)


def built(case, rank):
    """The model: parameters by their names, one of them perhaps under two, two buffers, one child not in training.

    No module has a bias, as nn.Linear(..., bias=False).
    """
    model = nn.Module()
    model.register_buffer("calls", torch.tensor(3))
    model.register_buffer("running_mean", torch.tensor([0.25, 1.5]) + rank)
    for name in [*case["names"], *case["tied"]]:
        *path, leaf = name.split(".")
        where = model
        for part in path:
            if not hasattr(where, part):
                child = nn.Module()
                child.register_parameter("bias", None)
                where.add_module(part, child)
            where = where.get_submodule(part)
        twin = case["tied"].get(name)
        if twin:
            setattr(where, leaf, model.get_parameter(twin))
            continue
        setattr(where, leaf, nn.Parameter(laid_out(case, name, torch.full_like(case[name][0], 0.5))))
    for child in [*model.children()][:1]:
        child.eval()
    return model


def laid_out(case, name, x):
    """A copy of x in the dtype and layout of that parameter."""
    x = x.to(torch.float64 if name in case["wide"] else x.dtype)
    return x.mT.contiguous().mT if name in case["turned"] else x.clone()


def trained(model):
    return [(name, p) for name, p in model.named_parameters() if p.requires_grad]


def given(case, name, rank, step):
    """A gradient as backward has left it, in each step another one."""
    kind = case["empty"].get(str(rank), "any")
    old = name in case["old"]
    if not old and (rank in case["missing"].get(name, []) or name in case["frozen"] or kind == "none"):
        return None
    grad = laid_out(case, name, case[name][(rank + step) % len(case["tokens"])])
    if name in case["wide"]:
        grad *= HUGE
    if old:
        return grad
    if not case["tokens"][rank] and kind != "any":
        grad.fill_(float(kind))
    if rank in case["broken"]:
        grad[(-1,) * grad.dim()] = math.inf
        grad[(0,) * grad.dim()] = math.nan
    return grad


def left(case, name, p, rank, step):
    """What stands in p.grad afterwards; zeros for a gradient that nobody has and that stays None."""
    if p.grad is not None:
        return p.grad.detach() / (HUGE if name in case["wide"] else 1)
    users = [r for r, t in enumerate(case["tokens"]) if t and given(case, name, r, step) is not None]
    if users:
        raise Wrong(f"{name} has no gradient on rank {rank}, and rank {users[0]} has used it: every rank is to get it")
    return torch.zeros_like(p).detach()


def looked_at(model):
    """What a model holds besides gradients that are asked for."""
    named = [*model.named_parameters()]
    return {
        "parameters": {name: (p, p.detach().clone(), p.requires_grad) for name, p in named},
        "old": {name: p.grad.clone() for name, p in named if p.grad is not None and not p.requires_grad},
        "hooks": [*(hooks_of(p) for _, p in named), *map(hooks_of, model.modules())],
        "buffers": {name: x.clone() for name, x in model.named_buffers()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "names": [*model.state_dict()],
    }


def hooks_of(x):
    """How many a parameter or a module has."""
    held = (x._backward_hooks, x._post_accumulate_grad_hooks) if isinstance(x, nn.Parameter) else vars(x).items()
    if isinstance(x, nn.Module):
        held = (hooks for name, hooks in held if name.endswith("_hooks"))
    return sum(map(len, filter(None, held)))


def as_it_was(model, before):
    """Raises Wrong where something besides gradients has changed."""
    now = looked_at(model)
    for name, (p, value, trains) in before["parameters"].items():
        q, found, trained_now = now["parameters"].get(name, (None, None, trains))
        if trained_now != trains:
            raise Wrong(f"requires_grad of {name} is another one afterwards: only p.grad may change")
        if q is not p or not torch.equal(found, value):
            raise Wrong(f"the parameter {name} is another one afterwards, or has other numbers: only p.grad may change")
        old, grad = before["old"].get(name), now["old"].get(name)
        if old is None and grad is not None:
            raise Wrong(f"{name} is frozen, and has a gradient afterwards: an optimiser would move it")
        if old is not None and (grad is None or not equal(old, grad)):
            raise Wrong(f"{name} is frozen, and its p.grad is another one afterwards: leave alone what is frozen")
    if now["hooks"] != before["hooks"]:
        raise Wrong(
            "a hook is left on a parameter or a module, and runs in the steps after this one: only p.grad may change"
        )
    if [*now["buffers"]] != [*before["buffers"]] or now["names"] != before["names"]:
        raise Wrong("a parameter or a buffer of the model is new afterwards, or gone: only p.grad may change")
    if not all(torch.equal(x, now["buffers"][name]) for name, x in before["buffers"].items()):
        raise Wrong("a buffer of the model is changed: only p.grad may change")
    if now["modes"] != before["modes"]:
        raise Wrong("a module is in another mode afterwards (`training`): only p.grad may change")


def equal(one, other):
    """To the bit, where NaN is NaN."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one, other) or not bool(((one != other) & (one == one)).any())


EXERCISE = Exercise(
    id="distributed.average_gradients",
    title="Mend this code, one gradient of all",
    parts={MEAN: 1, SPECIAL: 1, NONE: 1},
    minutes=35,
    difficulty="core",
    importance=5,
    calls=("average_gradients(comm, model, tokens)",),
    cases=cases,
    probe=probe,
    laws=(
        READ,
        none(
            "unlike",
            "{n:.0f} other ranks' gradients are not the last one's: they have to be the same, to the last bit",
        ),
        TOO_LITTLE,
        SENDS,
    ),
)
