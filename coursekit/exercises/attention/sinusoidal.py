"""sinusoidal_positions(positions, D): one row of sines and cosines for each position."""

import torch

from coursekit.checking.contract import Case, Exercise


def cases(g):
    def case(part, label, positions, D):
        return Case(part, f"{label}, D={D}", {"positions": positions, "D": D})

    # A table has an end, a number has none; and a table is not for one D alone.
    beyond = torch.tensor([6000, 3]) + torch.randint(0, 100, (2,), generator=g)
    some = torch.randint(1, 50, (2,), generator=g)
    twice = torch.tensor([7, 3, 7, 0], dtype=torch.int32)
    unordered, one, large = (torch.randint(1, limit, (T,), generator=g) for T, limit in ((6, 50), (1, 51), (9, 1000)))
    return [
        case("counted from 0", "positions 0 to 4", torch.arange(5), 8),
        case("counted from 0", "positions 0 to 4", torch.arange(5), 12),
        case("counted from 0", "positions 0 to 3", torch.arange(4), 2),
        case("any positions", "positions 3 to 6", torch.arange(3, 7), 10),
        case("any positions", "positions up to 50, in any order", unordered, 8),
        case("any positions", "one position", one, 6),
        case("any positions", "positions up to 1000", large, 14),
        case("any positions", "positions 5 to 9", torch.arange(5, 10), 8),
        case("any positions", "int32, and one position twice", twice, 10),
        case("any positions", "one position beyond 6000", beyond, 6),
        case("any positions", "two positions", some, 140),
    ]


def pairs_of_one_angle(inputs, outputs):
    """Columns 0 and 1, 2 and 3, ... are a sine and a cosine of one angle."""
    P = outputs["P"].double()
    sizes = P[:, 0::2].square() + P[:, 1::2].square()
    t, i = divmod(int((sizes - 1).abs().argmax()), sizes.shape[1])
    if abs(sizes[t, i] - 1) < 0.01:
        return None
    return (
        f"in row {t} the squares of columns {2 * i} and {2 * i + 1} add up to {sizes[t, i]:.3g}: those of the sine and "
        "the cosine of one angle give 1"
    )


def first_angle_is_the_position(inputs, outputs):
    """The first frequency is 1."""
    P, turn = outputs["P"].double(), 2 * torch.pi
    found, wanted = torch.atan2(P[:, 0], P[:, 1]) % turn, inputs["positions"].double() % turn
    gap = ((found - wanted + torch.pi) % turn - torch.pi).abs()
    t = int(gap.argmax())
    if gap[t] < 0.01:
        return None
    return (
        f"columns 0 and 1 of row {t} are the sine and cosine of {found[t]:.3g}: position {inputs['positions'][t]} is "
        f"the angle {wanted[t]:.3g}, but for whole turns"
    )


EXERCISE = Exercise(
    id="attention.sinusoidal",
    title="Mend this code, sinusoidal positions",
    parts={"counted from 0": 1, "any positions": 1},
    minutes=10,
    difficulty="core",
    importance=2,
    calls=("sinusoidal_positions(positions, D) -> P",),
    cases=cases,
    laws=(pairs_of_one_angle, first_angle_is_the_position),
    # An angle of 1000 in float32 is known to 6e-5, and the frequency that it is made with has rounded before.
    tolerance={torch.float32: (0.0, 1e-3)},
)
