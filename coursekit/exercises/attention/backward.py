"""attention_backward(Q, K, V, dY): the gradients of sum(Y * dY) with respect to Q, K and V, by hand."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e", told="T S d e")

FAR = (1, 0, -1), (1000,)  # scores near 1000, 0 and -1000


def cases(g):
    case, double = QKV.cases(g), torch.float64
    found = []
    for wanted in ("dV", "dQ", "dK"):
        asked = {"upstream": True, "wanted": wanted}
        found += [
            # T = S, because there a matrix that should be transposed fits without it.
            case(wanted, B=2, H=2, T=4, S=4, d=5, e=3, **asked),
            case(wanted, B=1, H=3, T=3, S=5, d=8, e=4, **asked),
            as_split(case(wanted, B=1, H=2, T=5, S=2, d=3, e=6, **asked)),
            case(wanted, B=1, H=2, T=2, S=6, d=4, e=5, dtype=double, **asked),
            case(wanted, B=1, H=2, T=3, S=4, d=5, e=2, dtype=double, scores=-20_000, **asked),
            case(wanted, B=1, H=2, T=3, S=4, d=5, e=2, dtype=double, apart=FAR, note="rows far apart", **asked),
            case(wanted, B=2, H=2, T=1, S=3, d=4, e=2, **asked),
            case(wanted, B=1, H=2, T=2, S=150, d=3, e=2, **asked),
        ]
    return found


def probe(case, backward):
    backward(case["Q"], case["K"], case["V"], case["dY"])
    dQ, dK, dV = backward(case["Q"], case["K"], case["V"], case["dY"])  # gradients may not add up from call to call
    return {case["wanted"]: {"dQ": dQ, "dK": dK, "dV": dV}[case["wanted"]]}  # each gradient is paid for by itself


EXERCISE = Exercise(
    id="attention.backward",
    title="The backward pass of attention, by hand",
    parts={"dV": 1, "dQ": 1, "dK": 1},
    minutes=40,
    difficulty="stretch",
    importance=3,
    calls=("attention_backward(Q, K, V, dY) -> dQ, dK, dV",),
    cases=cases,
    probe=probe,
    ordered=False,
)
