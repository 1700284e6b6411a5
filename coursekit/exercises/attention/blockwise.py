"""blockwise_attention(Q, K, V, block, causal): attention that never holds more than a block of scores."""

import tracemalloc

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal
from coursekit.checking.probing import LargestTensor
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e", told="T S block causal")


def cases(g):
    case, double = QKV.cases(g), torch.float64
    # A common part of all keys shifts a query's scores by up to several hundred: exp overflows, softmax does not.
    far, far_causal = ({"K": normal(g, 1, 2, 7, 4) + 300, "note": "scores near 300"} for _ in range(2))
    high_first = (1,), (1000, 1000, 0, 0, 0, -1000, -1000)
    watched, arrays = ({"B": 1, "H": 2, "watched": what} for what in ("tensors", "arrays"))
    alone = {"B": 1, "H": 1}
    identity = torch.eye(7).repeat(1, 2, 1, 1)
    return [
        case("blocks", B=2, H=2, T=4, S=6, d=4, e=3, block=2, causal=False),
        case("blocks", B=1, H=3, T=3, S=4, d=5, e=2, block=1, causal=False, dtype=double),
        case("blocks", B=1, H=2, T=6, S=6, d=3, e=4, block=3, causal=False),
        as_split(case("any block", B=1, H=2, T=5, S=7, d=4, e=3, block=3, causal=False)),
        case("any block", B=1, H=2, T=3, S=5, d=4, e=3, block=4, causal=False, dtype=double),
        case("any block", B=2, H=1, T=4, S=5, d=1, e=1, block=9, causal=False, note="larger than S"),
        case("any block", B=1, H=2, T=8, S=7, d=4, e=3, block=2, causal=False, **far),
        case(
            "any block",
            **alone,
            T=4,
            S=7,
            d=3,
            e=2,
            block=2,
            causal=False,
            dtype=double,
            apart=high_first,
            note="scores far apart",
        ),
        case("any block", B=2, H=2, T=1, S=7, d=4, e=3, block=3, causal=False),
        case("any block", **alone, T=180, S=600, d=3, e=2, block=30, causal=False),
        case("causal", B=2, H=1, T=6, S=6, d=4, e=3, block=2, causal=True),
        case(
            "causal",
            B=1,
            H=2,
            T=7,
            S=7,
            d=5,
            e=7,
            block=3,
            causal=True,
            V=identity,
            note="V the identity, so that Y is A",
        ),
        case("causal", B=1, H=2, T=7, S=7, d=3, e=4, block=3, causal=True, dtype=double),
        case("causal", B=1, H=2, T=5, S=5, d=4, e=3, block=1, causal=True),
        case("causal", B=1, H=2, T=5, S=5, d=4, e=3, block=8, causal=True),
        case("causal", B=1, H=2, T=7, S=7, d=4, e=3, block=2, causal=True, **far_causal),
        case("causal", B=1, H=2, T=5, S=5, d=4, e=3, block=2, causal=True, dtype=double, scores=-20_000),
        case("memory", T=20, S=20, d=4, e=4, block=4, causal=False, **watched),
        case("memory", T=20, S=20, d=4, e=4, block=4, causal=True, **watched),
        case("memory", **alone, T=8, S=32, d=2, e=2, block=8, causal=False, watched="tensors"),
        # In float64 scores of half the width are not exact enough, so that all of them take 8 bytes each.
        case("memory", T=72, S=1536, d=1, e=1, block=64, causal=False, dtype=double, **arrays),
        case("memory", T=512, S=512, d=1, e=1, block=32, causal=True, dtype=double, **arrays),
    ]


def probe(case, attend):
    arguments = (case["Q"], case["K"], case["V"], case["block"], case["causal"])
    if "watched" not in case:  # to look at every tensor takes longer than to make it
        return {"Y": attend(*arguments)}
    if case["watched"] == "arrays":
        attend(*arguments)  # what it imports or keeps at its first call is not counted
        Y, taken = _taken(lambda: attend(*arguments))
        return {"Y": Y, "_bytes": torch.tensor(taken)}
    with LargestTensor() as made:
        Y = attend(*arguments)
    return {"Y": Y, "_largest": torch.tensor(made.elements)}


def _taken(call):
    """What `call` returns, and the most bytes that Python's objects and NumPy's arrays took up meanwhile.

    Like the largest tensor it is measured beside the learner's code, which could be in its way. Nobody sees what a
    thread of their own makes with torch, nor other libraries' memory.
    """
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    try:
        return call(), tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()


def memory_is_bounded(inputs, outputs):
    """Where it is watched: at most twice what the inputs, or the scores of all queries with one block of keys, take.

    So keys and values may be padded or joined, and query blocks are welcome but not needed. T times S numbers
    for a single head are more than that in the cases with T = S, and a block of queries with all keys is more
    in the case with few queries.
    """
    if inputs.get("watched") != "tensors":
        return None
    B, H, T, d = inputs["Q"].shape
    (S, e), block = inputs["V"].shape[-2:], inputs["block"]
    most = 2 * B * H * max(max(T, S) * max(d, e), T * block)
    found = int(outputs["_largest"])
    if found <= most:
        return None
    return (
        f"the largest tensor made holds {found} numbers, expected at most {most}: a head has {T} x {S} = {T * S} "
        f"scores, a block of queries has {min(block, T) * S} with all keys and {min(block, T) * block} with one block"
    )


def arrays_are_bounded(inputs, outputs):
    """The same for NumPy's arrays and lists: 48 bytes for each number of the inputs, and of one block of keys' scores.

    That is six arrays of float64 at once, or a list of floats and two arrays. All scores of a single head take more,
    and so do those of a block of queries in the case with few of them.
    """
    if inputs.get("watched") != "arrays":
        return None
    (B, H, T, d), (S, e), block = inputs["Q"].shape, inputs["V"].shape[-2:], inputs["block"]
    most, found = 48 * B * H * (T * d + S * (d + e) + T * block), int(outputs["_bytes"])
    if found <= most:
        return None
    return (
        f"arrays and lists outside of torch take {found} bytes, expected at most {most}: all {T} x {S} scores of "
        f"{B * H} heads are {B * H * T * S} numbers, those of one block of keys {B * H * T * min(block, S)}"
    )


EXERCISE = Exercise(
    id="attention.blockwise",
    title="Attention in blocks, with the online softmax",
    parts={"blocks": 1, "any block": 1, "causal": 1, "memory": 1},
    minutes=45,
    difficulty="challenge",
    importance=3,
    calls=("blockwise_attention(Q, K, V, block, causal) -> Y",),
    cases=cases,
    probe=probe,
    laws=(memory_is_bounded, arrays_are_bounded),
    # Scores of several hundred are known to about 1e-4 in float32, and their exponentials no better.
    tolerance={torch.float32: (1e-4, 5e-4)},
)
