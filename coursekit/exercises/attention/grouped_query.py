"""grouped_query_attention(Q, K, V): H query heads share G key/value heads, H / G neighbours each."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.exercises.layouts import as_split

GROUPED = Shapes("Q: B H T d, K: B G S d, V: B G S e, dY: B H T e", told="H G T S")

FAR = (1, 0, -1), (1000, -1000, 1000, -1000, 1000)  # from row to row, and within a row


def cases(g):
    case, double, identity = GROUPED.cases(g), torch.float64, torch.eye(5).repeat(1, 2, 1, 1)
    return [
        case("one or all", B=2, H=4, G=1, T=3, S=5, d=4, e=3),
        case("one or all", B=2, H=3, G=3, T=4, S=2, d=5, e=4),
        case("groups", B=2, H=4, G=2, T=3, S=5, d=6, e=4),
        as_split(case("groups", B=1, H=6, G=3, T=4, S=3, d=4, e=2)),
        case("groups", B=1, H=8, G=2, T=2, S=4, d=3, e=4, dtype=double),
        case("groups", B=1, H=4, G=2, T=3, S=5, d=4, e=3, dtype=double, scores=-20_000),
        case("groups", B=1, H=4, G=2, T=3, S=5, d=4, e=3, dtype=double, apart=FAR, note="scores far apart"),
        case("groups", B=1, H=6, G=2, T=4, S=5, d=7, e=5, V=identity, note="V the identity, so that Y is A"),
        case("groups", B=2, H=4, G=2, T=1, S=1, d=3, e=2),
        case("groups", B=1, H=12, G=4, T=2, S=3, d=2, e=2),
        case("groups", B=1, H=82, G=2, T=1, S=3, d=3, e=2),
        case("groups", B=1, H=2, G=1, T=2, S=300, d=3, e=2),
        case("groups", B=2, H=6, G=2, T=3, S=4, d=5, e=3, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.grouped_query",
    title="Mend this code, grouped-query attention",
    parts={"groups": 1, "one or all": 1},
    minutes=15,
    difficulty="core",
    importance=4,
    calls=("grouped_query_attention(Q, K, V) -> Y",),
    cases=cases,
)
