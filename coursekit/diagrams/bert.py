"""Chapter 03: what an encoder is given, what a layer does, and which vectors each kind of head reads."""

from coursekit.diagrams.drawing import Diagram


def input() -> Diagram:
    """Three rows of learned tables for each token, added up."""
    d = Diagram("bert.input", columns=8)
    tokens = ("[CLS]", "Call", "me", "[SEP]", "Ish", "##mael", "[SEP]")
    for row, (name, values) in enumerate((("token", tokens), ("segment", "0000111"), ("position", "0123456"))):
        d.box(name, at=(-0.05, row))
        below = [d.weight(value, at=(k, row)) for k, value in enumerate(values, 1)]
    d.step("add, Norm", at=(0, 3.4))
    for k, box in enumerate(below):
        d.arrow(box, d.tensor(f"x_{k}", "(D)", at=(k + 1, 3.4)))
    return d


def layer() -> Diagram:
    """Attention and a feed-forward network, each with its residual and norm."""
    d = Diagram("bert.layer", columns=7)
    X = d.tensor("X", "(B, T, D)", at=(0.1, 1))
    real = d.tensor("real", "(B, T)", at=(1.5, 0))
    attention = d.step("attention", "H heads", at=(1.5, 1))
    first = d.step("add, Norm_1", "X' (B, T, D)", at=(3.0, 1))
    feed = d.step("W_2 GELU(W_1 X')", "4D wide inside", at=(4.2, 0))
    second = d.step("add, Norm_2", at=(4.8, 1))
    Y = d.tensor("Y", "(B, T, D)", at=(6.1, 1))
    onward = ((X, attention), (attention, first), (first, feed), (feed, second), (first, second), (second, Y))
    for source, target in onward:
        d.arrow(source, target)
    d.arrow(real, attention, "hides keys", dashed=True)
    d.arrow(X, first, "X as it was", bend=100)
    d.rows = 2.6
    return d


def heads() -> Diagram:
    """Which of the encoder's vectors a head reads."""
    d = Diagram("bert.heads", columns=7)
    names = ("[CLS]", "x_1", "x_2", "[SEP]", "x_4", "x_5", "[SEP]")
    vectors = [d.tensor(name, "(D)", at=(k, 2)) for k, name in enumerate(names)]
    sentence = d.step("sentence, pair", "one verdict", at=(0.1, 0))
    token = d.step("tokens", "a label each", at=(2, 0))
    span = d.step("span", "start and end", at=(4.5, 0))
    d.arrow(vectors[0], sentence)
    for vector in vectors[1:3]:
        d.arrow(vector, token)
    for vector in vectors[4:6]:
        d.arrow(vector, span, "S, E" if vector is vectors[5] else "")
    return d
