"""sliding_window_attention(Q, K, V, window): each token sees itself and the window - 1 tokens before it."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H T d, V: B H T e, dY: B H T e", told="T window")

# The first and the last key lie far above the others, and out of sight for most queries.
FAR = (1,), (1000, 0, 0, 0, 0, 1000)


def cases(g):
    case, double, identity = QKV.cases(g), torch.float64, torch.eye(5).repeat(1, 2, 1, 1)
    return [
        case("wide windows", B=2, H=2, T=5, d=4, e=3, window=9),
        case("wide windows", B=1, H=2, T=4, d=3, e=5, window=6, dtype=double),
        case("narrow windows", B=2, H=2, T=7, d=4, e=3, window=3),
        case("narrow windows", B=1, H=3, T=5, d=6, e=2, window=4),
        case("narrow windows", B=1, H=2, T=4, d=3, e=5, window=4),
        case("narrow windows", B=2, H=1, T=4, d=5, e=3, window=1),
        as_split(case("narrow windows", B=1, H=2, T=6, d=3, e=4, window=2)),
        case("narrow windows", B=1, H=2, T=6, d=3, e=4, window=5, dtype=double),
        case("narrow windows", B=1, H=2, T=6, d=4, e=3, window=3, dtype=double, scores=-20_000),
        case(
            "narrow windows", B=1, H=2, T=6, d=4, e=3, window=2, dtype=double, apart=FAR, note="hidden keys far above"
        ),
        case("narrow windows", B=1, H=2, T=5, d=3, e=5, window=4, V=identity, note="V the identity, so that Y is A"),
        case("narrow windows", B=1, H=1, T=300, d=3, e=2, window=130),
        case("narrow windows", B=2, H=2, T=1, d=3, e=4, window=1),
        case("narrow windows", B=1, H=2, T=6, d=4, e=3, window=3, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.sliding_window",
    title="Sliding-window attention",
    parts={"wide windows": 1, "narrow windows": 1},
    minutes=15,
    difficulty="core",
    calls=("sliding_window_attention(Q, K, V, window) -> Y",),
    cases=cases,
)
