"""ShardedLinear(comm, weight, bias): a layer of which each rank keeps a piece, and whole only while it is used."""

import math

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.holding import Living, numbers_beside_tensors
from coursekit.checking.laws import Count, none
from coursekit.checking.probing import Wrong, returned, trained
from coursekit.checking.ranks import SENDS, WATCHED, at_most, measured, on_each, traffic
from coursekit.world import World

LAYERS = Shapes("X: n B D, weight: L F D, bias: L F, U: n B F", told="n B D F L")  # U: the gradient of Y
PLAIN = {
    "L": 1,  # layers, one after the other
    "backward": True,
    "frozen": 0,  # on so many ranks, the last ones, X needs no gradient
    "residual": False,  # X is added to Y before the loss
    "calls": 1,  # of the layers before each backward
    "rounds": 1,  # of forward and backward, with an optimiser's step between
    "ragged": False,  # rank r has fewer rows than rank 0
    "dims": 2,  # of X: with more than two it lies in memory in another order
    "inference": False,  # in eval(), and without gradients
    "beside": False,  # another layer of another size is made and called meanwhile
    "memory": False,  # what is alive counts
    WATCHED: False,  # what is sent counts
}

AFTERWARDS = "in eval() and no_grad(), once more when shards have changed"


def cases(g):
    double = torch.float64

    def case(part, n, B, D, F, **given):
        return LAYERS.cases(g)(part, n=n, B=B, D=D, F=F, **(PLAIN | given))

    def forward(*sizes, **given):
        return case("forward", *sizes, backward=False, **given)

    return [
        forward(3, 4, 4, 4),
        forward(4, 3, 1, 1, dtype=double),
        forward(2, 2, 3, 2, dtype=double, inference=True, rounds=2, note=AFTERWARDS),
        case("gradients", 3, 4, 5, 4),
        case("gradients", 3, 2, 3, 5, dtype=double, ragged=True, note="another B on each rank, 0 on rank 2"),
        case("gradients", 2, 2, 4, 2, frozen=2, note="X needs no gradient"),
        case("gradients", 2, 2, 2, 3, frozen=1, note="X needs a gradient on rank 0 alone"),
        case("gradients", 1, 6, 3, 4, dims=3, dtype=double, note="X (3, 2, 3)"),
        case("gradients", 2, 6, 3, 4, dims=4, note="X (1, 3, 2, 3)"),
        case("gradients", 2, 3, 4, 3, calls=2, dtype=double, note="called twice, then one backward"),
        case("gradients", 2, 3, 3, 5, rounds=2, dtype=double, note="backward twice, with a step between"),
        case("gradients", 2, 2, 4, 4, L=2, beside=True, residual=True, note="loss of Y + X, another layer beside"),
        case("what is alive", 3, 1, 24, 24, L=4, memory=True, dtype=double),
        case("what is alive", 3, 8, 24, 24, memory=True, dtype=double),
        case("what is sent", 4, 3, 6, 5, watched=True),
        case("what is sent", 2, 2, 6, 6, watched=True, dtype=double, rounds=2, note="forward and backward twice"),
        case("what is sent", 2, 2, 4, 3, backward=False, inference=True, rounds=2, watched=True, note=AFTERWARDS),
    ]


def probe(case, ShardedLinear):
    n, world = case["n"], World(case["n"])
    rows = [case["B"] - (rank % 3 if case["ragged"] else 0) for rank in range(n)]
    given = [[x[:b] for x, b in zip(case[name], rows, strict=True)] for name in ("X", "U")]

    def program(comm, X, U):
        run = in_memory if case["memory"] else in_turn
        return run(comm, ShardedLinear, case, X, U)

    results = world.run(program, *given)
    found = {}
    for name in results[0][0]:
        found |= on_each([outputs[name] for outputs, _ in results], name)
    costs = {key: max(costs[key] for _, costs in results) for key in results[0][1]}  # what is enough is so for all
    if case[WATCHED]:
        P, calls = case["F"] * (case["D"] + 1), case["L"] * case["rounds"]
        ways = (3 if case["backward"] else 1) * (n - 1) * calls
        costs |= traffic(world, ways * math.ceil(P / n)) | {"least": math.floor(ways * P / n)}
        reduced = sum(m.numbers for m in world.messages if m.sender == 0 and m.kind == "all_reduce")
        # A few numbers, such as lengths, are no gradient.
        costs["reduced"] = reduced if reduced >= calls * P * (n - 1) / n else 0
    return found | measured(case["X"], **costs)


def in_turn(comm, ShardedLinear, case, X, U):
    """One rank's rounds of forward and backward: its outputs, and nothing measured."""
    layers = [made(ShardedLinear, comm, W, b) for W, b in zip(case["weight"], case["bias"], strict=True)]
    found = {f"shard{i}": layer.shard.detach().clone() for i, layer in numbered(layers)}
    frozen = comm.rank >= comm.size - case["frozen"]
    X = X.detach() if frozen else X.clone().requires_grad_()
    for layer in layers:
        layer.train(not case["inference"])
    if case["beside"]:
        other = made(ShardedLinear, comm, case["weight"][0, 1:, :2].contiguous(), case["bias"][0, 1:])
    for turn in range(case["rounds"]):
        of_round = label("round", turn, case["rounds"])
        with torch.set_grad_enabled(not case["inference"]):
            results = [through(layers, shaped(case, (1 + call) * X if call else X)) for call in range(case["calls"])]
        if frozen and X.requires_grad:
            raise Wrong("the X that was handed in needs a gradient afterwards: requires_grad_() acts in place")
        for call, Y in enumerate(results):
            found[f"Y{label('call', call, case['calls'])}{of_round}"] = Y.detach().clone()
        if case["beside"]:
            through([other], X.detach()[:, :2])
        if case["backward"]:
            ends = [matched(Y, shaped(case, U)) + (X if case["residual"] else 0) for Y in results]
            sum((end * shaped(case, U)).sum() for end in ends).backward()
            found |= gradients(layers, X, frozen, of_round)
            if case["frozen"] == 1:  # each rank has outputs of the same names
                found.pop("X.grad", None)
        with torch.no_grad():  # a step of an optimiser
            for layer in layers:
                layer.shard.sub_(0.1 * layer.shard.grad if case["backward"] else 0.3 * layer.shard**2)
    return found, {}


def shaped(case, x):
    """Rows of x as they are, or in more dimensions, in another order in memory."""
    deep = x if case["dims"] == 2 else x.unflatten(0, (2, -1)).transpose(0, 1)
    return deep[None] if case["dims"] == 4 else deep


def in_memory(comm, ShardedLinear, case, X, U):
    """The same, once, and what is alive."""
    pairs = [(W.clone(), b.clone()) for W, b in zip(case["weight"], case["bias"], strict=True)]
    whole = [(StorageWeakRef(x.untyped_storage()), x.numel()) for pair in pairs for x in pair]
    X = X.clone().requires_grad_()
    before_any = numbers_beside_tensors(comm, ShardedLinear)
    alive = Alive([X, U, *(x for pair in pairs for x in pair)])
    with alive:
        layers = [made(ShardedLinear, comm, *pair) for pair in pairs]
        pairs.clear()  # nobody else holds them
        held = alive.begin([X, U]) + sum(numbers for storage, numbers in whole if not storage.expired())
        held += numbers_beside_tensors(comm, *layers) - before_any
        start = alive.begin([X, U])
        Y = through(layers, X)
        forward, kept = alive.most - start, alive.now - start
        start = alive.begin([X, U])
        (matched(Y, U) * U).sum().backward()
        backward, left = alive.most - start, alive.now
    kept += (beside := numbers_beside_tensors(comm, *layers) - before_any)
    left += beside
    found = {"Y": Y.detach()} | gradients(layers, X, False, "")
    # The sums alone: for what they are there are other cases.
    found = {f"the sum of {name}": x.sum() for name, x in found.items()}
    L, part = case["L"], math.ceil(case["F"] * (case["D"] + 1) / comm.size)
    passing = 2 * L * case["B"] * (case["D"] + case["F"]) + 64  # what goes in and comes out, and a copy of it
    return found, {
        "held": held,
        "held_enough": L * part + 16,
        "kept": kept,
        "kept_enough": passing,
        "forward": forward,
        "forward_enough": 2 * comm.size * part + passing,
        "backward": backward,
        "backward_enough": 4 * comm.size * part + (L + 1) * part + passing,
        "left": left,
        "left_enough": 2 * L * part + passing,
    }


class Alive(Living):
    """Living, in sections."""

    def begin(self, given) -> int:
        """What is alive at the beginning of a section. Of what was there before, `given` is left."""
        self._given = {x.untyped_storage()._cdata: StorageWeakRef(x.untyped_storage()) for x in given}
        self.most = self.now
        return self.most


def made(ShardedLinear, comm, weight, bias):
    """A layer whose only parameter is its shard. Raises Wrong."""
    layer = ShardedLinear(comm, weight, bias)
    if not isinstance(layer, nn.Module):
        raise Wrong(f"the class makes a {type(layer).__name__}, expected a torch.nn.Module: derive it from nn.Module")
    if not isinstance(getattr(layer, "shard", None), torch.Tensor):
        raise Wrong(
            f"the module has no tensor called shard; it has {', '.join(dict(layer.named_parameters())) or 'none'}"
        )
    trained(layer, "shard")
    if others := [name for name, _ in layer.named_parameters() if name != "shard"]:
        raise Wrong(f"the module has other parameters than its shard: {', '.join(others)}")
    return layer


def through(layers, X):
    for layer in layers:
        X = returned(layer(X), "Y")
    return X


def matched(Y, U):
    """Y where a gradient can come back to it. Raises Wrong."""
    if Y.shape != U.shape:
        raise Wrong(f"Y has shape {tuple(Y.shape)}, expected {tuple(U.shape)}")
    if not Y.requires_grad and torch.is_grad_enabled():
        raise Wrong("no gradient can flow back from Y: messages carry none, so your Function has to send it back")
    return Y


def gradients(layers, X, frozen, turn):
    """Those of the shards, and of X. Raises Wrong where one is missing."""
    if missing := [i for i, layer in numbered(layers) if layer.shard.grad is None]:
        raise Wrong(f"after backward shard.grad{missing[0]} is None: no gradient reaches the shard")
    if X.grad is None and not frozen:
        raise Wrong("after backward X.grad is None: no gradient reaches X")
    found = {f"shard.grad{i}{turn}": layer.shard.grad.detach().clone() for i, layer in numbered(layers)}
    return found if frozen else found | {f"X.grad{turn}": X.grad.clone()}


def numbered(layers):
    """Each layer behind its number, which is empty where there is one layer."""
    return [(label("layer", i, len(layers)), layer) for i, layer in enumerate(layers)]


def label(what, i, of):
    return f" of {what} {i + 1}" if of > 1 else ""


MEMORY = "memory"
LAWS = (
    at_most("held", "held_enough", "a rank keeps {n:.0f} numbers of the layers, and {of:.0f} are its part", MEMORY),
    at_most(
        "kept",
        "kept_enough",
        "after forward {n:.0f} numbers are still there, and {of:.0f} are enough: keep nothing as large as the layer",
        MEMORY,
    ),
    at_most(
        "forward",
        "forward_enough",
        "in forward a rank holds {n:.0f} numbers at one time, and {of:.0f} are enough: two times those of one layer, "
        "with what goes in and comes out",
        MEMORY,
    ),
    at_most(
        "backward",
        "backward_enough",
        "in backward a rank holds {n:.0f} numbers at one time, and {of:.0f} are enough: four times those of one layer, "
        "with the shards' gradients and what goes in and comes out",
        MEMORY,
    ),
    at_most(
        "left",
        "left_enough",
        "after backward {n:.0f} numbers are still there, and {of:.0f} are enough for the shards and their gradients: "
        "keep nothing as large as the layer",
        MEMORY,
    ),
    none("reduced", "a rank sends {n:.0f} numbers in all-reduces, and its piece of the sum is enough", WATCHED),
    SENDS,
    Count(
        "sent",
        "a rank sends {n:.0f} numbers in all, fewer than the {of:.0f} of a gather in each forward, and a gather and a "
        "reduce-scatter in each backward",
        WATCHED,
        lambda n, least, p: n < least,
        lambda one, other: one == other,
        "least",
        of_costs=True,
    ),
)
EXERCISE = Exercise(
    id="distributed.sharded_linear",
    title="A layer in pieces",
    parts={"forward": 1, "gradients": 1, "what is alive": 1, "what is sent": 1},
    minutes=60,
    difficulty="challenge",
    importance=4,
    calls=("ShardedLinear(comm, weight, bias)",),
    cases=cases,
    probe=probe,
    laws=LAWS,
    ordered=False,
    tolerance={torch.float32: (1e-5, 3e-5)},  # sums over many rows and ranks
)
