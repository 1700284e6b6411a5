"""vocab_parallel_loss(comm, logits, y): the cross-entropy of each token, each rank with a part of the vocabulary."""

import math

import torch

from coursekit.checking import probing
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import SENDS, TOO_LITTLE, measured, on_each, traffic
from coursekit.world import World

LOGITS = Shapes("logits: n N V, dL: N", told="n N V")
ABOVE = "gradient of the losses"  # the input's name where a report tells it


def cases(g):
    draw, double = LOGITS.cases(g), torch.float64

    def case(part, n, N, V, note="", far=False, **given):
        """`V` logits of each rank; the targets are among all n V, and as far as there are enough, on every rank."""
        y = torch.randint(V, (N,), generator=g) + V * ((torch.arange(N) + torch.randint(n, (1,), generator=g)) % n)
        y[0] = V * (n - 1)  # the first token of the last rank
        one = draw(
            part, n=n, N=N, V=V, y=y, watched=part == "what is sent", note=note, upstream=part != "values", **given
        )
        if far:
            one.inputs["logits"] = (1000 * one.inputs["logits"].tanh()).round()
        if "dL" in one.inputs:
            one.inputs[ABOVE] = one.inputs.pop("dL")
        return one

    return [
        case("values", 2, 4, 3),
        case("values", 3, 6, 5, dtype=double),
        case("values", 4, 1, 4, dtype=double, note="one token"),
        case("values", 5, 7, 1, note="one logit on each rank"),
        case("values", 1, 3, 6),
        extreme(case("values", 3, 7, 4, note="logits of -1000, 0 and 1000")),
        case("values", 3, 6, 4, contiguous=False),
        lopsided(case("values", 4, 8, 3, note="one rank's logits are 300 above all others")),
        rows_apart(case("values", 2, 4, 3, dtype=double, again=True, note="rows near 900 and near -900, called twice")),
        case("values", 3, 3, 340, note="many logits"),
        case("gradients", 2, 4, 3),
        case("gradients", 3, 6, 5, dtype=double, kept=True, note="two gradients through one graph"),
        case("gradients", 4, 1, 1, dtype=double, note="one token, one logit on each rank"),
        case("gradients", 1, 3, 6),
        case("gradients", 3, 7, 4, far=True, dtype=double, note="logits of up to 1000"),
        rows_apart(case("gradients", 3, 4, 2, dtype=double, note="rows near 900 and near -900")),
        case("what is sent", 2, 2, 110, note="many logits"),
        case("what is sent", 4, 4, 9, dtype=double),
        case("what is sent", 8, 6, 3),
        case("gradients", 2, 3, 4, dtype=double, note="two losses in one graph", two=True),
    ]


def lopsided(case):
    """In each row the logits of one rank are far above all others, of another rank in another row."""
    Z = case.inputs["logits"]
    tokens = torch.arange(Z.shape[1])
    Z[tokens % len(Z), tokens] += 300.0
    return case


def extreme(case):
    """Logits at both ends, the targets in some rows at the other one or at 0."""
    Z, y = case.inputs["logits"], case.inputs["y"]
    Z.copy_(1000.0 * Z.sign())
    Z[:, 0], Z[:, 1:3] = -1000.0, 1000.0
    shard, place = y // Z.shape[2], y % Z.shape[2]
    Z[shard[1], 1, place[1]] = -1000.0
    Z[shard[3], 3, place[3]] = 0.0
    return case


def rows_apart(case):
    """What is large for one token is small for the next one."""
    Z = case.inputs["logits"]
    Z += 900.0 * (-1.0) ** torch.arange(Z.shape[1])[:, None]
    return case


def probe(case, vocab_parallel_loss):
    n = case["n"]
    world, plain = World(n), World(n)
    found = world.run(lambda comm, Z: on_a_rank(comm, vocab_parallel_loss, case, Z), list(case["logits"]))
    outputs = {}
    for name in found[0]:
        outputs |= on_each([of_rank[name] for of_rank in found], name)
    if not case["watched"]:
        return outputs
    losses = plain.run(lambda comm, Z: vocab_parallel_loss(comm, Z, case["y"]), list(case["logits"]))
    outputs |= on_each(losses, "loss without gradients")
    total = 2 * (n - 1) * case["N"]  # of all ranks, for the sum of one number a token
    both = [traffic(one, math.ceil(3 * total / n), least=total) for one in (world, plain)]
    costs = max(both, key=lambda of_run: of_run["sent"])
    return outputs | measured(case["logits"], **costs | {"all_sent": min(of_run["all_sent"] for of_run in both)})


def on_a_rank(comm, function, case, Z):
    if ABOVE not in case:
        found = {"loss": function(comm, Z, case["y"])}
        if case.get("again"):
            found["loss of -logits, in a second call"] = function(comm, -Z, case["y"])
        if Z.requires_grad:
            raise Wrong("gradients of the caller's logits are asked for (requires_grad_): they stay as they are")
        return found
    Z = Z.detach().requires_grad_()
    loss = probing.returned(function(comm, Z, case["y"]), "loss")
    found = {"loss": loss.detach()}
    if case.get("two"):  # and the logits go elsewhere, too
        loss = loss + probing.returned(function(comm, Z.sin(), case["y"].roll(1)), "loss") + Z.cos().sum(-1)
    above = case[ABOVE]
    if case.get("kept") and loss.requires_grad and loss.shape == above.shape:
        (first,) = torch.autograd.grad(loss, Z, above, retain_graph=True, allow_unused=True)
        first = None if first is None else first.clone()  # it may lie where backward writes again
        second = probing.gradients(loss, {"logits": Z}, above.flip(0))["dlogits"]
        return found | {"dlogits": first, "dlogits, in a second backward": second}
    return found | {"dlogits": probing.gradients(loss, {"logits": Z}, above)["dlogits"]}


EXERCISE = Exercise(
    id="distributed.vocab_loss",
    title="Mend this code, a loss over a split vocabulary",
    parts={"values": 1, "gradients": 1, "what is sent": 1},
    minutes=30,
    difficulty="core",
    importance=4,
    calls=("vocab_parallel_loss(comm, logits, y)",),
    cases=cases,
    probe=probe,
    laws=(SENDS, TOO_LITTLE),
    # Near 300 neighbours in float32 are 3e-5 apart, and the maximum may be added to the logarithm.
    tolerance={torch.float32: (1e-5, 1e-4)},
)
