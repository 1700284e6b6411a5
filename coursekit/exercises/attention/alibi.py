"""alibi_attention(Q, K, V): causal attention whose scores fall with the distance, at a slope of each head's own."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

QKV = Shapes("Q: B H T d, K: B H T d, V: B H T e, dY: B H T e", told="H T d e")

# Rows of scores that lie a thousand apart, with a last key that most may not see far above the others.
FAR = (1, -1, 1, -1, -1), (500, 500, 500, 500, 1500)


def cases(g):
    case, double = QKV.cases(g), torch.float64
    return [
        case("slopes", B=2, H=4, T=6, d=8, e=5),
        case("slopes", B=1, H=8, T=5, d=4, e=3),
        case("slopes", B=2, H=1, T=7, d=3, e=2),
        case("slopes", B=1, H=3, T=6, d=4, e=2),
        case("slopes", B=1, H=6, T=5, d=3, e=2, dtype=double),
        case("slopes", B=1, H=2, T=4, d=6, e=3, dtype=double),
        case("slopes", B=1, H=2, T=5, d=4, e=3, dtype=double, scores=-20_000),
        case("slopes", B=1, H=2, T=5, d=4, e=3, dtype=double, apart=FAR, note="scores far apart, a future key on top"),
        case(
            "slopes", B=1, H=4, T=6, d=5, e=6, V=torch.eye(6).repeat(1, 4, 1, 1), note="V the identity, so that Y is A"
        ),
        case("slopes", B=2, H=16, T=4, d=2, e=3),
        case("slopes", B=1, H=2, T=300, d=3, e=1),
        case("slopes", B=2, H=2, T=1, d=3, e=4),
        case("gradients", B=1, H=4, T=5, d=6, e=3, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.alibi",
    title="Mend this code, ALiBi",
    parts={"slopes": 1, "gradients": 1},
    minutes=10,
    difficulty="core",
    importance=2,
    calls=("alibi_attention(Q, K, V) -> Y",),
    cases=cases,
)
