"""(x_2i, x_2i+1) at position m turns by m base^(-2i/d). Su et al. 2021 (RoFormer), equations 15 and 34."""

import math

import torch

from grader.contract import Trusted


def reference(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    theta = float(base) ** (-torch.arange(0, d, 2, device=Q.device).double() / d)  # (d/2,)
    m_theta = positions[:, None, :, None].double() * theta  # (B, 1, T, d/2), the same for every head
    return turned(Q, m_theta), turned(K, m_theta)


def turned(x, angle):
    """Each adjacent pair of x as a vector in the plane, turned anticlockwise by `angle`."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return joined(even * cos - odd * sin, even * sin + odd * cos, x)


def joined(even, odd, x):
    return torch.stack((even, odd), -1).flatten(-2).to(x.dtype)


def angles(positions, d, base, exponent=1.0):
    """positions * base^(-exponent 2i/d), (B, 1, T, d/2)."""
    two_i = torch.arange(0, d, 2, device=positions.device).double()
    return positions[:, None, :, None].double() * base ** (-exponent * two_i / d)


def rotating(turn_both):
    """`turn_both(Q, K, angle)` as the exercise is called."""
    return lambda Q, K, positions, base=10000.0: turn_both(Q, K, angles(positions, Q.shape[-1], base))


def by_angles(rule):
    """Queries and keys turned by `rule(positions, d, base)`."""

    def rotate(Q, K, positions, base=10000.0):
        angle = rule(positions, Q.shape[-1], base)
        return turned(Q, angle), turned(K, angle)

    return rotate


TRUSTED = Trusted(reference, budget="angles, pairs and positions are three places, and each goes wrong in many ways")
(wrong_angle,), (wrong_turn,) = TRUSTED.one_by_one(by_angles), TRUSTED.one_by_one(rotating)


@wrong_turn(
    "Only the queries are rotated: the scores then depend on the query's own position and not on the "
    "distance. Turn the keys as well."
)
def only_queries(Q, K, angle):
    return turned(Q, angle), K.clone()


@wrong_turn(
    "Queries and keys turn in opposite directions, so their angles add up: the scores depend on the sum of "
    "two positions. Turn both the same way, and the dot product keeps the difference."
)
def opposite_signs(Q, K, angle):
    return turned(Q, angle), turned(K, -angle)


@wrong_turn("Queries and keys both turn backwards (clockwise): check which of the two sines has the minus sign.")
def clockwise(Q, K, angle):
    return turned(Q, -angle), turned(K, -angle)


@wrong_turn(
    "You turn number i of the first half with number i of the second half, as Hugging Face's code does. RoFormer "
    "turns neighbours: entries 2i and 2i+1 make a pair."
)
def halves_for_pairs(Q, K, angle):
    cos, sin = angle.cos(), angle.sin()
    halves = (x.chunk(2, -1) for x in (Q, K))
    return tuple(torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(Q.dtype) for a, b in halves)


@wrong_turn(
    "The pairs are right, but their angles are laid out for halves: (a, b, a, b) where neighbours need (a, "
    "a, b, b). Both entries of a pair must turn by one angle."
)
def angles_laid_out_for_halves(Q, K, angle):
    angle = angle.repeat(1, 1, 1, 2)
    quarter_turns = (joined(-x[..., 1::2], x[..., 0::2], x) for x in (Q, K))
    return tuple(
        (x * angle.cos() + quarter * angle.sin()).to(x.dtype) for x, quarter in zip((Q, K), quarter_turns, strict=True)
    )


@wrong_turn(
    "Halves are exchanged, as Hugging Face's code does, but the angles are laid out for neighbours (a, a, b, b): two "
    "recipes are mixed. Here neighbours make a pair, so exchange entries 2i and 2i+1."
)
def halves_with_angles_of_neighbours(Q, K, angle):
    angle = angle.repeat_interleave(2, -1)
    pairs = ((x, *x.chunk(2, -1)) for x in (Q, K))
    return tuple((x * angle.cos() + torch.cat((-b, a), -1) * angle.sin()).to(x.dtype) for x, a, b in pairs)


@wrong_turn(
    "The odd entries are made from the even ones that have just been overwritten: keep the old values of both until "
    "both new ones are there."
)
def overwritten_too_early(Q, K, angle):
    cos, sin = angle.cos(), angle.sin()
    turns = ((turned(x, angle)[..., 0::2], x[..., 1::2], x) for x in (Q, K))
    return tuple(joined(even, even * sin + odd * cos, x) for even, odd, x in turns)


@wrong_turn("The lengths change, so this is no rotation: both sines have the same sign. One of them must be negative.")
def same_sign_twice(Q, K, angle):
    cos, sin = angle.cos(), angle.sin()
    pairs = ((x[..., 0::2], x[..., 1::2]) for x in (Q, K))
    return tuple(joined(even * cos + odd * sin, even * sin + odd * cos, Q) for even, odd in pairs)


@wrong_turn(
    "Each pair comes apart: all even entries stand before all odd ones in your result. Put the two entries "
    "of a pair back side by side."
)
def pairs_not_rejoined(Q, K, angle):
    rotated = turned(Q, angle), turned(K, angle)
    return tuple(torch.cat((x[..., 0::2], x[..., 1::2]), -1) for x in rotated)


@wrong_angle(
    "`positions` is ignored: token t always turns as if it stood at position t. Take the given numbers, "
    "which may start anywhere and leave gaps."
)
def positions_ignored(positions, d, base):
    return angles(torch.arange(positions.shape[1], device=positions.device).expand_as(positions), d, base)


@wrong_angle("The first sequence's positions are used for the whole batch: each sequence has a row of its own.")
def first_sequence_for_all(positions, d, base):
    return angles(positions[:1], d, base)


@wrong_angle(
    "Each sequence's first position is subtracted, so that it counts from 0. Scores between its own tokens do not "
    "change by that, but keys that were turned earlier, and kept, no longer fit: take the positions as they are."
)
def moved_to_zero(positions, d, base):
    return angles(positions - positions[:, :1], d, base)


@wrong_angle(
    "Only the first position of a sequence is read, and from there you count by ones: positions may leave gaps, and "
    "come in any order."
)
def counted_from_the_first(positions, d, base):
    return angles(positions[:, :1] + torch.arange(positions.shape[1], device=positions.device), d, base)


@wrong_angle("Positions are counted from 1: position 0 must leave its token as it is.")
def counted_from_1(positions, d, base):
    return angles(positions + 1, d, base)


@wrong_angle(
    "`base` has no effect: your frequencies are powers of 10000 where another base is given, too. Is the argument "
    "never read, or was a table kept from an earlier call?"
)
def base_ignored(positions, d, base):
    return angles(positions, d, 10000.0)


@wrong_angle("The base is wrong: exp(-2i/d) takes powers of e. It lacks the factor log(base) in its exponent.")
def base_e(positions, d, base):
    return angles(positions, d, math.e)


@wrong_angle(
    "Your frequencies fall too slowly: the exponent of pair i is i/d, half of what it must be. There are d/2"
    " pairs, and the last one comes close to 1/base."
)
def exponent_halved(positions, d, base):
    return angles(positions, d, base, 0.5)


@wrong_angle(
    "Your frequencies fall too fast: the exponent of pair i is 4i/d, twice what it must be. `torch.arange(0, d, 2)` "
    "holds 2i already."
)
def exponent_doubled(positions, d, base):
    return angles(positions, d, base, 2.0)


@wrong_angle("Your frequencies grow from pair to pair: the exponent lacks its minus sign.")
def frequencies_grow(positions, d, base):
    return angles(positions, d, base, -1.0)


@TRUSTED.mistake(
    "Only the bfloat16 case is wrong: your angles are computed in the dtype of Q. bfloat16 cannot tell "
    "position 300 from 301: compute angles, sines and cosines in float32 and cast afterwards."
)
def angles_in_half_precision(Q, K, positions, base=10000.0):
    if Q.dtype.itemsize > 2:
        return reference(Q, K, positions, base)
    theta = angles(torch.ones_like(positions), Q.shape[-1], base).to(Q.dtype)
    angle = positions[:, None, :, None].to(Q.dtype) * theta
    return turned(Q, angle), turned(K, angle)


@TRUSTED.alternative
def complex_numbers(Q, K, positions, base=10000.0):
    theta = base ** -(torch.arange(0, Q.shape[-1], 2, device=Q.device) / Q.shape[-1])
    angle = positions[:, None, :, None] * theta
    turn = torch.polar(torch.ones_like(angle), angle)

    def times_turn(x):
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * turn).flatten(-2).to(x.dtype)

    return times_turn(Q), times_turn(K)


@TRUSTED.alternative
def sines_in_the_dtype_of_q(Q, K, positions, base=10000.0):
    theta = 1.0 / base ** (torch.arange(0, Q.shape[-1], 2, device=Q.device).float() / Q.shape[-1])
    angle = torch.einsum("bt,i->bti", positions.float(), theta).repeat_interleave(2, -1)[:, None]
    cos, sin = angle.cos().to(Q.dtype), angle.sin().to(Q.dtype)

    def turn(x):
        quarter = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).reshape(x.shape)
        return x * cos + quarter * sin

    return turn(Q), turn(K)


@TRUSTED.alternative
def rotation_matrices(Q, K, positions, base=10000.0):
    angle = angles(positions, Q.shape[-1], base)[:, 0]
    cos, sin = angle.cos(), angle.sin()
    R = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)  # (B, T, d/2, 2, 2)
    return tuple(
        torch.einsum("btirc,bhtic->bhtir", R, x.double().unflatten(-1, (-1, 2))).flatten(-2).to(x.dtype) for x in (Q, K)
    )
