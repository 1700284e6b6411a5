"""best_spans(start, end, context, limit, margin): the best answer of each row as (first, last), (0, 0) where "
"there is none."""

import math

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered

NEVER = -1000.0  # a margin by which the null score is beaten whatever the logits are


def cases(g):
    def draw(part, label, rows, limit, margin=NEVER, dtype=torch.float32, shift=0.0):
        """Logits of some size, so that each rule decides in some rows; '?' is question, 'x' context, '.' padding."""
        context = torch.tensor([[token == "x" for token in row] for row in rows.split()])
        logits = {name: 2 * normal(g, *context.shape, dtype=dtype) + shift for name in ("start", "end")}
        return Case(part, label, logits | {"context": context, "limit": limit, "margin": margin})

    def spans(label, *args, **kwargs):
        return draw("spans", label, *args, **kwargs)

    def impossible(label, rows, limit, margin, **kwargs):
        """Null scores of about the size of the best span's, half of them on each side of it."""
        case = draw("impossible", label, rows, limit, margin, **kwargs)
        start, end, context = (case.inputs[name] for name in ("start", "end", "context"))
        for row in range(len(context)):
            near = start[row][context[row]].amax() + end[row][context[row]].amax() if context[row].any() else 0.0
            start[row, 0] += 1.0
            end[row, 0] = near + 1.5 * normal(g, 1, dtype=start.dtype)[0] - 0.5 - start[row, 0]
        return case

    def turned(case):
        return Case(case.part, case.label, case.inputs | {n: scattered(case.inputs[n]) for n in ("start", "end")})

    def repeated(pattern, times):
        return " ".join([pattern] * times)

    double = torch.float64
    mixed = "????xxxxxx?... ???xxxxxxxxxx? ??????xxxxxx?. ???xxxxxxx?... ????xxxxxxxx?. ???xxxxx?....."
    return [
        spans("T=10, limit=10, all in the context", repeated("?xxxxxxxx?", 9), 10),
        spans("T=14, limit=14, question and padding", f"{mixed} {mixed}", 14),
        spans("T=14, limit=3", f"{mixed} {mixed}", 3),
        spans("T=11, limit=4, float64", repeated("??xxxxxxxx?", 12), 4, dtype=double),
        spans("T=9, limit=1", repeated("???xxxxx?", 8), 1),
        turned(
            spans("T=13, limit=5, all logits negative, not contiguous", repeated("???xxxxxxxx?.", 10), 5, shift=-12.0)
        ),
        spans("T=13, limit=2, float64", repeated("????xxxxxxx?.", 12), 2, dtype=double),
        impossible("T=14, margin=0", f"{mixed} {mixed}", 4, 0.0),
        impossible("T=11, margin=1.5", repeated("???xxxxxxx?", 16), 3, 1.5),
        impossible("T=11, margin=-1.5, float64", repeated("???xxxxxxx?", 16), 3, -1.5, dtype=double),
        impossible("T=12, margin=0.5, all logits negative", repeated("????xxxxxxx?", 12), 5, 0.5, shift=-9.0),
        impossible("T=8, margin=-2, a row without context", "??xxxxx? ??????.. ??xxxx?.", 2, -2.0),
    ]


def probe(case, best_spans):
    given = (case[name] for name in ("start", "end", "context", "limit", "margin"))
    return {"first and last": best_spans(*given)}


def _library(start, end, context, limit, margin):
    from transformers.models.dpr.tokenization_dpr import CustomDPRReaderTokenizerMixin  # here: it takes seconds

    rows = []
    for s, e, inside in zip(start, end, context, strict=True):
        S, E = (x.masked_fill(~inside, -math.inf).tolist() for x in (s, e))
        ((i, j),) = CustomDPRReaderTokenizerMixin._get_best_spans(None, S, E, limit, 1)
        rows.append((i, j) if S[i] + E[j] > s[0] + e[0] + margin else (0, 0))
    return torch.tensor(rows, device=start.device)


EXERCISE = Exercise(
    id="bert.spans",
    title="The best span, or no answer",
    parts={"spans": 2, "impossible": 1},
    minutes=30,
    difficulty="challenge",
    calls=("best_spans(start, end, context, limit, margin) -> spans",),
    cases=cases,
    probe=probe,
    library=(_library,),
)
