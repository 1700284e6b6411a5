"""vocab_parallel_loss(comm, logits, y): the cross-entropy of each token, each rank with a part of the vocabulary."""

import math

import torch

from coursekit.checking import probing
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import SENDS, TOO_LITTLE, measured, on_each, traffic
from coursekit.world import World

LOGITS = Shapes("Z: n N V, dL: N", told="n N V")


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
            one.inputs["Z"] = (1000 * one.inputs["Z"].tanh()).round()
        return one

    return [
        case("values", 2, 4, 3),
        case("values", 3, 6, 5, dtype=double),
        case("values", 4, 1, 4, dtype=double, note="one token"),
        case("values", 5, 7, 1, note="one logit on each rank"),
        case("values", 1, 3, 6),
        case("values", 3, 7, 4, far=True, dtype=double, note="logits of up to 1000"),
        case("values", 3, 6, 4, contiguous=False),
        lopsided(case("values", 4, 8, 3, note="one rank's logits are 300 above all others")),
        rows_apart(case("values", 2, 4, 3, dtype=double, note="rows near 900 and near -900")),
        case("values", 3, 5, 150, note="many logits"),
        case("gradients", 2, 4, 3),
        case("gradients", 3, 6, 5, dtype=double),
        case("gradients", 4, 1, 1, dtype=double, note="one token, one logit on each rank"),
        case("gradients", 1, 3, 6),
        case("gradients", 3, 7, 4, far=True, dtype=double, note="logits of up to 1000"),
        rows_apart(case("gradients", 3, 4, 2, dtype=double, note="rows near 900 and near -900")),
        case("what is sent", 2, 4, 24),
        case("what is sent", 4, 4, 9, dtype=double),
        case("what is sent", 8, 6, 3),
        case("gradients", 2, 3, 4, dtype=double, note="two losses in one graph", two=True),
    ]


def lopsided(case):
    """In each row the logits of one rank are far above all others, of another rank in another row."""
    Z = case.inputs["Z"]
    tokens = torch.arange(Z.shape[1])
    Z[tokens % len(Z), tokens] += 300.0
    return case


def rows_apart(case):
    """What is large for one token is small for the next one."""
    Z = case.inputs["Z"]
    Z += 900.0 * (-1.0) ** torch.arange(Z.shape[1])[:, None]
    return case


def probe(case, vocab_parallel_loss):
    n = case["n"]
    world = World(n)
    found = world.run(lambda comm, Z: on_a_rank(comm, vocab_parallel_loss, case, Z), list(case["Z"]))
    outputs = {}
    for name in found[0]:
        outputs |= on_each([of_rank[name] for of_rank in found], name)
    if not case["watched"]:
        return outputs
    total = 2 * (n - 1) * case["N"]  # of all ranks, for the sum of one number a token
    return outputs | measured(case["Z"], **traffic(world, math.ceil(3 * total / n), least=total))


def on_a_rank(comm, function, case, Z):
    if "dL" not in case:
        loss = function(comm, Z, case["y"])
        if Z.requires_grad:
            raise Wrong("gradients of the caller's logits are asked for (requires_grad_): they stay as they are")
        return {"loss": loss}
    Z = Z.detach().requires_grad_()
    loss = probing.returned(function(comm, Z, case["y"]), "loss")
    found = {"loss": loss.detach()}
    if case.get("two"):  # and the logits go elsewhere, too
        loss = loss + probing.returned(function(comm, Z.sin(), case["y"].flip(0)), "loss") + Z.cos().sum(-1)
    return found | {"dlogits": probing.gradients(loss, {"logits": Z}, case["dL"])["dlogits"]}


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
