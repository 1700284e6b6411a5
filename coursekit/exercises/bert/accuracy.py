"""accuracy(logits, labels): the share of the labelled places where the first of the largest logits is the label's."""

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered, some

IGNORED = -100


def cases(g):
    def logits_for(predictions, C, dtype=torch.float32):
        """Small numbers with a large one where the prediction is."""
        p = torch.tensor(predictions)
        return 0.3 * normal(g, *p.shape, C, dtype=dtype) + 4 * F.one_hot(p, C).to(dtype)

    def case(label, logits, labels):
        return Case("accuracy", label, {"logits": logits, "labels": torch.tensor(labels)})

    P, Q = some(g, range(3), 3), some(g, range(4), 4)
    padded = [[P[0], P[1], P[2], P[0]], [P[1], 0, 0, 0], [P[2], P[2], 0, 0]]
    labels = [[P[0], P[1], P[2], P[1]], [P[0], IGNORED, IGNORED, IGNORED], [P[2], P[0], IGNORED, IGNORED]]
    double = scattered(logits_for([P[0], P[1], P[0], P[2], P[2]], 3, torch.float64))
    tied = normal(g, 4, 5)
    tied[torch.arange(4)[:, None], torch.tensor([(0, 3), (1, 4), (2, 3), (0, 1)])] = 5.0
    return [
        case("N=6, C=4", logits_for([*Q, Q[0], Q[1]], 4), [Q[0], Q[1], Q[2], Q[1], Q[0], Q[3]]),
        case("B=3, T=4, C=3, some places without a label", logits_for(padded, 3), labels),
        case("N=4, C=5, two classes tied", tied, [0, 4, 3, 1]),
        case("N=5, C=3, float64, not contiguous", double, [P[0], P[1], P[1], P[0], P[0]]),
        case("B=2, T=3, C=4, no label at all", normal(g, 2, 3, 4), [[IGNORED] * 3] * 2),
    ]


EXERCISE = Exercise(
    id="bert.accuracy",
    title="Accuracy",
    parts={"accuracy": 1},
    minutes=8,
    difficulty="core",
    calls=("accuracy(logits, labels) -> accuracy: number",),
    cases=cases,
    # A share of a few numbers may be computed in float32 whatever the logits are.
    tolerance={torch.float64: (1e-5, 1e-6)},
)
