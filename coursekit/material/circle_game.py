"""A game that one attention layer can learn: eight people in a circle, and what each of them takes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

NAMES, OBJECTS = 8, 16
FORESEEN = 0.6  # how often a person takes what the next one in the circle held last


def circle(B: int, T: int, g: torch.Generator) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
    """Who is named, what they take, and whether it could be foreseen, in `B` rounds of `T` events drawn from `g`.

    Person n takes what person n + 1 (the last one: person 0) held last, or, where that one holds nothing yet and in
    two of five other cases, a thing at random.
    """
    names, things = torch.randint(NAMES, (B, T), generator=g), torch.randint(OBJECTS, (B, T), generator=g)
    foreseen = torch.rand(B, T, generator=g) < FORESEEN
    held = torch.full((B, NAMES), -1)
    rounds = torch.arange(B)
    for t in range(T):
        next_ones = held[rounds, (names[:, t] + 1) % NAMES]
        foreseen[:, t] &= next_ones >= 0
        things[:, t] = torch.where(foreseen[:, t], next_ones, things[:, t])
        held[rounds, names[:, t]] = things[:, t]
    return names, things, foreseen
