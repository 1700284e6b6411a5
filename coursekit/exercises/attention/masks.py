"""masked_attention(Q, K, V, real, causal): attention to real tokens, and to the past alone when causal."""

from dataclasses import replace

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e", told="T S causal")


def far_above(g, real, H, T, d):
    """Q and K of which a hidden key's score, and the last one's, lies higher by 1000 than the others."""
    B, S = real.shape
    Q, K = normal(g, B, H, T, d, dtype=torch.float64), normal(g, B, H, S, d, dtype=torch.float64)
    Q[..., 0], high = 1.0, ~real
    high[:, -1] = True
    K[..., 0] = 1000 * d**0.5 * high[:, None]
    return {"Q": Q, "K": K, "H": H, "d": d}


def cases(g):
    draw, half, double, last = QKV.cases(g), torch.float16, torch.float64, "both, half precision"

    def case(part, real, causal=True, **sizes):
        real = places(real)
        B, S = real.shape
        return draw(part, B=B, S=S, real=real, causal=causal, **sizes)

    # Every query sees a key: one without any is the next exercise. B = H and B = T each occur, because there a mask on
    # the wrong axis raises no error. Key 0 may be padding, as it is where a batch is padded on the left.
    identity = torch.eye(4).repeat(2, 2, 1, 1)
    above = places("x.xxx xx.xx")
    left = case("padding", "..xxx .x.xx", causal=False, H=3, T=2, d=4, e=3)
    return [
        case("padding", "xxxx xx.. x.x.", causal=False, H=3, T=4, d=8, e=5),
        case("padding", "xxx.. x.x.x", causal=False, H=3, T=2, d=4, e=3),
        case("padding", "x.xx..", causal=False, H=2, T=3, d=5, e=2, dtype=double),
        case("padding", "xx.x x.x.", causal=False, H=2, T=3, d=5, e=4, V=identity, note="V the identity"),
        left,
        case("causal", "xxxxx", H=3, T=5, d=4, e=3),
        case("causal", "xxxxxxx", H=2, T=3, d=6, e=4),
        case("causal", "xxxx xxxx", H=3, T=1, d=3, e=2, dtype=double),
        case("causal", "x" * 2100, H=2, T=2, d=2, e=2),
        case(last, "xx.xx. x..xxx", H=3, T=4, d=4, e=5),
        as_split(case(last, "x.xxx", H=2, T=5, d=3, e=4)),
        case(last, "xx.xx xxx..", H=2, T=4, d=3, e=4, dtype=double, scores=-20_000),
        replace(left, part=last, label="the same Q, K, V and real, causal=True", inputs=left.inputs | {"causal": True}),
        case(last, "x.xxx xx.xx", T=3, e=3, dtype=double, note="hidden keys far above", **far_above(g, above, 2, 3, 4)),
        case(last, "xx.x x.xx", H=3, T=3, d=5, e=2, upstream=True),
        case(last, "x.xx. xxxx.", H=2, T=3, d=8, e=3, dtype=half),
        case(last, "x.xxx.. xxxxxxx", causal=False, H=1, T=4, d=4, e=6, dtype=half),
    ]


EXERCISE = Exercise(
    id="attention.masks",
    title="Padding and causal masks",
    parts={"padding": 1, "causal": 1, "both, half precision": 1},
    minutes=20,
    difficulty="core",
    importance=5,
    calls=("masked_attention(Q, K, V, real, causal) -> Y",),
    cases=cases,
    # Scores, weights and sums are each rounded to 11 bits on the way: a few times 2^-11 in the end.
    tolerance={torch.float16: (5e-3, 5e-3)},
)
