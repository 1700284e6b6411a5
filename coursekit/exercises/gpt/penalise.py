"""penalise and stop_at: a text should not repeat itself, and it should end where it is told to."""

import math
from dataclasses import replace

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import Shapes, some

LOGITS = Shapes("logits: B V", told="B V T penalty")


def cases(g):
    draw, double = LOGITS.cases(g), torch.float64

    def penalty(B, V, T, by, note="", scale=1.0, dtype=torch.float32, special=()):
        """Half of the seen tokens have negative logits; the first two stand at several places where T allows it."""
        logits = scale * (0.2 + torch.rand(B, V, generator=g, dtype=double))
        ids = torch.zeros(B, T, dtype=torch.int64)
        for row in range(B):
            seen = some(g, range(V), min(T, max(V // 2, 1)))
            places = [seen[i] for i in range(len(seen))] + [seen[i % 2] for i in range(T - len(seen))]
            ids[row] = torch.tensor(places)[torch.randperm(T, generator=g)]
            logits[row, seen[1::2]] *= -1
            for token, value in zip(seen, special, strict=False):
                logits[row, token] = value
            logits[row, [t for t in range(V) if t not in seen][::2]] *= -1
        return draw("penalty", B=B, V=V, penalty=by, T=T, ids=ids, logits=logits.to(dtype), note=note, dtype=dtype)

    def stop(label, ids, *stops, highest=60):
        """The numbers stand for ids, which are drawn."""
        name = some(g, range(highest), 12)
        return Case("stops", label, {"ids": [name[i] for i in ids], "stops": [[name[i] for i in s] for s in stops]})

    long = torch.randint(4, (400,), generator=g).tolist()
    ten = [4, 5, 6, 7, 8, 4, 5, 6, 7] * 2
    below = penalty(2, 6, 4, 0.7, note="below 1")
    none = replace(below, label="the same tokens, a penalty of 1", inputs=below.inputs | {"penalty": 1.0})
    text = stop("one stop of two ids", (0, 1, 2, 3, 4), (2, 3))
    other = replace(
        text, label="the same text, another stop", inputs=text.inputs | {"stops": [text.inputs["ids"][1:4]]}
    )
    digits = {"ids": [12, 31, 2, 3, 1], "stops": [[2, 31]]}
    large = {"ids": [65_541, 7, 261, 7, 5, 7, 9], "stops": [[5, 7]]}
    return [
        penalty(2, 8, 6, 1.3),
        penalty(3, 7, 9, 1.8, dtype=double),
        below,
        none,
        penalty(1, 9, 1, 2.5),
        penalty(1, 8, 5, 1.2, special=(0.0, -math.inf, -1e-3), note="one logit is 0, one -inf"),
        penalty(2, 40, 300, 1.1),
        penalty(2, 8, 6, 1.5, scale=1e4, dtype=double),
        text,
        other,
        stop("one stop of one id", (0, 1, 2, 1, 3), (1,)),
        stop("the first of two places counts", (0, 1, 2, 5, 1, 2, 6), (1, 2)),
        stop("the stop that is listed last begins first", (0, 1, 2, 3, 4), (3, 4), (0,), highest=90_000),
        stop("of two stops of two ids the second one begins first", (0, 1, 2, 3, 4), (2, 3), (0, 1)),
        stop("nine ids of a stop of ten", (0, 1, 2, 3, 4, 5, 6, 7, 8, 11), tuple(range(10))),
        stop("ids of a stop, not in a row", (0, 1, 4, 2, 3, 2, 1), (1, 2), (3, 4)),
        stop("no stop begins", (0, 1, 2, 3), (4,), (3, 5)),
        stop("the text breaks off within a stop", (0, 1, 2, 3), (2, 3, 4), (3, 1)),
        stop("a stop at the end", (0, 1, 2, 3), (3,), (2, 3, 4)),
        stop("nothing is left", (0, 1, 2), (0, 1)),
        stop("a stop begins within another", (0, 1, 2, 3, 4), (2,), (1, 2, 3)),
        stop("a stop begins twice, and goes on once", (0, 1, 1, 2, 3), (1, 2)),
        stop("a stop of equal ids begins one place late", (0, 1, 1, 1, 2, 3), (1, 1, 2)),
        stop("a stop begins again later", (0, 1, 4, 1, 2, 3), (1, 2)),
        stop("a stop begins within itself", (0, 1, 2, 1, 2, 1, 3, 4), (1, 2, 1, 3)),
        stop("two stops begin alike, the one listed last is there", (0, 1, 3, 4), (1, 2), (1, 3)),
        stop("two stops begin alike, the one listed first is there", (0, 1, 2, 4), (1, 2), (1, 3)),
        stop("two stops begin alike, the longer one is there", (0, 1, 3, 5, 4), (1, 2), (1, 3, 5)),
        stop("two stops begin alike, the shorter one is there", (0, 1, 2, 5), (1, 3, 5), (1, 2)),
        stop("the ends of a stop, and its ids in another order", (0, 1, 9, 3, 1, 3, 2, 4, 1, 2, 3), (1, 2, 3)),
        stop("a stop is longer than the text", (0, 1), (0, 1, 2)),
        stop("there are no stops", (0, 1, 2, 1)),
        stop("the text is empty", (), (0,), (1, 2)),
        Case("stops", "ids that look alike when written", digits),
        Case("stops", "ids that are equal in their last bytes", large),
        stop("a text of 440 ids, a stop of 40", [*long, *[7, 8] * 20], [7, 8] * 20, [4] * 9),
        stop(
            "a text of 296 ids, a stop of 37 among the first 60",
            [*ten, 3, *ten, *ten, 9, *long[:240]],
            [*ten, *ten, 9],
            [4] * 9,
        ),
    ]


EXERCISE = Exercise(
    id="gpt.penalise",
    title="Mend this code, repeats and stops",
    parts={"penalty": 1, "stops": 1},
    minutes=15,
    difficulty="core",
    importance=3,
    calls=("penalise(logits, ids, penalty) -> penalised", "stop_at(ids, stops) -> kept: number"),
    cases=cases,
    ordered=False,
)
