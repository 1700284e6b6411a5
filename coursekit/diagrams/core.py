"""Chapter 01: a graph with what goes back through it, and the order of a training loop."""

import itertools

from coursekit.diagrams.drawing import Diagram


def graph() -> Diagram:
    """A small network forward, and above it what each value owes to whom."""
    d = Diagram("core.graph", columns=7)
    X = d.tensor("X", "(N, D)", at=(0, 0.7))
    W = d.weight("W", "(D, E)", at=(1.5, 2.1))
    product = d.step("X @ W", "(N, E)", at=(1.5, 0.7))
    b = d.weight("b", "(E)", at=(3, 2.1))
    plus = d.step("+ b", "(N, E)", at=(3, 0.7))
    relu = d.step("relu", "(N, E)", at=(4.5, 0.7))
    total = d.step("sum", "()", at=(6, 0.7))
    for one, other in itertools.pairwise((X, product, plus, relu, total)):
        d.arrow(one, other)
    d.arrow(W, product)
    d.arrow(b, plus)
    owed = [(total, relu, "g = ones"), (relu, plus, "g where Z > 0"), (plus, product, "g as it is")]
    for one, other, label in owed:
        d.arrow(one, other, label, dashed=True, bend=70)
    d.arrow(product, W, "Xᵀ g", dashed=True, bend=-50)
    d.arrow(plus, b, "g summed over N", dashed=True, bend=-50)
    return d


def loop() -> Diagram:
    """What a training loop does with each batch, in its order, and what stands around it."""
    d = Diagram("core.loop", columns=7)
    steps = [
        d.step("forward", "train mode", at=(1.05, 0)),
        d.step("loss", "batch mean", at=(2.2, 0)),
        d.step("zero", "old gradients", at=(3.4, 0)),
        d.step("backward", "adds gradients", at=(4.65, 0)),
        d.step("clip", "all together", at=(5.9, 0)),
        d.step("rate", "of this step", at=(5.9, 1.3)),
        d.step("step", "weights change", at=(4.6, 1.3)),
    ]
    batch = d.tensor("batch", "to the device", at=(0, 0))
    rest = d.step("evaluate", "eval mode, no graph", at=(0.35, 1.3))
    for one, other in itertools.pairwise((batch, *steps)):
        d.arrow(one, other)
    d.arrow(steps[-1], rest, "after an epoch")
    d.arrow(rest, batch, "train mode again")
    return d
