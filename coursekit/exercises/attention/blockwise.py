"""blockwise_attention(Q, K, V, block, causal): attention that never holds more than a block of scores."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal
from coursekit.checking.probing import LargestTensor

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e", told="T S block causal")


def cases(g):
    case, double = QKV.cases(g), torch.float64
    # A common part of all keys shifts a query's scores by up to several hundred: exp overflows, softmax does not.
    far, far_causal = ({"K": normal(g, 1, 2, 7, 4) + 300, "note": "scores near 300"} for _ in range(2))
    watched = {"B": 1, "H": 2, "watched": True}
    return [
        case("blocks", B=2, H=2, T=4, S=6, d=4, e=3, block=2, causal=False),
        case("blocks", B=1, H=3, T=3, S=4, d=5, e=2, block=1, causal=False, dtype=double),
        case("blocks", B=1, H=2, T=6, S=6, d=3, e=4, block=3, causal=False),
        case("any block", B=2, H=1, T=5, S=7, d=4, e=3, block=3, causal=False, contiguous=False),
        case("any block", B=1, H=2, T=3, S=5, d=4, e=3, block=4, causal=False, dtype=double),
        case("any block", B=2, H=1, T=4, S=5, d=6, e=2, block=9, causal=False, note="larger than S"),
        case("any block", B=1, H=2, T=8, S=7, d=4, e=3, block=2, causal=False, **far),
        case("causal", B=2, H=1, T=6, S=6, d=4, e=3, block=2, causal=True),
        case("causal", B=1, H=2, T=7, S=7, d=3, e=4, block=3, causal=True, dtype=double),
        case("causal", B=1, H=2, T=5, S=5, d=6, e=2, block=1, causal=True),
        case("causal", B=1, H=2, T=5, S=5, d=4, e=3, block=8, causal=True),
        case("causal", B=1, H=2, T=7, S=7, d=4, e=3, block=2, causal=True, **far_causal),
        case("memory", T=20, S=20, d=4, e=4, block=4, causal=False, **watched),
        case("memory", T=20, S=20, d=4, e=4, block=4, causal=True, **watched),
        case("memory", T=8, S=32, d=2, e=2, block=8, causal=False, **watched),
    ]


def probe(case, attend):
    arguments = (case["Q"], case["K"], case["V"], case["block"], case["causal"])
    if "watched" not in case:  # to look at every tensor takes longer than to make it
        return {"Y": attend(*arguments)}
    with LargestTensor() as made:
        Y = attend(*arguments)
    return {"Y": Y, "_largest": torch.tensor(made.elements)}


def memory_is_bounded(inputs, outputs):
    """Where it is watched: at most twice what the inputs, or the scores of all queries with one block of keys, take.

    So keys and values may be padded or joined, and query blocks are welcome but not needed. T times S numbers
    for a single head are more than that in the cases with T = S, and a block of queries with all keys is more
    in the case with few queries.
    """
    if "watched" not in inputs:
        return None
    B, H, T, d = inputs["Q"].shape
    S, e = inputs["V"].shape[-2:]
    most = 2 * B * H * max(max(T, S) * max(d, e), T * inputs["block"])
    found = int(outputs["_largest"])
    if found <= most:
        return None
    return (
        f"the largest tensor made holds {found} numbers, expected at most {most}; "
        f"a whole score matrix has T x S = {T * S} for each head"
    )


EXERCISE = Exercise(
    id="attention.blockwise",
    title="Attention in blocks, with the online softmax",
    parts={"blocks": 1, "any block": 1, "causal": 1, "memory": 1},
    minutes=40,
    difficulty="stretch",
    calls=("blockwise_attention(Q, K, V, block, causal) -> Y",),
    cases=cases,
    probe=probe,
    laws=(memory_is_bounded,),
    # Scores of several hundred are known to about 1e-4 in float32, and their exponentials no better.
    tolerance={torch.float32: (1e-4, 5e-4)},
)
