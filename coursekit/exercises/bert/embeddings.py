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

    def case(part, segments, V, note="", **given):
        """The same token in several places, token 0 among them; the segments of each sentence are written as digits."""
        rows = [[int(digit) for digit in row] for row in segments.split()]
        B, T = len(rows), len(rows[0])
        ids = torch.randint(V, (B, T), generator=g)
        ids[:, -1] = ids[:, min(1, T - 1)]
        ids[0, 0] = 0
        return draw(part, ids=ids, segments=torch.tensor(rows), B=B, T=T, V=V, note=note, **given)

    # Cases of equal V, D and longest are calls of one module: with other segments, with another length.
    small, full = {"V": 11, "D": 8, "longest": 9}, {"V": 7, "D": 12, "longest": 4, "dtype": double}
    return [
        case("values", "00011 00111", **small),
        case("values", "01111 00000", note="other segments", **small),
        case("values", "000000 000011 011111", V=13, D=10, longest=7),
        case("values", "0011", note="as long as can be", **full),
        case("values", "0 1 0", note="one token", **full),
        # Some models stop at 512 positions, and some repeat themselves behind.
        case("values", 350 * "0" + 170 * "1", V=5, D=4, longest=524, note="a long sentence"),
        case("values", "0011100 1010011", V=9, D=10, longest=8, note="segments that come again"),
        case("gradients", "000011 000111", V=9, D=10, longest=8, upstream=True),
        case("gradients", "0111 0011 0001", V=12, D=8, longest=6, dtype=double, upstream=True),
    ]


EXERCISE = Exercise(
    id="bert.embeddings",
    title="Mend the embeddings",
    parts={"values": 1, "gradients": 1},
    minutes=10,
    difficulty="core",
    importance=4,
    calls=("BertEmbeddings(V, D, longest)(ids, segments) -> X",),
    cases=cases,
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
