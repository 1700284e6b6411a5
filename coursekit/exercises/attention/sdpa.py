"""scaled_dot_product_attention(Q, K, V): each query's mix of the values, and its gradients."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e", told="T S d e")


def far_apart(g, B, H, S, d):
    """Q and K whose scores lie near 1000, 0 and -1000: from row to row of a head, and within a row."""
    Q, K = normal(g, B, H, 3, d, dtype=torch.float64), normal(g, B, H, S, d, dtype=torch.float64)
    Q[..., 0] = torch.tensor([1.0, 0.0, -1.0])
    K[..., 0] = 1000 * d**0.5 * torch.tensor([1.0, -1.0]).repeat(S)[:S]
    return {"Q": Q, "K": K}


def cases(g):
    case, double = QKV.cases(g), torch.float64
    identity = torch.eye(4).repeat(1, 2, 1, 1)
    return [
        case("values", B=2, H=3, T=3, S=4, d=8, e=5),
        case("values", B=1, H=2, T=1, S=6, d=2, e=3),
        case("values", B=1, H=2, T=4, S=3, d=5, e=2, dtype=double),
        case("values", B=2, H=1, T=5, S=3, d=4, e=6),
        case("values", B=1, H=2, T=3, S=5, d=4, e=3, dtype=double, scores=-20_000),
        as_split(case("values", B=2, H=3, T=3, S=4, d=8, e=5)),
        case("values", B=1, H=2, T=3, S=4, d=5, e=4, V=identity, note="V the identity, so that Y is A"),
        case("values", B=1, H=2, T=3, S=5, d=4, e=2, dtype=double, note="scores far apart", **far_apart(g, 1, 2, 5, 4)),
        case("values", B=2, H=2, T=3, S=1, d=2, e=4, note="a single key"),
        case("values", B=1, H=1, T=2, S=300, d=2, e=3),
        case("values", B=1, H=1, T=2, S=3, d=130, e=2),
        case("gradients", B=1, H=2, T=3, S=4, d=8, e=5, upstream=True),
        case("gradients", B=2, H=1, T=4, S=2, d=3, e=4, dtype=double, upstream=True),
    ]


EXERCISE = Exercise(
    id="attention.sdpa",
    title="Scaled dot-product attention",
    parts={"values": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    importance=5,
    calls=("scaled_dot_product_attention(Q, K, V) -> Y",),
    cases=cases,
)
