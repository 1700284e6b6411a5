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
from coursekit.exercises.distributed.gradients import CALLS
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
        case("values", 3, 4, 3, 7, dtype=double),
        case("values", 4, 2, 3, 3, note="a rank without a row"),
        case("values", 1, 2, 3, 4),
        case("values", 2, 1, 1, 3, dtype=double),
        case("values", 3, 3, 4, 5, contiguous=False),
        case("values", 2, 3, 4, 5, how="two", dtype=double),
        case("gradients", 2, 3, 4, 6),
        case("gradients", 3, 4, 3, 7, dtype=double),
        case("gradients", 5, 1, 2, 4, dtype=double, note="a rank without a row"),
        case("gradients", 5, 3, 2, 7, dtype=double),
        case("gradients", 1, 2, 3, 4),
        case("gradients", 2, 3, 4, 5, how="inside", dtype=double),
        case("gradients", 3, 2, 3, 5, how="trained", dtype=double),
        case("what is held and sent", 3, 4, 5, 10),
        case("what is held and sent", 4, 6, 5, 8, dtype=double),
    ]


TOLD = {
    "alone": "",
    "two": "two of them at once",
    "inside": "two layers with a sum past them",
    "trained": "after a step of training",
}


def probe(case, ParallelMLP):
    n = case["n"]
    world = World(n)
    found = world.run(lambda comm: on_a_rank(comm, ParallelMLP, case))
    outputs = {}
    for name in found[0]:
        if not name.startswith("_"):
            outputs |= on_each([of_rank[name] for of_rank in found], name)
    if not case["watched"]:
        return outputs
    worst = max(found, key=lambda of_rank: of_rank["_held"] - of_rank["_enough"])
    enough = 2 * round(2 * (n - 1) / n * case["X"].numel())
    held = {"held": worst["_held"], "held_enough": worst["_enough"]}
    return outputs | measured(case["X"], **traffic(world, enough, messages=2, least=n * enough), **held)


def on_a_rank(comm, make, case):
    """What is compared of one rank, by name; what is measured has an underscore before its name."""
    if case["watched"]:
        return watched(comm, make, case)
    module = built(comm, make, [case[name] for name in WEIGHTS])
    if "dY" in case:
        return USES[case["how"]](comm, module, case)
    if case["how"] == "two":
        other = built(comm, make, [-case[name] for name in WEIGHTS])
        return {"Y": module(case["X"]), "Y of the other": other(case["X"])}
    return {"Y": module(case["X"])}


def built(comm, make, weights):
    module = make(comm, *weights)
    if not isinstance(module, nn.Module):
        raise Wrong(f"ParallelMLP makes a {type(module).__name__}, expected a module: derive it from nn.Module")
    if type(module).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, X)")
    return module


def alone(comm, module, case):
    return differentiated(comm, module, case, module)


def inside(comm, module, case):
    return differentiated(comm, module, case, lambda X: module((X + module(X)).sin()))


def trained(comm, module, case):
    """The same once more with other weights, which are not those that were given."""
    given = {name: case[name].clone() for name in WEIGHTS}
    alone(comm, module, case)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.7)
    if changed := [name for name in WEIGHTS if not torch.equal(given[name], case[name])]:
        raise Wrong(
            f"when the module is trained, what was given changes as well ({', '.join(changed)}): a parameter is a "
            "copy, and no view"
        )
    return alone(comm, module, case)


USES = {"alone": alone, "inside": inside, "trained": trained}


def differentiated(comm, module, case, function):
    X = case["X"].detach().requires_grad_()
    sources = {"X": X} | {name: parameter(module, name) for name in WEIGHTS}
    if more := [name for name, _ in module.named_parameters() if name not in WEIGHTS]:
        raise Wrong(f"the module has parameters that are not asked for: {', '.join(more)}")
    Y = probing.returned(function(X), "Y")
    if Y.shape != case["dY"].shape or not Y.requires_grad:
        probing.gradients(Y, sources, case["dY"])  # which says so
    grads = torch.autograd.grad(Y, [*sources.values()], case["dY"], allow_unused=True)
    if missed := [name for name, grad in zip(sources, grads, strict=True) if grad is None]:
        raise Wrong(
            f"on rank {comm.rank} no gradient reaches {', '.join(missed)}: Y does not depend on it there, or the path "
            "is cut (detach, or comm's own all_reduce)"
        )
    return {"Y": Y.detach()} | {f"d{name}": grad for name, grad in zip(sources, grads, strict=True)}


def parameter(module, name):
    if not hasattr(module, name):
        has = ", ".join(n for n, _ in module.named_parameters()) or "none"
        raise Wrong(f"the module has no parameter called {name!r}; it has {has}")
    return probing.trained(module, name)


def watched(comm, make, case):
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
    return found | alone(comm, module, case) | {"_held": held, "_enough": rows * (2 * case["D"] + 1) + case["D"]}


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
