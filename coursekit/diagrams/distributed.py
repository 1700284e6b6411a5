"""Chapter 05: what collectives do, what each rank holds, a layer that is cut, and tokens on their way to experts."""

from coursekit.diagrams.drawing import Diagram

_BEFORE_AND_AFTER = {
    "reduce-scatter": (("a_0 a_1 a_2", "b_0 b_1 b_2", "c_0 c_1 c_2"), ("a_0+b_0+c_0", "a_1+b_1+c_1", "a_2+b_2+c_2")),
    "all-gather": (("a", "b", "c"), ("a b c", "a b c", "a b c")),
    "all-reduce": (("a", "b", "c"), ("a+b+c", "a+b+c", "a+b+c")),
    "all-to-all": (("a_0 a_1 a_2", "b_0 b_1 b_2", "c_0 c_1 c_2"), ("a_0 b_0 c_0", "a_1 b_1 c_1", "a_2 b_2 c_2")),
    "broadcast": (("a", "-", "-"), ("a", "a", "a")),
}


def collectives() -> Diagram:
    """Three ranks before and after each of the five collectives."""
    d = Diagram("distributed.collectives", columns=30)
    for side, first, wide in (("before", 0.2, 3.8), ("after", 17.5, 4.2)):
        for rank in range(3):
            d.box(f"rank {rank}", side, at=(first + wide * rank, 0), span=wide)
    for row, (name, (before, after)) in enumerate(_BEFORE_AND_AFTER.items(), 1):
        step = d.step(name, at=(14.2, row))
        had = [d.tensor(parts, at=(0.2 + 3.8 * rank, row), span=3.8) for rank, parts in enumerate(before)]
        has = [d.tensor(parts, at=(17.5 + 4.2 * rank, row), span=4.2) for rank, parts in enumerate(after)]
        d.arrow(had[-1], step)
        d.arrow(step, has[0])
    return d


def stages() -> Diagram:
    """What one of four ranks holds of a parameter's 16 bytes, by stage."""
    d = Diagram("distributed.stages", columns=12)
    for row, sharded in enumerate(
        ((), ("optimizer",), ("optimizer", "gradients"), ("optimizer", "gradients", "weights"))
    ):
        d.box(f"stage {row}", at=(0.1, row), span=1.4)
        place = 1.7
        for name, bytes_ in (("weights", 2), ("gradients", 2), ("optimizer", 12)):
            span = {2: 1.9, 12: 6.2}[bytes_] / (4 if name in sharded else 1)
            label = f"{bytes_ / 4:g}" if name in sharded else f"{name}, {bytes_}"
            d.box(label, at=(place, row), span=max(span, 0.85), kind="weight" if name == "optimizer" else "tensor")
            place += max(span, 0.85) + 0.1
    return d


def columns_rows() -> Diagram:
    """A feed-forward network that is cut through its hidden numbers, on two ranks."""
    d = Diagram("distributed.columns_rows", columns=7)
    X = d.tensor("X", "(T, D), copied", at=(0.1, 1.5))
    total = d.step("sum, + b_2", "all-reduce", at=(4.7, 1.5))
    Y = d.tensor("Y", "(T, D)", at=(6, 1.5))
    for rank, row, beside in ((0, 1, 0), (1, 2, 3)):
        hidden = d.step("gelu(X Aᵀ + a)", f"(T, F/2), rank {rank}", at=(1.7, row))
        part = d.step("· Bᵀ", "(T, D), a part", at=(3.3, row))
        rows = d.weight("A, a: rows of W_1, b_1", "(F/2, D), (F/2)", at=(1.7, beside))
        columns = d.weight("B: columns of W_2", "(D, F/2)", at=(3.9, beside))
        for one, other in ((X, hidden), (hidden, part), (part, total), (rows, hidden), (columns, part)):
            d.arrow(one, other)
    d.arrow(total, Y)
    return d


def experts() -> Diagram:
    """Tokens of two ranks on their way to experts and back."""
    d = Diagram("distributed.experts", columns=6)
    come = [d.tensor(f"tokens of rank {rank}", "sorted by expert", at=(0.1, 1.2 * rank)) for rank in range(2)]
    meet = [d.step(f"experts {2 * r}, {2 * r + 1}", f"on rank {r}", at=(2.5, 1.2 * r)) for r in range(2)]
    back = [d.tensor(f"tokens of rank {rank}", "in their order", at=(4.9, 1.2 * rank)) for rank in range(2)]
    for left, right in ((come, meet), (meet, back)):
        for one in left:
            for other in right:
                d.arrow(one, other)
    for place, name in ((1.3, "first all-to-all"), (3.7, "second all-to-all")):
        d.box(name, at=(place, 2.3))
    return d
