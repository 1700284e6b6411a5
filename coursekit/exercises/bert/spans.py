"""best_spans(start, end, context, limit, margin): each row's best answer (first, last), (0, 0) where there is none."""

import math
from dataclasses import replace

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places

LOGITS = Shapes("start: B T, end: B T", told="T limit")
NEVER = -1000.0  # a margin by which the null score is beaten whatever the logits are


def cases(g):
    draw, double = LOGITS.cases(g), torch.float64

    def case(rows, limit, times=1, part="spans", margin=NEVER, shift=0.0, **given):
        """Logits of some size, so that each rule decides in some rows; "?" is question, "x" context, "." padding."""
        context = places(rows).repeat(times, 1)
        B, T = context.shape
        drawn = draw(part, B=B, T=T, context=context, limit=limit, margin=margin, **given)
        for name in ("start", "end"):
            drawn.inputs[name].mul_(2).add_(shift)
        return drawn

    def impossible(rows, limit, margin, *, times=1, note="", **given):
        """Null scores of about the size of the best span's, half of them on each side of it."""
        drawn = case(rows, limit, times, "impossible", margin, note=f"margin={margin}{note}", **given)
        start, end, context = (drawn.inputs[name] for name in ("start", "end", "context"))
        S, E = (x.masked_fill(~context, -math.inf).amax(1) for x in (start, end))
        start[:, 0] += 1.0
        near = (S + E).nan_to_num(neginf=0.0) + 1.5 * normal(g, len(S), dtype=S.dtype) - 0.5
        end[:, 0] = near - start[:, 0]
        return drawn

    def tied(rows, limit, times):
        """The best span's two logits are token 0's: it does not beat the null score by more than 0."""
        drawn = case(rows, limit, times, "impossible", 0.0, note="margin=0.0, as good as no answer")
        start, end, context = (drawn.inputs[name] for name in ("start", "end", "context"))
        first = context.int().argmax(1)
        for row, i in enumerate(first.tolist()):
            start[row, [0, i]], end[row, [0, i + 1]] = 9.0 + row, 8.0
        return drawn

    def far_apart(rows, limit, times):
        """Sums of forbidden pairs and of allowed ones lie hundreds apart."""
        drawn = case(rows, limit, times, margin=-1e6, note="logits far apart")
        for name in ("start", "end"):
            drawn.inputs[name].mul_(150)
        return drawn

    def long(limit, high, low, **given):
        """A long text: the largest starts at the places `high`, the largest ends at the places `low`."""
        drawn = case("?" + "x" * 62 + "?", limit, 3, **given)
        drawn.inputs["start"][:, high] += 20
        drawn.inputs["end"][:, low] += 20
        return drawn

    mixed = "????xxxxxx?... ???xxxxxxxxxx? ??????xxxxxx?. ???xxxxxxx?... ????xxxxxxxx?. ???xxxxx?....."
    close = impossible(mixed, 4, 0.0, times=2)
    return [
        case("?xxxxxxxx?", 10, times=9, note="all in the context"),
        case(mixed, 14, times=2, note="question and padding"),
        case(mixed, 3, times=2),
        case("??xxxxxxxx?", 4, times=12, dtype=double),
        case("???xxxxx?", 1, times=8),
        case("???xxxxxxxx?.", 5, times=10, shift=-12.0, contiguous=False, note="all logits negative"),
        case("????xxxxxxx?.", 5, times=10),
        case("??xxxxxxx?", 3, note="one row"),
        case("??xxxx..xxx??xxx. ??xx.xx.xxxx?xx?. ?xxxxxx??..xxxxxx", 6, times=6, note="a context in pieces"),
        far_apart("??xxxxxxx??.", 3, 8),
        long(3, slice(1, 26), slice(36, 61), note="large starts and large ends far apart"),
        long(50, slice(2, 4), slice(44, 46), note="a long span"),
        close,
        replace(close, label="the same logits, margin=1.5", inputs=close.inputs | {"margin": 1.5}),
        tied("??xxxxxxx?", 3, 4),
        impossible("???xxxxxxx?", 3, 1.5, times=16),
        impossible("???xxxxxxx?", 3, -1.5, times=16, dtype=double),
        impossible("????xxxxxxx?", 5, 0.5, times=12, shift=-9.0, note=", all logits negative"),
        impossible("??xxxxx? ??????.. ??xxxx?.", 2, -2.0, note=", a row without context"),
    ]


EXERCISE = Exercise(
    id="bert.spans",
    title="The best span, or no answer",
    parts={"spans": 2, "impossible": 1},
    minutes=30,
    difficulty="challenge",
    importance=2,
    calls=("best_spans(start, end, context, limit, margin) -> spans",),
    cases=cases,
)
