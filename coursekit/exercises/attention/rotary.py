"""apply_rotary(Q, K, positions, base): queries and keys turned by angles that grow with their positions."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.exercises.layouts import as_split

LENGTH = 1e-5  # of the longest pair: about a hundred roundings in float32, a fiftieth of one in float16

HEADS = Shapes("Q: B H T d, K: B G T d", told="T d base")


def cases(g):
    draw, counted, anywhere, any_kind = HEADS.cases(g), "counted from 0", "any positions", "any base or dtype"

    def case(part, positions, **sizes):
        B, T = positions.shape
        return draw(part, B=B, T=T, positions=positions, **sizes)

    def count(B, T):
        return torch.arange(T).expand(B, T).contiguous()

    def below(limit, B, T):
        return torch.randint(1, limit, (B, T), generator=g)

    there = below(50, 2, 3)
    return [
        case(counted, count(2, 4), H=2, G=1, d=6),
        case(counted, count(1, 5), H=1, G=1, d=8, note="one head"),
        case(anywhere, count(2, 4) + torch.tensor([[7], [2]]), H=2, G=1, d=6, note="positions 7 to 10 and 2 to 5"),
        case(anywhere, below(50, 2, 5), H=4, G=2, d=4, note="in any order, other ones in each sequence"),
        as_split(case(anywhere, there, H=2, G=3, d=6)),
        case(anywhere, below(50, 3, 1), H=2, G=1, d=4, note="one token each, as a cache asks for"),
        case(anywhere, below(50, 2, 3), H=2, G=1, d=2, note="one pair"),
        case(anywhere, below(1000, 1, 7), H=2, G=1, d=6, note="up to 1000"),
        case(anywhere, 40_000 - below(1000, 2, 2), H=1, G=1, d=4, note="up to 40000"),
        case(any_kind, there, H=2, G=3, d=6, base=500.0),
        case(any_kind, below(50, 2, 3), H=1, G=2, d=4, dtype=torch.float64),
        case(any_kind, below(500, 2, 4), H=2, G=1, d=8, dtype=torch.bfloat16),
    ]


def pairs_keep_their_lengths(inputs, outputs):
    """Whatever the angle, and however coarsely it is known: sines and cosines of too few bits change lengths.

    bfloat16 rounds the result itself, so nothing is asked there.
    """
    if inputs["Q"].dtype == torch.bfloat16:
        return None
    for name in ("Q", "K"):
        before, after = (
            x.double().unflatten(-1, (-1, 2)).norm(dim=-1) for x in (inputs[name], outputs[f"{name}_rotated"])
        )
        worst = (after - before).abs().max().item()
        if worst > LENGTH * before.max().item():
            return (
                f"a pair of {name} changes its length by {worst:.1g}, so it is not only turned: "
                "are sines and cosines rounded to half precision?"
            )
    return None


EXERCISE = Exercise(
    id="attention.rotary",
    title="Rotary positions",
    parts={"counted from 0": 1, "any positions": 1, "any base or dtype": 1},
    minutes=25,
    difficulty="core",
    importance=4,
    calls=("apply_rotary(Q, K, positions, base?) -> Q_rotated, K_rotated",),
    cases=cases,
    laws=(pairs_keep_their_lengths,),
    # Angles may be computed in float32 whatever the inputs are, as real models do: near 1000 they are known to
    # about 2e-4. In bfloat16 (8 bits) sine, cosine, products and sum may each round numbers of up to 4.
    tolerance={torch.float32: (0.0, 2e-3), torch.float64: (0.0, 2e-3), torch.bfloat16: (1.6e-2, 6e-2)},
)
