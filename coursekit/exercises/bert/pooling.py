"""cls_pooling(X, real) and mean_pooling(X, real): one vector for a sentence, from its first token or from all."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places

POOLING = Shapes("X: B T D, dY: B D", told="call T D")


def cases(g):
    draw, double = POOLING.cases(g), torch.float64

    def case(part, pooling, rows, D, **given):
        """Of the rows, "x" is a real token and "." padding."""
        real = places(rows)
        B, T = real.shape
        return draw(part, call=f"{pooling}_pooling", real=real, B=B, T=T, D=D, **given)

    empty = "a row of padding only"
    loud = {"X": torch.where(places("xxx.. x.xx.")[..., None], 1.0, 1e6) * normal(g, 2, 5, 3)}
    sparse = {"X": normal(g, 3, 5, 4).relu(), "note": "zeros among the numbers"}  # zeros in X do not mean padding
    return [
        case("cls", "cls", "xx.. xxxx x...", 3, note="padded"),
        case("cls", "cls", "xxx xxx xxx xxx", 6, dtype=double),
        case("cls", "cls", "xxx.. xxxxx xxxx.", 2, contiguous=False, note="padded"),
        case("cls", "cls", "x", 1, note="one number"),
        case("mean", "mean", "xxxxx xxxxx", 4),
        case("mean", "mean", "xx.. xxxx x...", 3, note="padded"),
        case("mean", "mean", ".xx xxx", 5, dtype=double, note="padding on the left"),
        case("mean", "mean", "..xxx. xxxx.. .x.xxx", 4, contiguous=False, note="padding on both sides"),
        case("mean", "mean", "xxx.. xxxxx x....", 4, **sparse),
        case("mean", "mean", "xxx. .... x...", 2, note=empty),
        case("mean", "mean", "x... xxx. ....", 2, note="the same shape, other padding"),
        case("mean", "mean", "xxx.. x.xx.", 3, **loud, note="numbers far larger on the padding"),
        case("mean", "mean", "x", 1, note="one number"),
        case("mean", "mean", 300 * "x" + 20 * ".", 2, note="a long sentence"),
        case("gradients", "cls", "xx.. xxxx", 3, upstream=True),
        case("gradients", "mean", "xx... xxxx.", 3, upstream=True, note="padded"),
        case("gradients", "mean", ".... xx..", 5, dtype=double, upstream=True, note=empty),
    ]


EXERCISE = Exercise(
    id="bert.pooling",
    title="One vector for a sentence",
    parts={"cls": 1, "mean": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    importance=5,
    calls=("cls_pooling(X, real) -> Y", "mean_pooling(X, real) -> Y"),
    cases=cases,
    ordered=False,
)
