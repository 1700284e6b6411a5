"""(x_2i, x_2i+1) at position m turns by m base^(-2i/d). Su et al. 2021 (RoFormer), equations 15 and 34."""

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
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


TRUSTED = Trusted(reference)


def angles(positions, exponent, base=10000.0):
    """positions * base^-exponent, (B, 1, T, d/2)."""
    return positions[:, None, :, None].double() * base ** -exponent.to(positions.device).double()


def standard(Q):
    d = Q.shape[-1]
    return torch.arange(0, d, 2) / d


def both(Q, K, angle):
    return turned(Q, angle), turned(K, angle)


@TRUSTED.mistake("Queries and keys come back as they were: nothing is rotated.")
def identity(Q, K, positions, base=10000.0):
    return Q.clone(), K.clone()


@TRUSTED.mistake(
    "Every token turns by the same angles, so no score changes: multiply the frequencies by each token's position."
)
def constant_rotation(Q, K, positions, base=10000.0):
    return both(Q, K, angles(torch.ones_like(positions), standard(Q), base))


@TRUSTED.mistake(
    "Only the queries are rotated: the scores then depend on the query's own position and not on the "
    "distance. Turn the keys as well."
)
def only_queries(Q, K, positions, base=10000.0):
    return turned(Q, angles(positions, standard(Q), base)), K.clone()


@TRUSTED.mistake("Only the keys are rotated: turn the queries by their positions as well.")
def only_keys(Q, K, positions, base=10000.0):
    return Q.clone(), turned(K, angles(positions, standard(Q), base))


@TRUSTED.mistake(
    "Queries and keys turn in opposite directions, so their angles add up: the scores depend on the sum of "
    "two positions. Turn both the same way, and the dot product keeps the difference."
)
def opposite_signs(Q, K, positions, base=10000.0):
    angle = angles(positions, standard(Q), base)
    return turned(Q, angle), turned(K, -angle)


@TRUSTED.mistake("Queries and keys both turn backwards (clockwise): check which of the two sines has the minus sign.")
def clockwise(Q, K, positions, base=10000.0):
    return both(Q, K, -angles(positions, standard(Q), base))


@TRUSTED.mistake(
    "`positions` is ignored: token t always turns as if it stood at position t. Take the given numbers, "
    "which may start anywhere and leave gaps."
)
def positions_ignored(Q, K, positions, base=10000.0):
    counted = torch.arange(positions.shape[1], device=positions.device).expand_as(positions)
    return both(Q, K, angles(counted, standard(Q), base))


@TRUSTED.mistake("The first sequence's positions are used for the whole batch: each sequence has a row of its own.")
def first_sequence_for_all(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions[:1], standard(Q), base))


@TRUSTED.mistake("Positions are counted from 1: position 0 must leave its token as it is.")
def counted_from_1(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions + 1, standard(Q), base))


@TRUSTED.mistake("`base` is ignored: your frequencies are always powers of 10000.")
def base_ignored(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions, standard(Q)))


@TRUSTED.mistake("The base of your frequencies is a tenth of the given one: 1000 where 10000 is asked for.")
def base_1000(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions, standard(Q), base / 10))


@TRUSTED.mistake("The base is wrong: exp(-2i/d) takes powers of e. It lacks the factor log(base) in its exponent.")
def base_e(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions, standard(Q), 2.718281828459045))


@TRUSTED.mistake(
    "Your frequencies fall too slowly: the exponent of pair i is i/d, half of what it must be. There are d/2"
    " pairs, and the last one comes close to 1/base."
)
def exponent_halved(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions, standard(Q) / 2, base))


@TRUSTED.mistake("Your frequencies grow from pair to pair: the exponent lacks its minus sign.")
def frequencies_grow(Q, K, positions, base=10000.0):
    return both(Q, K, angles(positions, -standard(Q), base))


@TRUSTED.mistake(
    "You turn number i of the first half with number i of the second half, as Hugging Face's code does. RoFormer "
    "turns neighbours: entries 2i and 2i+1 make a pair."
)
def halves_for_pairs(Q, K, positions, base=10000.0):
    angle = angles(positions, standard(Q), base)
    return halves_turned(Q, angle), halves_turned(K, angle)


def halves_turned(x, angle):
    one, other = x.chunk(2, -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((one * cos - other * sin, one * sin + other * cos), -1).to(x.dtype)


@TRUSTED.mistake(
    "The pairs are right, but their angles are laid out for halves: (a, b, a, b) where neighbours need (a, "
    "a, b, b). Both entries of a pair must turn by one angle."
)
def angles_laid_out_for_halves(Q, K, positions, base=10000.0):
    angle = angles(positions, standard(Q), base).repeat(1, 1, 1, 2)
    return mixed(Q, angle), mixed(K, angle)


def mixed(x, angle):
    quarter_turn = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    return (x * angle.cos() + quarter_turn * angle.sin()).to(x.dtype)


@TRUSTED.mistake(
    "The lengths change, so this is no rotation: both sines have the same sign. One of them must be negative."
)
def same_sign_twice(Q, K, positions, base=10000.0):
    angle = angles(positions, standard(Q), base)
    return mirrored(Q, angle), mirrored(K, angle)


def mirrored(x, angle):
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angle.cos(), angle.sin()
    return torch.stack((even * cos + odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


@TRUSTED.mistake(
    "Each pair comes apart: all even entries stand before all odd ones in your result. Put the two entries "
    "of a pair back side by side."
)
def pairs_not_rejoined(Q, K, positions, base=10000.0):
    rotated = both(Q, K, angles(positions, standard(Q), base))
    return tuple(torch.cat((x[..., 0::2], x[..., 1::2]), -1) for x in rotated)


@TRUSTED.mistake(
    "Only the bfloat16 case is wrong: your angles are computed in the dtype of Q. bfloat16 cannot tell "
    "position 300 from 301; compute angles, sines and cosines in float32 and cast afterwards."
)
def angles_in_half_precision(Q, K, positions, base=10000.0):
    if Q.dtype.itemsize > 2:
        return reference(Q, K, positions, base)
    theta = (base ** -standard(Q).to(Q.device)).to(Q.dtype)
    return both(Q, K, positions[:, None, :, None].to(Q.dtype) * theta)


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
    theta = base ** -(torch.arange(0, Q.shape[-1], 2, device=Q.device).double() / Q.shape[-1])
    angle = positions[..., None].double() * theta
    cos, sin = angle.cos(), angle.sin()
    R = torch.stack((torch.stack((cos, -sin), -1), torch.stack((sin, cos), -1)), -2)  # (B, T, d/2, 2, 2)
    return tuple(
        torch.einsum("btirc,bhtic->bhtir", R, x.double().unflatten(-1, (-1, 2))).flatten(-2).to(x.dtype) for x in (Q, K)
    )
