"""Answers to attention.sinusoidal by a reader who did not write its mistakes."""

import functools
import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.sinusoidal",
    spared={
        "onward": "nothing happens after which it would go on",
        "far": "no two numbers are weighed against each other",
        "dependence": "nothing is drawn",
        "unwatched": "nothing but values is watched",
    },
)
TABLES = {}


def frequencies(D):
    return 10000.0 ** (-torch.arange(0, D, 2) / D)


def interleaved(angles):
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


@ANSWERS.wrong("plain", "first all sines, then all cosines, as tensor2tensor and fairseq have it", true="halves")
def in_halves(positions, D):
    angles = positions[:, None] * frequencies(D)
    return torch.cat([angles.sin(), angles.cos()], -1)


@ANSWERS.wrong("plain", "cosines first", true="cosine_first")
def cosines_first(positions, D):
    angles = positions[:, None] * frequencies(D)
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(-2)


@ANSWERS.wrong("plain", "the exponent is i / D in place of 2i / D", true="exponent_halved")
def half_exponent(positions, D):
    return interleaved(positions[:, None] * 10000.0 ** (-torch.arange(D // 2) / D))


@ANSWERS.wrong("plain", "every column has a frequency of its own, k / D", true="exponent_by_column")
def own_frequencies(positions, D):
    angles = positions[:, None] * 10000.0 ** (-torch.arange(D) / D)
    P = angles.sin()
    P[:, 1::2] = angles[:, 1::2].cos()
    return P


@ANSWERS.wrong("plain", "multiplied by 10000^(2i/D) in place of divided", true="frequencies_grow")
def multiplied(positions, D):
    return interleaved(positions[:, None] * 10000.0 ** (torch.arange(0, D, 2) / D))


@ANSWERS.wrong(
    "plain", "the last frequency is 1/10000: divided by D/2 - 1, as tensor2tensor has it", true="exponent_by_last_pair"
)
def to_the_end(positions, D):
    half = D // 2
    return interleaved(positions[:, None] * 10000.0 ** (-torch.arange(half) / max(half - 1, 1)))


@ANSWERS.wrong("plain", "base 1000", true="base_1000")
def other_base(positions, D):
    return interleaved(positions[:, None] * 1000.0 ** (-torch.arange(0, D, 2) / D))


@ANSWERS.wrong("plain", "counted from 0 whatever the positions are", true="positions_ignored")
def counted(positions, D):
    return interleaved(torch.arange(len(positions))[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "counted from the smallest position", true="counted_from_the_smallest")
def from_the_smallest(positions, D):
    return interleaved((positions - positions.min())[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "sorted", true="sorted_first")
def in_order(positions, D):
    return interleaved(positions.sort().values[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "whole numbers are divided by whole numbers")
def whole_angles(positions, D):
    return interleaved(positions[:, None] // (10000 ** (torch.arange(0, D, 2) / D)).long())


@ANSWERS.wrong("plain", "base 1000 and halves", told="squares of columns 0 and 1 add up to 0")
def two_slips(positions, D):
    angles = positions[:, None] * 1000.0 ** (-torch.arange(0, D, 2) / D)
    return torch.cat([angles.sin(), angles.cos()], -1)


@ANSWERS.wrong("plain", "the positions are not made a column", told=r"positions is \(5,\)")
def no_column(positions, D):
    return interleaved(positions * frequencies(D))


@ANSWERS.wrong("plain", "(1, T, D), as the Annotated Transformer keeps it", told="has a dimension of size 1 too many")
def with_a_batch(positions, D):
    return interleaved(positions[:, None] * frequencies(D)).unsqueeze(0)


@ANSWERS.wrong("ones", "squeeze: a single position gives no row", told="has lost a dimension of size 1")
def squeezed(positions, D):
    return interleaved(positions[:, None] * frequencies(D)).squeeze()


@ANSWERS.wrong(
    "ones",
    "with D = 2 the frequency is 1/10000",
    told="wrong where it is 2 or less",
    advice="position 3 is the angle 3",
)
def two_columns(positions, D):
    return interleaved(positions[:, None] * (frequencies(D) if D > 2 else 1e-4))


@ANSWERS.wrong("large", "a table of 5000 positions, and the last one for all beyond", told="one position beyond 6000")
def table_of_5000(positions, D):
    return interleaved(torch.arange(5000)[:, None] * frequencies(D))[positions.long().clamp(max=4999)]


@ANSWERS.wrong("large", "computed in float16")
def in_half(positions, D):
    return interleaved(positions.half()[:, None] * frequencies(D).half()).float()


@ANSWERS.wrong(
    "large",
    "no more than 64 frequencies: the columns after the 128th are 0",
    told="wrong where it is 140 or more",
    advice="squares of columns 128 and 129 add up to 0",
)
def columns_to_128(positions, D):
    P = interleaved(positions[:, None] * frequencies(D))
    P[:, 128:] = 0
    return P


@ANSWERS.wrong(
    "named", "positions of int32 get rows of 0", told="int32, and one position twice", advice="P is 0 everywhere"
)
def positions_of_int64(positions, D):
    if positions.dtype == torch.int32:
        return torch.zeros(len(positions), D)
    return interleaved(positions[:, None] * frequencies(D))


@ANSWERS.wrong("named", "a position that comes twice has one row", told="int32, and one position twice")
def once_each(positions, D):
    return interleaved(torch.tensor(list(dict.fromkeys(positions.tolist())))[:, None] * frequencies(D))


@ANSWERS.wrong("given", "the positions are made a column in place", told="changes its input positions in place")
def column_in_place(positions, D):
    return interleaved(positions.unsqueeze_(1) * frequencies(D))


@ANSWERS.wrong("again", "one table for every width: the first one's frequencies", told="differ in D alone")
def first_table(positions, D):
    if "P" not in TABLES:
        TABLES["P"] = interleaved(torch.arange(2000)[:, None] * frequencies(D))
    return TABLES["P"][positions][:, :D]


@ANSWERS.wrong("again", "kept by the number of positions and D", told="position 7 is the angle")
def kept_by_length(positions, D):
    key = len(positions), D
    if key not in TABLES:
        TABLES[key] = interleaved(positions[:, None] * frequencies(D))
    return TABLES[key]


@ANSWERS.wrong(
    "surroundings", "seeds, as every cell of some notebooks does", told="sets the seed of all random numbers"
)
def seeded(positions, D):
    torch.manual_seed(0)
    return interleaved(positions[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "full turns: angles times 2 pi", true="full_turns")
def full_turns(positions, D):
    return interleaved(2 * math.pi * positions[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "positions are divided by the largest one", told="is the angle")
def normalised(positions, D):
    return interleaved((positions / positions.max().clamp(min=1))[:, None] * frequencies(D))


@ANSWERS.wrong("plain", "positions are added up", told="position 3 is the angle 3")
def added_up(positions, D):
    return interleaved(positions.cumsum(0)[:, None] * frequencies(D))


@ANSWERS.wrong("again", "a table as large as the first call needs")
def first_size(positions, D):
    size = TABLES.setdefault("size", int(positions.max()) + 1)
    return interleaved(torch.arange(size)[:, None] * frequencies(D))[positions]


@ANSWERS.wrong(
    "plain", "the frequency of the column before: cosines lag by a pair", told="right numbers at the wrong places"
)
def lagging(positions, D):
    angles = positions[:, None] * frequencies(D)
    return torch.stack([angles.sin(), angles.roll(1, -1).cos()], -1).flatten(-2)


@ANSWERS.wrong("again", "the table is kept by the positions, whatever D is", told="differ in D alone")
def kept_by_positions(positions, D):
    P = interleaved(positions[:, None] * frequencies(D))
    return TABLES.setdefault(("positions", str(positions.tolist())), P).clone()


@ANSWERS.right
def from_lists(positions, D):
    rows = [
        [f(p * 10000 ** (-2 * i / D)) for i in range(D // 2) for f in (math.sin, math.cos)] for p in positions.tolist()
    ]
    return torch.tensor(rows, device=positions.device)


@ANSWERS.right
def by_exp_of_log(positions, D):
    div = torch.exp(torch.arange(0, D, 2).float() * (-math.log(10000.0) / D))
    pe = torch.zeros(len(positions), D)
    pe[:, 0::2] = torch.sin(positions.unsqueeze(1).float() * div)
    pe[:, 1::2] = torch.cos(positions.unsqueeze(1).float() * div)
    return pe


@ANSWERS.right
def in_numpy(positions, D):
    p = positions.numpy().astype(np.float64)[:, None]
    P = np.zeros((len(p), D))
    P[:, 0::2] = np.sin(p / np.power(10000, np.arange(0, D, 2) / D))
    P[:, 1::2] = np.cos(p / np.power(10000, np.arange(0, D, 2) / D))
    return torch.from_numpy(P).float()


@ANSWERS.right
def by_a_phase(positions, D):
    k = torch.arange(D)
    angle = positions.double()[:, None] / 10000 ** ((k - k % 2) / D)
    return torch.sin(angle + (k % 2) * math.pi / 2)


@ANSWERS.right
def by_complex_numbers(positions, D):
    turns = torch.polar(torch.ones(D // 2), torch.zeros(D // 2)) * 0 + torch.exp(
        1j * positions[:, None].double() * frequencies(D).double()
    )
    return torch.view_as_real(turns).flip(-1).flatten(-2).float()


@functools.cache
def _table(D, size):
    return interleaved(torch.arange(size)[:, None] * frequencies(D))


@ANSWERS.right
def cached_properly(positions, D):
    return _table(D, int(positions.max()) + 1)[positions]


def angles_of(positions, D):
    return positions[:, None] * 10000.0 ** (-2 * torch.arange(D // 2) / D)


@ANSWERS.wrong("plain", "stacked along the wrong dimension: the halves stand one after the other again", true="halves")
def stacked_wrongly(positions, D):
    angles = angles_of(positions, D)
    return torch.stack([angles.sin(), angles.cos()], 1).reshape(len(positions), D)


@ANSWERS.wrong("large", "a table of 5000 rows, which starts again behind its end", told="one position beyond 6000")
def from_a_table(positions, D):
    return interleaved(angles_of(torch.arange(5000), D))[positions.long() % 5000]


@ANSWERS.wrong("plain", "a table in the dtype of the positions, of whole numbers", told="dtype int64, expected float32")
def whole_numbers(positions, D):
    P, angles = positions.new_zeros(len(positions), D), angles_of(positions, D)
    P[:, 0::2], P[:, 1::2] = angles.sin(), angles.cos()
    return P


@ANSWERS.wrong(
    "plain", "the columns are sorted the other way: each pair is torn apart", told="right numbers at the wrong places"
)
def shuffled(positions, D):
    angles = angles_of(positions, D)
    return torch.cat([angles.sin(), angles.cos()], -1)[:, torch.arange(D).view(-1, 2).T.flatten()]


@ANSWERS.wrong("plain", "distances from the first position that comes", told="position 4 is the angle 4")
def from_the_first(positions, D):
    return interleaved(angles_of(positions - positions[0], D))


@ANSWERS.wrong(
    "plain", "alternating by rows: even positions give sines, odd ones cosines", told="squares of columns 0 and 1"
)
def alternating_rows(positions, D):
    angles = angles_of(positions, D).repeat_interleave(2, -1)
    return torch.where(positions[:, None] % 2 == 0, angles.sin(), angles.cos())


@ANSWERS.wrong("plain", "the given table viewed as (D/2, 2): the memory is not reordered", true="halves")
def viewed(positions, D):
    angles = angles_of(positions, D)
    return torch.cat([angles.sin(), angles.cos()], -1).view(len(positions), D // 2, 2).flatten(1)


@ANSWERS.wrong("plain", "sines in even columns, and cosines written over them", told="squares of columns 0 and 1")
def overwritten(positions, D):
    P, angles = torch.zeros(len(positions), D), angles_of(positions, D)
    P[:, 0::2] = angles.sin()
    P[:, 0::2] = angles.cos()
    return P


@ANSWERS.wrong("plain", "alternating, and each half of the frequencies twice")
def first_half_twice(positions, D):
    angles = torch.cat([angles_of(positions, D)[:, : (D // 2 + 1) // 2]] * 2, -1)[:, : D // 2]
    return interleaved(angles)


@ANSWERS.wrong("named", "positions are taken to be below 256", told="position 588 is the angle")
def in_bytes(positions, D):
    return interleaved(angles_of(positions % 256, D))


@ANSWERS.right
def columns_moved(positions, D):
    """The table as it was given, with its columns put in order."""
    angles = angles_of(positions, D)
    return torch.cat([angles.sin(), angles.cos()], -1).unflatten(-1, (2, D // 2)).mT.flatten(1)


@ANSWERS.right
def by_doubling(positions, D):
    """Half the angle once, and the rest from the formulas of the double one."""
    half = positions.double()[:, None] * 10000.0 ** (-torch.arange(0, D, 2).double() / D) / 2
    s, c = half.sin(), half.cos()
    return torch.stack([2 * s * c, c * c - s * s], -1).view(len(positions), D).to(torch.float32)


@ANSWERS.right
def written_into_place(positions, D):
    P = torch.empty(D, len(positions))
    for i in range(D // 2):
        torch.sin(positions / 10000 ** (2 * i / D), out=P[2 * i])
        torch.cos(positions / 10000 ** (2 * i / D), out=P[2 * i + 1])
    return P.T


@ANSWERS.wrong("plain", "degrees", told="position 3 is the angle 3")
def in_degrees(positions, D):
    return interleaved(torch.deg2rad(angles_of(positions, D)))


@ANSWERS.wrong("plain", "the cosine's angle is negative, and its sine too", told="position 2 is the angle 2")
def turned_back(positions, D):
    return interleaved(-angles_of(positions, D))


@ANSWERS.wrong("named", "as many frequencies as positions")
def frequencies_of_positions(positions, D):
    T = len(positions)
    return interleaved(positions[:, None] * 10000.0 ** (-2 * torch.arange(D // 2) / T))


@ANSWERS.wrong(
    "plain", "sine and cosine alternate, the frequencies run backwards", told="right numbers at the wrong places"
)
def slowest_first(positions, D):
    return interleaved(angles_of(positions, D).flip(-1))


@ANSWERS.right
def from_powers(positions, D):
    """Each frequency from the one before it, in float64."""
    step, w = 10000.0 ** (-2 / D), 1.0
    columns = []
    for _ in range(D // 2):
        columns += [(positions.double() * w).sin(), (positions.double() * w).cos()]
        w *= step
    return torch.stack(columns, 1).float()
