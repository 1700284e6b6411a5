"""cross_entropy(Z, y, ignore_index) and its gradient: the mean surprise over the labels that count."""

import torch

from coursekit.checking.calls import by_hand
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal

SCORES = Shapes("Z: B T V", told="B T V ignore_index")
CALLS = {"loss": "cross_entropy", "gradient": "cross_entropy_backward"}


def cases(g):
    draw, double = SCORES.cases(g), torch.float64

    def labels(*counted, T, V, ignore_index):
        """So many labels count in each row; the others are `ignore_index`, at any place."""
        classes = [c for c in range(V) if c != ignore_index]
        y = torch.tensor(classes)[torch.randint(len(classes), (len(counted), T), generator=g)]
        for row, count in zip(y, counted, strict=True):
            row[torch.randperm(T, generator=g)[count:]] = ignore_index
        return y

    def case(part, *counted, T, V, ignore_index=-100, y=None, note="", dtype=torch.float32, **given):
        B = len(counted)
        y = labels(*counted, T=T, V=V, ignore_index=ignore_index) if y is None else y
        if "dloss" in given:
            given["dloss"], note = 1 + normal(g, 1, dtype=dtype)[0].abs(), f"{note}, gradients".strip(", ")
        note = ", ".join(filter(None, [f"{', '.join(map(str, counted))} labels count", note]))
        sizes = {"B": B, "T": T, "V": V, "ignore_index": ignore_index}
        return draw(part, **sizes, call=CALLS[part], y=y, note=note, dtype=dtype, **given)

    def both(*counted, **given):
        return [case(part, *counted, **given) for part in CALLS]

    def far(B, T, V):
        """From the largest score some 1,000 down, and each row far above the one before: a softmax has zeros."""
        Z = 1000 * normal(g, B, T, V, dtype=double)
        return Z - Z.amax(-1, keepdim=True) + 2000 * torch.arange(B, dtype=double)[:, None, None]

    one_two = torch.tensor([[1, 2, 2, 0], [2, 1, 1, 1]])
    found = [
        both(3, 5, T=5, V=4),
        both(1, 4, T=6, V=7, dtype=double),
        both(4, 2, 3, T=4, V=5, ignore_index=3, note="a class"),
        both(2, 3, T=4, V=6, ignore_index=-1, dtype=double),
        both(2, 1, T=3, V=5, ignore_index=999, note="more than all classes"),
        both(3, 1, T=4, V=4, ignore_index=1, y=one_two, note="class 1 does not"),
        both(2, 3, T=4, V=4, ignore_index=2, y=one_two, note="class 2 does not"),
        both(3, 0, T=3, V=4),
        both(0, 0, T=3, V=4, note="none at all"),
        both(1, T=1, V=3, dtype=double),
        both(1, 2, T=2, V=1, note="one class"),
        both(60, 3, T=70, V=3),
        both(2, T=3, V=500),
        both(4, 2, T=4, V=6, Z=1000 + normal(g, 2, 4, 6), note="scores around 1,000"),
        both(4, 2, T=4, V=6, dtype=double, Z=far(2, 4, 6), note="scores far apart"),
        both(2, 3, T=4, V=5, contiguous=False),
        [case("loss", 2, 4, T=5, V=4, dtype=double, dloss=None)],
        [case("loss", 0, 0, T=2, V=3, dtype=double, dloss=None)],
    ]
    return sorted((one for pair in found for one in pair), key=lambda one: [*CALLS].index(one.part))


SIGNATURES = ("cross_entropy(Z, y, ignore_index) -> loss", "cross_entropy_backward(Z, y, ignore_index) -> dZ")

EXERCISE = Exercise(
    id="core.cross_entropy",
    title="Cross-entropy and its gradient",
    parts={"loss": 2, "gradient": 1},
    minutes=25,
    difficulty="core",
    importance=5,
    calls=SIGNATURES,
    cases=cases,
    probe=by_hand(SIGNATURES, CALLS["gradient"]),
    ordered=False,
)
