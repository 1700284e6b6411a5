"""ParallelMLP(comm, W1, b1, W2, b2): two layers of which each rank holds a part, as one process would compute them."""

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from coursekit.checking import probing
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.holding import Living, numbers_beside_tensors
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import SENDS, TOO_LITTLE, WATCHED, at_most, measured, on_each, traffic
from coursekit.exercises.distributed.global_norm import after
from coursekit.world import World

MLP = Shapes("X: T D, W1: F D, b1: F, W2: D F, b2: D, dY: T D", told="n T D F")
WEIGHTS = ("W1", "b1", "W2", "b2")


def cases(g):
    draw, double = MLP.cases(g), torch.float64

    def case(part, n, T, D, F, how="alone", **given):
        watched = part == "what is held and sent"
        note = ", ".join(filter(None, [given.pop("note", ""), TOLD[how]]))
        plain = {"n": n, "T": T, "D": D, "F": F, "how": how, "watched": watched}
        return draw(part, **plain, **given, upstream=part != "values", note=note)

    return [
        case("values", 2, 3, 4, 6),
        case("values", 4, 2, 3, 3, note="a rank without a row"),
        case("values", 1, 2, 3, 4),
        case("values", 2, 1, 1, 3, dtype=double),
        case("values", 3, 3, 4, 5, contiguous=False),
        case("values", 2, 3, 4, 5, how="two", dtype=double),
        case("gradients", 2, 3, 4, 6),
        case("gradients", 3, 4, 3, 7, how="kept", dtype=double),
        case("gradients", 5, 1, 2, 4, dtype=double, note="a rank without a row"),
        case("gradients", 5, 3, 2, 7, dtype=double),
        case("gradients", 1, 2, 3, 4, how="trained"),
        case("gradients", 2, 3, 4, 5, how="inside", dtype=double),
        case("gradients", 3, 2, 1, 5, how="trained", dtype=double),
        case("what is held and sent", 3, 4, 5, 10),
        case("what is held and sent", 4, 6, 5, 3, dtype=double, note="a rank without a row"),
    ]


TOLD = {
    "alone": "",
    "two": "two of them at once",
    "inside": "two layers with a sum past them",
    "trained": "after a step of training",
    "kept": "two gradients through one graph",
}


def probe(case, ParallelMLP):
    n = case["n"]
    world = World(n)
    found = world.run(lambda comm: on_a_rank(comm, world, ParallelMLP, case))
    outputs = {}
    for name in found[0]:
        if not name.startswith("_"):
            outputs |= on_each([of_rank[name] for of_rank in found], name)
    if not case["watched"]:
        return outputs
    worst = max(found, key=lambda of_rank: of_rank["_held"] - of_rank["_enough"])
    enough = COLLECTIVES * round(2 * (n - 1) / n * case["X"].numel())
    held = {"held": worst["_held"], "held_enough": worst["_enough"]}
    sent = after(world, [of_rank["_mark"] for of_rank in found])  # when the module was made
    return outputs | measured(case["X"], **traffic(sent, enough, messages=COLLECTIVES, least=n * enough), **held)


def on_a_rank(comm, world, make, case):
    """What is compared of one rank, by name; what is measured has an underscore before its name."""
    if case["watched"]:
        return watched(comm, world, make, case)
    module = built(comm, make, [case[name] for name in WEIGHTS])
    if "dY" in case:
        return USES[case["how"]](comm, make, module, case)
    found = {"Y": module(case["X"])}
    if case["how"] == "two":
        other = built(comm, make, [-case[name] for name in WEIGHTS])
        found = {"Y": module(case["X"]), "Y of the other": other(case["X"])}
    if case["X"].requires_grad:
        raise Wrong("gradients of the caller's X are asked for (requires_grad_): it stays as it is")
    return found


def built(comm, make, weights):
    module = make(comm, *weights)
    if not isinstance(module, nn.Module):
        raise Wrong(f"ParallelMLP makes a {type(module).__name__}, expected a module: derive it from nn.Module")
    if type(module).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, X)")
    return module


def alone(comm, make, module, case):
    return differentiated(comm, module, case, module)


def inside(comm, make, module, case):
    return differentiated(comm, module, case, lambda X: module((X + module(X)).sin()))


def trained(comm, make, module, case):
    """The same once more with other weights, which are not those that were given."""
    given = {name: case[name].clone() for name in WEIGHTS}
    other = built(comm, make, [case[name] for name in WEIGHTS])
    alone(comm, make, module, case)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.7)
    if changed := [name for name in WEIGHTS if not torch.equal(given[name], case[name])]:
        raise Wrong(
            f"when the module is trained, what was given changes as well ({', '.join(changed)}): a parameter is a "
            "copy, and no view"
        )
    with torch.no_grad():
        beside = other(case["X"])
    return alone(comm, make, module, case) | {"Y of another module of the same matrices, untrained": beside}


def kept(comm, make, module, case):
    return differentiated(comm, module, case, module, twice=True)


USES = {"alone": alone, "inside": inside, "trained": trained, "kept": kept}


def differentiated(comm, module, case, function, twice=False):
    X = case["X"].detach().requires_grad_()
    sources = {"X": X} | {name: parameter(module, name) for name in WEIGHTS}
    if more := [name for name, _ in module.named_parameters() if name not in WEIGHTS]:
        raise Wrong(f"the module has parameters that are not asked for: {', '.join(more)}")
    Y = probing.returned(function(X), "Y")
    if Y.shape != case["dY"].shape or not Y.requires_grad:
        probing.gradients(Y, sources, case["dY"])  # which says so
    ask = [*sources.values()]
    grads = torch.autograd.grad(Y, ask, case["dY"], retain_graph=twice, allow_unused=True)
    if missed := [name for name, grad in zip(sources, grads, strict=True) if grad is None]:
        raise Wrong(
            f"on rank {comm.rank} no gradient reaches {', '.join(missed)}: Y does not depend on it there, or the path "
            "is cut (detach, or comm's own all_reduce)"
        )
    found = {"Y": Y.detach()} | {f"d{name}": grad for name, grad in zip(sources, grads, strict=True)}
    if twice:
        more = torch.autograd.grad(Y, ask, case["dY"].flip(0))
        found |= {"dX of another dY": more[0], "dW1 of another dY": more[1]}
    return found


def parameter(module, name):
    if not hasattr(module, name):
        has = ", ".join(n for n, _ in module.named_parameters()) or "none"
        raise Wrong(f"the module has no parameter called {name!r}; it has {has}")
    return probing.trained(module, name)


def watched(comm, world, make, case):
    """What lives on of the matrices that were given, and what was made besides and is alive."""
    given = [case[name].clone() for name in WEIGHTS]
    memory = {x.untyped_storage()._cdata: (StorageWeakRef(x.untyped_storage()), x.numel()) for x in given}
    before_any = numbers_beside_tensors(comm, make)
    with Living(given) as alive:
        module = built(comm, make, given)
        alive.most = 0
        torch.empty(0)  # from here on it counts anew
    del given
    own = {x.untyped_storage()._cdata: x.untyped_storage() for x in probing.tensors_in(module)}
    seen = sum(storage.nbytes() for key, storage in own.items() if key not in memory) // case["X"].element_size()
    seen += numbers_beside_tensors(comm, module) - before_any
    held = max(alive.most, seen) + sum(numbers for ref, numbers in memory.values() if not ref.expired())
    rows = torch.tensor_split(torch.arange(case["F"]), comm.size)[comm.rank].numel()
    found = {name: parameter(module, name).detach().clone() for name in WEIGHTS}
    mark = sum(m.sender == comm.rank for m in world.messages)
    found |= alone(comm, make, module, case)
    module.eval()
    again = alone(comm, make, module, case)
    with torch.no_grad():
        found |= {"Y in eval()": again["Y"], "Y without gradients": module(case["X"])}
    return found | {"_mark": mark, "_held": held, "_enough": rows * (2 * case["D"] + 1) + case["D"]}


COLLECTIVES = 5  # of forward and backward twice, and of forward alone
CALLS = at_most(
    "messages",
    "messages_enough",
    "forward and backward twice, and forward once without gradients: a rank calls collectives (or sends) {n:.0f} "
    "times, where {of:.0f} would do",
    WATCHED,
)
HOLDS = at_most(
    "held",
    "held_enough",
    "when its module is made a rank keeps {n:.0f} numbers in memory, and its parts have {of:.0f} (an attribute keeps "
    "something, or a view all of what it looks into, or a function or a global name)",
    WATCHED,
)

EXERCISE = Exercise(
    id="distributed.parallel_mlp",
    title="A network cut in two directions",
    parts={"values": 1, "gradients": 1, "what is held and sent": 1},
    minutes=40,
    difficulty="core",
    importance=5,
    calls=("ParallelMLP(comm, W1, b1, W2, b2)",),
    cases=cases,
    probe=probe,
    laws=(HOLDS, CALLS, SENDS, TOO_LITTLE),
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5), torch.float64: (1e-10, 1e-10)},
)
