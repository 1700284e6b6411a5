"""Chapter 02: what goes where in a head, in many and in shared heads, in blocks of keys, and in a transformer block."""

import itertools

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


def split() -> Diagram:
    d = Diagram("attention.split", columns=6)
    X = d.tensor("Q, all heads", "(T, D)", at=(0, 1))
    joined = d.tensor("side by side", "(T, D)", at=(4.1, 1))
    for row, h in enumerate((1, 2, "H")):
        slice_ = d.tensor(f"slice {h}", "(T, d)", at=(1.4, row))
        head = d.step("attention", "(T, d)", at=(2.7, row))
        d.arrow(X, slice_, "split" if row == 0 else "")
        d.arrow(slice_, head)
        d.arrow(head, joined, "merge" if row == 0 else "")
    Y = d.tensor("Y", "(T, D)", at=(5.3, 1))
    d.arrow(joined, Y, "W_O")
    return d


def groups() -> Diagram:
    d = Diagram("attention.groups", columns=15)
    for left, G, title in ((0, 4, "multi-head, G = 4"), (5.2, 2, "grouped, G = 2"), (10.4, 1, "multi-query, G = 1")):
        queries = [d.step(f"q_{h}", at=(left + 1.2 * h, 0)) for h in range(4)]
        width = 4 / G
        keys = [d.tensor(f"kv_{g}", at=(left + 1.2 * (g * width + (width - 1) / 2), 1.4)) for g in range(G)]
        for h, query in enumerate(queries):
            d.arrow(query, keys[h * G // 4])
        d.group(title, *queries, *keys)
    return d


def blocks() -> Diagram:
    d = Diagram("attention.blocks", columns=6)
    q = d.tensor("a block of Q", "(b, d)", at=(0.3, 0))
    k, v = (d.tensor(f"next block of {name}", "(b, d)", at=(0.3, row)) for row, name in ((1, "K"), (2, "V")))
    z = d.step("scores z", "(b, b)", at=(2.3, 0.5))
    m = d.step("repair m, n, y", "maximum, sum, mix", at=(3.7, 1.5))
    y = d.tensor("y / n", "a block of Y (b, d)", at=(5.0, 0.5))
    d.arrow(q, z)
    d.arrow(k, z)
    d.arrow(z, m)
    d.arrow(v, m)
    d.arrow(m, y)
    d.group("fast memory, one block of keys after the other", z, m)
    return d


def block() -> Diagram:
    d = Diagram("attention.block", columns=7)
    post = (0.2, "post-norm", (2, 5), ("attention", "+", "Norm_1", "FFN", "+", "Norm_2"))
    pre = (1.8, "pre-norm", (3, 6), ("Norm_1", "attention", "+", "Norm_2", "FFN", "+"))
    for row, order, sums, names in (post, pre):
        at = [d.tensor("X", order, at=(0, row)), *(d.step(name, at=(n, row)) for n, name in enumerate(names, 1))]
        for one, other in itertools.pairwise(at):
            d.arrow(one, other)
        d.arrow(at[0], at[sums[0]], bend=-62)
        d.arrow(at[3], at[sums[1]], bend=-62)
    return d
