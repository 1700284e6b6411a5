"""scaled_dot_product_attention(Q, K, V): each query's mix of the values, and its gradients."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e", told="T S d e")


def cases(g):
    case, double = QKV.cases(g), torch.float64
    return [
        case("values", B=2, H=3, T=3, S=4, d=8, e=5),
        case("values", B=1, H=2, T=1, S=6, d=2, e=3),
        case("values", B=1, H=2, T=4, S=3, d=5, e=2, dtype=double),
        case("values", B=2, H=1, T=5, S=3, d=4, e=6, contiguous=False),
        case("values", B=1, H=2, T=3, S=5, d=4, e=3, dtype=double, scores=-20_000),
        case("gradients", B=1, H=2, T=3, S=4, d=8, e=5, upstream=True),
        case("gradients", B=2, H=1, T=4, S=2, d=3, e=4, dtype=double, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.sdpa",
    title="Scaled dot-product attention",
    parts={"values": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("scaled_dot_product_attention(Q, K, V) -> Y",),
    cases=cases,
)
