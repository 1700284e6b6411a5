"""BertEmbeddings(V, D, longest): X = Norm(token + segment + position)."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

MODULE = Shapes(
    "dX: B T D, token.weight: V D, segment.weight: 2 D, position.weight: longest D, norm.weight: D, norm.bias: D",
    told="B T D longest",
)


def cases(g):
    draw, double = MODULE.cases(g), torch.float64

    def case(part, first, T, V, **given):
        """Sentences whose second segment starts after the `first` tokens, the same token in several places."""
        ids = torch.randint(V, (len(first), T), generator=g)
        ids[:, -1], ids[:, 0] = ids[:, 1], 0
        segments = (torch.arange(T) >= torch.tensor(first)[:, None]).long()
        return draw(part, ids=ids, segments=segments, B=len(first), T=T, V=V, **given)

    return [
        case("values", [3, 2], T=5, V=11, D=8, longest=9),
        case("values", [6, 4, 1], T=6, V=13, D=10, longest=7),
        case("values", [2], T=4, V=7, D=12, longest=4, dtype=double),
        case("gradients", [4, 3], T=6, V=9, D=10, longest=8, upstream=True),
        case("gradients", [1, 2, 3], T=4, V=12, D=8, longest=6, dtype=double, upstream=True),
    ]


EXERCISE = Exercise(
    id="bert.embeddings",
    title="Token, segment and position in one vector",
    parts={"values": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("BertEmbeddings(V, D, longest)(ids, segments) -> X",),
    cases=cases,
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
