"""blockwise_attention(Q, K, V, block, causal): attention that never holds more than a block of scores."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.probing import LargestTensor


def cases(g):
    def draw(B, H, T, S, d, e, block, causal=False, dtype=torch.float32, watched=False):
        shapes = {"Q": (B, H, T, d), "K": (B, H, S, d), "V": (B, H, S, e)}
        tensors = {name: normal(g, *shape, dtype=dtype) for name, shape in shapes.items()}
        return tensors | {"block": block, "causal": causal, "watched": watched}

    def offset(inputs):
        # A common part of all keys shifts a query's scores by up to several hundred: exp overflows, softmax does not.
        return inputs | {"K": inputs["K"] + 300}

    def long(causal):
        return draw(1, 2, 48, 48, 4, 4, block=8, causal=causal, watched=True)

    double = torch.float64
    strided = draw(2, 1, 5, 7, 4, 3, block=3)
    return [
        Case("blocks", "T=4, S=6, block=2", draw(2, 2, 4, 6, 4, 3, block=2)),
        Case("blocks", "T=3, S=4, block=1, float64", draw(1, 3, 3, 4, 5, 2, block=1, dtype=double)),
        Case("blocks", "T=6, S=6, block=3", draw(1, 2, 6, 6, 3, 4, block=3)),
        Case("any block", "T=5, S=7, block=3, not contiguous", strided | {n: scattered(strided[n]) for n in "QKV"}),
        Case("any block", "T=3, S=5, block=4, float64", draw(1, 2, 3, 5, 4, 3, block=4, dtype=double)),
        Case("any block", "T=4, S=5, block=9, larger than S", draw(2, 1, 4, 5, 6, 2, block=9)),
        Case("any block", "T=8, S=7, block=2, scores near 300", offset(draw(1, 2, 8, 7, 4, 3, block=2))),
        Case("causal", "T=6, block=2", draw(2, 1, 6, 6, 4, 3, block=2, causal=True)),
        Case("causal", "T=7, block=3, float64", draw(1, 2, 7, 7, 3, 4, block=3, causal=True, dtype=double)),
        Case("causal", "T=5, block=1", draw(1, 2, 5, 5, 6, 2, block=1, causal=True)),
        Case("causal", "T=5, block=8", draw(1, 2, 5, 5, 4, 3, block=8, causal=True)),
        Case("causal", "T=7, block=2, scores near 300", offset(draw(1, 2, 7, 7, 4, 3, block=2, causal=True))),
        Case("memory", "T=48, block=8", long(causal=False)),
        Case("memory", "T=48, block=8, causal", long(causal=True)),
        Case("memory", "T=8, S=96, block=8", draw(1, 2, 8, 96, 2, 2, block=8, watched=True)),
    ]


def probe(case, attend):
    arguments = (case["Q"], case["K"], case["V"], case["block"], case["causal"])
    if not case["watched"]:  # to look at every tensor takes longer than to make it
        return {"Y": attend(*arguments)}
    with LargestTensor() as made:
        Y = attend(*arguments)
    return {"Y": Y, "_largest": torch.tensor(made.elements)}


def memory_is_bounded(inputs, outputs):
    """Where it is watched: at most twice what the inputs, or the scores of all queries with one block of keys, take.

    So keys and values may be padded or joined, and query blocks are welcome but not needed. T times S numbers
    for a single head are more than that in the cases with T = S = 48, and a block of queries with all keys is more
    in the case with few queries.
    """
    if not inputs["watched"]:
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


def from_library(Q, K, V, block, causal):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=causal)


EXERCISE = Exercise(
    id="attention.blockwise",
    title="Attention in blocks, with the online softmax",
    parts={"blocks": 1, "any block": 1, "causal": 1, "memory": 1},
    minutes=40,
    difficulty="stretch",
    calls=("blockwise_attention(Q, K, V, block, causal) -> Y",),
    cases=cases,
    probe=probe,
    library=(from_library,),
    laws=(memory_is_bounded,),
    # Scores of several hundred are known to about 1e-4 in float32, and their exponentials no better.
    tolerance={torch.float32: (1e-4, 5e-4)},
)
