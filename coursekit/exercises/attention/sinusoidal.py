"""sinusoidal_positions(positions, D): one row of sines and cosines for each position."""

import torch

from coursekit.checking.contract import Case, Exercise


def cases(g):
    def case(part, label, positions, D):
        return Case(part, f"{label}, D={D}", {"positions": positions, "D": D})

    unordered, one, large = (torch.randint(1, limit, (T,), generator=g) for T, limit in ((6, 50), (1, 51), (9, 1000)))
    return [
        case("counted from 0", "positions 0 to 4", torch.arange(5), 8),
        case("counted from 0", "positions 0 to 6", torch.arange(7), 12),
        case("any positions", "positions 3 to 6", torch.arange(3, 7), 10),
        case("any positions", "positions up to 50, in any order", unordered, 8),
        case("any positions", "one position", one, 6),
        case("any positions", "positions up to 1000", large, 14),
    ]


EXERCISE = Exercise(
    id="attention.sinusoidal",
    title="Sinusoidal positions",
    parts={"counted from 0": 1, "any positions": 1},
    minutes=10,
    difficulty="core",
    calls=("sinusoidal_positions(positions, D) -> P",),
    cases=cases,
    # An angle of 1000 in float32 is known to 6e-5, and the frequency that it is made with has rounded before.
    tolerance={torch.float32: (0.0, 1e-3)},
)
