"""Chapter 02: where queries, keys and values come from, and how heads stand side by side."""

from coursekit.diagrams.drawing import Diagram


def head() -> Diagram:
    d = Diagram("attention.head", columns=6)
    X = d.tensor("X", "(T, D)", at=(0, 1))
    Q, K, V = (d.tensor(name, "(T, d)", at=(1.6, row)) for row, name in enumerate(("Q", "K", "V")))
    for target, name in ((Q, "W_Q"), (K, "W_K"), (V, "W_V")):
        d.arrow(X, target, name)
    S = d.step("Q Kᵀ / √d", "scores (T, T)", at=(3, 0.5))
    A = d.step("softmax", "rows sum to 1", at=(4.3, 0.5))
    Y = d.tensor("Y = A V", "(T, d)", at=(4.9, 2))
    d.arrow(Q, S)
    d.arrow(K, S)
    d.arrow(S, A)
    d.arrow(A, Y, "A")
    d.arrow(V, Y)
    return d


def multihead() -> Diagram:
    d = Diagram("attention.multihead", columns=6)
    X = d.tensor("X", "(T, D)", at=(0, 1))
    joined = d.tensor("joined", "(T, H d) = (T, D)", at=(3.6, 1))
    heads = [d.step(f"head {h}", "its own W_Q, W_K, W_V", at=(1.7, row)) for row, h in enumerate((1, 2, "H"))]
    for one in heads:
        d.arrow(X, one)
        d.arrow(one, joined, "(T, d)" if one is heads[0] else "")
    Y = d.tensor("Y", "(T, D)", at=(5.3, 1))
    d.arrow(joined, Y, "W_O")
    return d
