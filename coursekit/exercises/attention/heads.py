"""split_heads(X, H): head h of each token is its h-th slice of the width; merge_heads(Y) is the way back."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal

SPLIT = Shapes("X: B T D", told="T D H")
MERGE = Shapes("Y: B H T d", told="H T d")


def cases(g):
    split, merge, double = SPLIT.cases(g), MERGE.cases(g), torch.float64
    as_split = normal(g, 2, 5, 3, 2).transpose(1, 2)
    return [
        split("split", B=2, T=3, D=8, H=2),
        split("split", B=2, T=5, D=12, H=3, contiguous=False),
        split("split", B=2, T=3, D=8, H=2, contiguous=False),
        split("split", B=3, T=4, D=6, H=1),
        split("split", B=1, T=2, D=15, H=5, dtype=double),
        split("split", B=2, T=3, D=8, H=4),
        split("split", B=2, T=5, D=3, H=3),
        split("split", B=1, T=2, D=48, H=16),
        merge("merge", B=2, H=2, T=3, d=4),
        merge("merge", B=2, H=3, T=5, d=2, Y=as_split, note="as split_heads lays it out"),
        merge("merge", B=3, H=1, T=4, d=6),
        merge("merge", B=2, H=2, T=3, d=4, contiguous=False),
        merge("merge", B=2, H=3, T=5, d=1),
        merge("merge", B=1, H=16, T=2, d=3),
        merge("merge", B=1, H=5, T=2, d=3, dtype=double, contiguous=False),
    ]


EXERCISE = Exercise(
    id="attention.heads",
    title="Split into heads and merge them",
    parts={"split": 1, "merge": 1},
    minutes=15,
    difficulty="core",
    importance=4,
    calls=("split_heads(X, H) -> Z", "merge_heads(Y) -> X"),
    cases=cases,
    ordered=False,
)
