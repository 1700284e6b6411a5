"""Chapter 01: a graph with what goes back through it, a network, and the order of a training loop."""

import itertools

from coursekit.diagrams.drawing import Diagram


def graph() -> Diagram:
    """A small network forward, in which one value is used twice, and above it what each user sends back to whom."""
    d = Diagram("core.graph", columns=8)
    X = d.tensor("X", "(N, D)", at=(0, 0.7))
    W = d.weight("W", "(D, E)", at=(1.4, 2.1))
    product = d.step("X @ W", "(N, E)", at=(1.4, 0.7))
    b = d.weight("b", "(E)", at=(2.8, 2.1))
    plus = d.step("+ b", "(N, E)", at=(2.8, 0.7))
    h = d.step("h = relu", "(N, E)", at=(4.2, 0.7))
    square = d.step("h * h", "(N, E)", at=(5.7, 0.7))
    total = d.step("sum", "()", at=(7, 0.7))
    for one, other in itertools.pairwise((X, product, plus, h)):
        d.arrow(one, other)
    for bend in (18, -18):
        d.arrow(h, square, bend=bend)
    d.arrow(square, total)
    d.arrow(W, product)
    d.arrow(b, plus)
    sent = [(total, square, "g = ones"), (square, h, "g h + g h"), (h, plus, "g where h > 0"), (plus, product, "g")]
    for one, other, label in sent:
        d.arrow(one, other, label, dashed=True, bend=70)
    d.arrow(product, W, "Xᵀ g", dashed=True, bend=-50)
    d.arrow(plus, b, "g summed over N", dashed=True, bend=-50)
    return d


def network() -> Diagram:
    """The network of two maps that reads digits, with the shapes of a batch."""
    d = Diagram("core.network", columns=7)
    X = d.tensor("images", "(N, 784)", at=(0, 0))
    first = d.step("map and relu", "(N, 32)", at=(1.7, 0))
    second = d.step("map", "(N, 10) scores", at=(3.4, 0))
    softmax = d.step("softmax", "(N, 10)", at=(4.9, 0))
    loss = d.step("loss", "()", at=(6, 0))
    for one, other in itertools.pairwise((X, first, second, softmax, loss)):
        d.arrow(one, other)
    for label, shape, place, target in (
        ("W1, b1", "(784, 32), (32)", 1.7, first),
        ("W2, b2", "(32, 10), (10)", 3.4, second),
    ):
        d.arrow(d.weight(label, shape, at=(place, 1.4)), target)
    d.arrow(d.tensor("labels", "(N)", at=(6, 1.4)), loss)
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
    rest = d.step("evaluate", "eval mode, no graph", at=(2.2, 2.5))
    for one, other in itertools.pairwise((batch, *steps)):
        d.arrow(one, other)
    d.arrow(steps[-1], batch, "next batch", bend=-60)
    d.arrow(steps[-1], rest, "after an epoch")
    d.arrow(rest, batch, "train mode again")
    return d
