"""outer, batched_trace, pairwise_sq, gather_rows, one_hot_mean: five functions of one expression each."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import Shapes, normal

OUTER = Shapes("a: N, b: M, dC: N M", told="N M")
TRACE = Shapes("A: B N N, dt: B", told="B N")
PAIRS = Shapes("X: N D, Y: M D, dS: N M", told="N M D")
ROWS = Shapes("X: B T D, dR: B K D", told="B T D K")


def cases(g):
    double = torch.float64

    def named(call, shapes, part):
        draw = shapes.cases(g)
        return lambda **given: draw(part, call=call, **given)

    outer, trace = named("outer", OUTER, "products"), named("batched_trace", TRACE, "products")
    pairs, rows = named("pairwise_sq", PAIRS, "distances"), named("gather_rows", ROWS, "rows")

    def gathered(B, T, D, K, **given):
        return rows(B=B, T=T, D=D, K=K, i=torch.randint(T, (B, K), generator=g), **given)

    def mean(B, T, C, classes=None, y=None, note=""):
        """`classes` are those that occur."""
        some = torch.tensor(classes or range(C))
        y = some[torch.randint(len(some), (B, T), generator=g)] if y is None else y
        words = f"B={B}, T={T}, C={C}" + (f", {note}" if note else "")
        return Case("rows", words, {"call": "one_hot_mean", "y": y, "C": C})

    def far(N, M, D, offset, dtype, apart=False):
        """Points that lie far from 0 and near each other; one of X is also one of Y."""
        X, Y = (offset + normal(g, n, D, dtype=double) for n in (N, M))
        Y[0] = X[-1]
        if apart:
            X[0], Y[1:] = X[0] - offset, Y[1:] - offset
        return pairs(
            N=N, M=M, D=D, X=X.to(dtype), Y=Y.to(dtype), dtype=dtype, note=f"around {offset:,.0f}{' and 0' * apart}"
        )

    labels = torch.randint(3, (2, 6), generator=g)
    same = normal(g, 2, 3, dtype=double)
    beside = 1e6 * normal(g, 2, 3, 3)
    beside[:, range(3), range(3)] = normal(g, 2, 3)
    return [
        outer(N=3, M=5),
        outer(N=1, M=4, dtype=double),
        outer(N=4, M=1),
        outer(N=4, M=4),
        outer(N=3, M=2, dtype=double, upstream=True),
        trace(B=3, N=4),
        trace(B=4, N=3, contiguous=False),
        trace(B=1, N=1, dtype=double),
        trace(B=2, N=2),
        trace(B=2, N=3, A=beside, note="large numbers beside the diagonal"),
        trace(B=2, N=3, dtype=double, upstream=True),
        pairs(N=3, M=4, D=5),
        pairs(N=4, M=4, D=2, contiguous=False),
        pairs(N=1, M=3, D=1, dtype=double),
        pairs(N=5, M=1, D=3),
        far(3, 4, 2, 3000.0, torch.float32),
        far(4, 40, 3, 1e8, double),
        far(4, 3, 2, 3000.0, torch.float32, apart=True),
        pairs(N=3, M=2, D=4, dtype=double, upstream=True),
        pairs(N=2, M=2, D=3, X=same, Y=same.flip(0), dtype=double, upstream=True, note="equal points"),
        gathered(2, 5, 3, 4),
        gathered(3, 4, 3, 6, contiguous=False),
        gathered(1, 3, 2, 1, dtype=double),
        gathered(4, 1, 3, 2),
        gathered(2, 3, 4, 5, dtype=double, upstream=True),
        mean(2, 7, 3),
        mean(3, 5, 6, classes=[1, 4], note="some classes never occur"),
        mean(1, 4, 2),
        mean(4, 1, 3),
        mean(2, 300, 40),
        mean(2, 6, 3, y=labels),
        mean(2, 6, 5, y=labels, note="the same numbers"),
    ]


EXERCISE = Exercise(
    id="core.shapes",
    title="Five shapes, five expressions",
    parts={"products": 1, "distances": 1, "rows": 1},
    minutes=25,
    difficulty="core",
    importance=5,
    calls=(
        "outer(a, b) -> C",
        "batched_trace(A) -> t",
        "pairwise_sq(X, Y) -> S",
        "gather_rows(X, i) -> R",
        "one_hot_mean(y, C) -> M",
    ),
    cases=cases,
    ordered=False,
)
