"""split_heads(X, H): head h of each token is its h-th slice of the width; merge_heads(Y) is the way back."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered


def cases(g):
    def split(label, X, H):
        return Case("split", label, {"X": X, "H": H})

    def merge(label, Y):
        return Case("merge", label, {"Y": Y})

    double = torch.float64
    return [
        split("T=3, D=8, H=2", normal(g, 2, 3, 8), 2),
        split("T=5, D=12, H=3, not contiguous", scattered(normal(g, 2, 5, 12)), 3),
        split("T=4, D=6, H=1", normal(g, 3, 4, 6), 1),
        split("T=2, D=15, H=5, float64", normal(g, 1, 2, 15, dtype=double), 5),
        merge("H=2, T=3, d=4", normal(g, 2, 2, 3, 4)),
        merge("H=3, T=5, d=2, as split_heads lays it out", normal(g, 2, 5, 3, 2).transpose(1, 2)),
        merge("H=1, T=4, d=6", normal(g, 3, 1, 4, 6)),
        merge("H=5, T=2, d=3, float64, not contiguous", scattered(normal(g, 1, 5, 2, 3, dtype=double))),
    ]


def probe(case, split, merge):
    if "X" in case:
        return {"split_heads(X, H)": split(case["X"], case["H"])}
    return {"merge_heads(Y)": merge(case["Y"])}


def _split(X, H):
    return _gpt_neo()._split_heads(None, X, H, X.shape[-1] // H)


def _merge(Y):
    return _gpt_neo()._merge_heads(None, Y, Y.shape[1], Y.shape[-1])


def _gpt_neo():
    from transformers.models.gpt_neo import modeling_gpt_neo  # here, because it takes seconds to import

    return modeling_gpt_neo.GPTNeoSelfAttention


EXERCISE = Exercise(
    id="attention.heads",
    title="Split into heads and merge them",
    parts={"split": 1, "merge": 1},
    minutes=15,
    difficulty="core",
    calls=("split_heads(X, H) -> Z", "merge_heads(Y) -> X"),
    cases=cases,
    probe=probe,
    library=(_split, _merge),
    ordered=False,
)
