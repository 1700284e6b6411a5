"""Answers to attention.rotary."""

import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.rotary",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the results",
    },
)


def turned(x, angles):
    """Neighbours turned by angles that broadcast to half of x."""
    even, odd = x[..., 0::2], x[..., 1::2]
    c, s = angles.cos(), angles.sin()
    return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(-2).to(x.dtype)


def speeds(d, base):
    return base ** (-torch.arange(0, d, 2) / d)


def halves_turned(x):
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


@ANSWERS.wrong("plain", "Hugging Face's Llama: halves are paired, not neighbours", true="halves_for_pairs")
def hugging_face_llama(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    angles = torch.cat((angles, angles), -1)
    return tuple((x * angles.cos() + halves_turned(x) * angles.sin()).to(x.dtype) for x in (Q, K))


@ANSWERS.wrong(
    "plain", "speeds laid out for neighbours, but halves are exchanged", true="halves_with_angles_of_neighbours"
)
def speeds_of_pairs_with_halves(Q, K, positions, base=10000.0):
    angles = (positions[:, None, :, None] * speeds(Q.shape[-1], base)).repeat_interleave(2, -1)
    return tuple((x * angles.cos() + halves_turned(x) * angles.sin()).to(x.dtype) for x in (Q, K))


@ANSWERS.wrong(
    "plain", "neighbours are exchanged, but the speeds are laid out for halves", true="angles_laid_out_for_halves"
)
def speeds_of_halves_with_pairs(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    angles = torch.cat((angles, angles), -1)

    def turn(x):
        other = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
        return (x * angles.cos() + other * angles.sin()).to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.wrong("plain", "the exponent is i / d in place of 2i / d", true="exponent_halved")
def speeds_too_close(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    angles = positions[:, None, :, None] * base ** (-torch.arange(d // 2) / d)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "the exponent is doubled twice: arange(0, d, 2) holds 2i already", true="exponent_doubled")
def doubled_twice(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    angles = positions[:, None, :, None] * base ** (-2 * torch.arange(0, d, 2) / d)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "turned the other way round", true="clockwise")
def backwards(Q, K, positions, base=10000.0):
    angles = -positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "the results are joined one behind the other, not in turns", true="pairs_not_rejoined")
def joined_behind(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)

    def turn(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        c, s = angles.cos(), angles.sin()
        return torch.cat((even * c - odd * s, even * s + odd * c), -1).to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.wrong(
    "plain", "the second row uses the entries that the first has just overwritten", true="overwritten_too_early"
)
def overwritten(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)

    def turn(x):
        x, c, s = x.clone(), angles.cos(), angles.sin()
        x[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        x[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return x

    return turn(Q), turn(K)


@ANSWERS.wrong(
    "plain", "the original Transformer: sines and cosines are added", told="no rotation of Q: lengths change"
)
def added(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    wave = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
    return (Q + wave).to(Q.dtype), (K + wave).to(K.dtype)


@ANSWERS.wrong("named", "positions are not read: every sequence counts from 0", true="positions_ignored")
def always_from_zero(Q, K, positions, base=10000.0):
    angles = torch.arange(Q.shape[-2])[:, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("named", "the first sequence's positions serve all", true="first_sequence_for_all")
def first_sequence_for_all(Q, K, positions, base=10000.0):
    angles = positions[0, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("named", "from the first position on it counts by itself: no gaps", true="counted_from_the_first")
def no_gaps(Q, K, positions, base=10000.0):
    counted = positions[:, :1] + torch.arange(positions.shape[1])
    angles = counted[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("named", "base is 10000 whatever is asked", true="base_ignored")
def one_base(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], 10000.0)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong(
    "named", "keys get as many heads as queries", told=r"K_rotated has shape \(2, 2, 4, 6\), expected \(2, 1, 4, 6\)"
)
def keys_repeated(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles).expand(Q.shape)


@ANSWERS.wrong(
    "named", "positions count from the first one: relative, it says, is all that matters", true="moved_to_zero"
)
def moved_to_zero(Q, K, positions, base=10000.0):
    angles = (positions - positions[:, :1])[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong(
    "large", "a table of 4096 positions, and the last one for all beyond", told="up to 40000: Q_rotated differs"
)
def table_of_4096(Q, K, positions, base=10000.0):
    table = torch.arange(4096)[:, None] * speeds(Q.shape[-1], base)
    angles = table[positions.clamp(max=4095)][:, None]
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("large", "8 bits for a position")
def small_integers(Q, K, positions, base=10000.0):
    angles = positions.to(torch.uint8)[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong(
    "far", "angles in the inputs' dtype: bfloat16 knows no position above 256 exactly", true="angles_in_half_precision"
)
def angles_in_bfloat16(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None].to(Q.dtype) * speeds(Q.shape[-1], base).to(Q.dtype)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong(
    "far",
    "sines and cosines in half precision, whatever the inputs have",
    told="sines and cosines rounded to half precision",
)
def halved_sines(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    c, s = angles.cos().half().float(), angles.sin().half().float()

    def turn(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(-2).to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.wrong(
    "ones",
    "one token at a time, as a cache hands them over, is not turned at all",
    told="one token each.*differs",
    advice="Q_rotated is the input Q, unchanged|right where T is more than 1, wrong where it is 1",
)
def one_token_is_left(Q, K, positions, base=10000.0):
    if Q.shape[2] == 1:
        return Q, K
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("ones", "squeeze takes the key's one head away", told="lost a dimension of size 1")
def key_squeezed(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles).squeeze(1)


_TABLES = {}


@ANSWERS.wrong("again", "a table of cosines that is kept by width, whatever the base", true="base_ignored")
def table_by_width(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    if d not in _TABLES:
        _TABLES[d] = torch.arange(50_000)[:, None] * speeds(d, base)
    angles = _TABLES[d][positions][:, None]
    return turned(Q, angles), turned(K, angles)


_ANGLES = {}


@ANSWERS.wrong("again", "angles kept by shape, whatever the positions")
def angles_by_shape(Q, K, positions, base=10000.0):
    key = (*positions.shape, Q.shape[-1], base)
    if key not in _ANGLES:
        _ANGLES[key] = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, _ANGLES[key]), turned(K, _ANGLES[key])


@ANSWERS.wrong("given", "queries and keys are turned in place", told="changes its input Q and K in place")
def in_place(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return Q.copy_(turned(Q, angles)), K.copy_(turned(K, angles))


@ANSWERS.wrong("surroundings", "float64 becomes everybody's default", told="changes torch's default dtype")
def double_for_all(Q, K, positions, base=10000.0):
    torch.set_default_dtype(torch.float64)
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong(
    "plain",
    "tensor2tensor's speeds: the exponents reach 1, divided by one pair less",
    told="later pairs by other angles",
)
def speeds_to_the_base(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    angles = positions[:, None, :, None] * base ** (-torch.arange(d // 2) / max(d // 2 - 1, 1))
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "whole division: every pair turns at speed 1", told="later pairs by other angles")
def whole_division(Q, K, positions, base=10000.0):
    d = Q.shape[-1]
    angles = positions[:, None, :, None] * torch.stack([torch.tensor(base ** -(2 * i // d)) for i in range(d // 2)])
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "sines and cosines exchanged")
def sines_for_cosines(Q, K, positions, base=10000.0):
    angles = torch.pi / 2 - positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("named", "positions are put in order first")
def sorted_first(Q, K, positions, base=10000.0):
    angles = positions.sort(-1).values[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles)


@ANSWERS.wrong("plain", "the result is float32 whatever comes in", told="has dtype float32, expected float64")
def narrowed(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles).float(), turned(K, angles).float()


@ANSWERS.wrong("plain", "GPT-J turns a part of each head only", told="later pairs by other angles")
def half_of_the_head(Q, K, positions, base=10000.0):
    r = max(Q.shape[-1] // 4 * 2, 2)
    angles = positions[:, None, :, None] * speeds(r, base)
    return tuple(torch.cat((turned(x[..., :r], angles), x[..., r:]), -1) for x in (Q, K))


@ANSWERS.wrong(
    "named",
    "keys get the positions of the queries' first sequence",
    told="K_rotated differs in .*only where index -4 is 1",
)
def keys_by_the_first_sequence(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, angles), turned(K, angles[:1])


ANGLES = {}


@ANSWERS.wrong("again", "angles are kept by positions and width, whatever the base is", true="base_ignored")
def angles_without_base(Q, K, positions, base=10000.0):
    key = Q.shape[-1], str(positions.tolist())
    if key not in ANGLES:
        ANGLES[key] = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    return turned(Q, ANGLES[key]), turned(K, ANGLES[key])


@ANSWERS.right
def viewed_as_complex(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)

    def turn(x):
        wide = x.float() if x.dtype == torch.bfloat16 else x
        pairs = torch.view_as_complex(wide.unflatten(-1, (-1, 2))) * torch.exp(1j * angles)
        return torch.view_as_real(pairs).flatten(-2).to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.right
def llama(xq, xk, positions, base=10000.0):
    """Meta's code as it stands, but for the positions."""
    freqs = 1.0 / (base ** (torch.arange(0, xq.shape[-1], 2)[: xq.shape[-1] // 2].float() / xq.shape[-1]))
    freqs = positions.float().unsqueeze(-1) * freqs
    freqs_cis = torch.polar(torch.ones_like(freqs), freqs).unsqueeze(1)
    xq_ = torch.view_as_complex(xq.float().reshape(*xq.shape[:-1], -1, 2))
    xk_ = torch.view_as_complex(xk.float().reshape(*xk.shape[:-1], -1, 2))
    xq_out = torch.view_as_real(xq_ * freqs_cis).flatten(3)
    xk_out = torch.view_as_real(xk_ * freqs_cis).flatten(3)
    return xq_out.type_as(xq), xk_out.type_as(xk)


@ANSWERS.right
def viewed_in_pairs(Q, K, positions, base=10000.0):
    angles = positions[:, None, :, None] * speeds(Q.shape[-1], base)
    c, s = angles.cos(), angles.sin()

    def turn(x):
        a, b = x.view(*x.shape[:-1], x.shape[-1] // 2, 2).unbind(-1)
        return torch.stack((a * c - b * s, a * s + b * c), -1).view(x.shape).to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.right
def gpt_j(Q, K, positions, base=10000.0):
    angles = torch.einsum("bt,i->bti", positions.double(), speeds(Q.shape[-1], base).double())
    cos, sin = (f(angles).repeat_interleave(2, -1)[:, None] for f in (torch.cos, torch.sin))

    def rotate_every_two(x):
        return torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)

    return tuple((x * cos + rotate_every_two(x) * sin).to(x.dtype) for x in (Q, K))


@ANSWERS.right
def llama_after_sorting(Q, K, positions, base=10000.0):
    """Even entries first, the halves' way, and back."""
    d = Q.shape[-1]
    there = torch.cat((torch.arange(0, d, 2), torch.arange(1, d, 2)))
    angles = positions[:, None, :, None] * speeds(d, base)
    angles = torch.cat((angles, angles), -1)

    def turn(x):
        x = x[..., there]
        return (x * angles.cos() + halves_turned(x) * angles.sin())[..., there.argsort()].to(x.dtype)

    return turn(Q), turn(K)


@ANSWERS.right
def matrices(Q, K, positions, base=10000.0):
    B, T = positions.shape
    R = torch.zeros(B, 1, T, Q.shape[-1], Q.shape[-1], dtype=torch.float64)
    for i in range(Q.shape[-1] // 2):
        a, (j, k) = positions * base ** (-2 * i / Q.shape[-1]), (2 * i, 2 * i + 1)
        R[:, 0, :, j, j], R[:, 0, :, k, k] = a.cos(), a.cos()
        R[:, 0, :, j, k], R[:, 0, :, k, j] = -a.sin(), a.sin()
    return tuple((R @ x.double()[..., None])[..., 0] for x in (Q, K))


@ANSWERS.right
def numpy_in_a_loop(Q, K, positions, base=10000.0):
    d, found = Q.shape[-1], []
    for x in (Q, K):
        y = np.empty(x.shape)
        for b, t in np.ndindex(*positions.shape):
            for i in range(d // 2):
                a = positions[b, t].item() * math.exp(-2 * i / d * math.log(base))
                pair = x[b, :, t, 2 * i : 2 * i + 2].double().numpy()
                y[b, :, t, 2 * i] = pair[:, 0] * math.cos(a) - pair[:, 1] * math.sin(a)
                y[b, :, t, 2 * i + 1] = pair[:, 0] * math.sin(a) + pair[:, 1] * math.cos(a)
        found.append(torch.from_numpy(y).to(x.dtype))
    return found


_GROWING = {}


@ANSWERS.right
def table_that_grows(Q, K, positions, base=10000.0):
    key, needed = (Q.shape[-1], base), int(positions.max()) + 1
    if key not in _GROWING or len(_GROWING[key]) < needed:
        _GROWING[key] = torch.arange(needed)[:, None] * speeds(*key)
    angles = _GROWING[key][positions][:, None]
    return turned(Q, angles), turned(K, angles)


@ANSWERS.right
def exponential_of_a_matrix(Q, K, positions, base=10000.0):
    """exp of angle times the quarter turn."""
    d = Q.shape[-1]
    generator = torch.block_diag(
        *(w * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64) for w in speeds(d, base).double())
    )
    powers = torch.stack([torch.matrix_exp(p * generator) for p in positions.flatten().double()])
    R = powers.view(*positions.shape, d, d)
    return tuple(torch.einsum("btij,bhtj->bhti", R, x.double()).to(x.dtype) for x in (Q, K))
