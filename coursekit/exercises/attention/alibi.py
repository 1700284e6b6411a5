"""alibi_attention(Q, K, V): causal attention whose scores fall with the distance, at a slope of each head's own."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

QKV = Shapes("Q: B H T d, K: B H T d, V: B H T e, dY: B H T e", told="H T d e")


def cases(g):
    case, double = QKV.cases(g), torch.float64
    return [
        case("slopes", B=2, H=4, T=6, d=8, e=5),
        case("slopes", B=1, H=8, T=5, d=4, e=3),
        case("slopes", B=2, H=1, T=7, d=3, e=2),
        case("slopes", B=1, H=2, T=4, d=6, e=3, dtype=double),
        case("slopes", B=1, H=2, T=5, d=4, e=3, dtype=double, scores=-20_000),
        case("gradients", B=1, H=4, T=5, d=6, e=3, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.alibi",
    title="ALiBi, a penalty on distance",
    parts={"slopes": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("alibi_attention(Q, K, V) -> Y",),
    cases=cases,
)
