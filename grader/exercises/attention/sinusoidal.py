"""PE(pos, 2i) = sin(pos / 10000^(2i/D)), PE(pos, 2i+1) = cos(the same). Vaswani et al. 2017, section 3.5."""

import math

import torch

from grader.contract import Trusted


def reference(positions, D):
    pos = positions[:, None].double()  # (T, 1)
    two_i = torch.arange(0, D, 2, device=positions.device)
    angle = pos / 10000.0 ** (two_i.double() / D)  # (T, D/2)
    PE = torch.empty(len(positions), D, device=positions.device, dtype=torch.float64)
    PE[:, 0::2] = angle.sin()
    PE[:, 1::2] = angle.cos()
    return PE


TRUSTED = Trusted(reference)


def interleaved(sin, cos):
    return torch.stack((sin, cos), -1).flatten(-2).float()


def angles(positions, exponent, base=10000.0):
    """pos / base^exponent for every position and exponent."""
    return positions[:, None].double() / base ** exponent.to(positions.device).double()


def encoded(positions, exponent, base=10000.0):
    angle = angles(positions, exponent, base)
    return interleaved(angle.sin(), angle.cos())


def pairs(D):
    return torch.arange(D // 2)


@TRUSTED.mistake(
    "This does what the code as it was given does. Print a row of it beside a row of the loops: the same numbers, but "
    "in which columns do the cosines stand?"
)
def halves(positions, D):
    angle = angles(positions, 2 * pairs(D) / D)
    return torch.cat((angle.sin(), angle.cos()), -1).float()


@TRUSTED.mistake("Sine and cosine have changed places: the even column of a pair is the sine, the odd one the cosine.")
def cosine_first(positions, D):
    angle = angles(positions, 2 * pairs(D) / D)
    return interleaved(angle.cos(), angle.sin())


@TRUSTED.mistake(
    "Your frequencies fall too slowly: the exponent of pair i is i/D. In the paper's formula it is 2i/D, so "
    "that the last pair comes close to 1/10000."
)
def exponent_halved(positions, D):
    return encoded(positions, pairs(D) / D)


@TRUSTED.mistake(
    "Your frequencies fall too fast: the exponent of pair i is 4i/D. A range that already counts in steps of"
    " 2 must not be doubled again."
)
def exponent_doubled(positions, D):
    return encoded(positions, 4 * pairs(D) / D)


@TRUSTED.mistake(
    "Each column has a frequency of its own. A sine and the cosine beside it share one frequency: the "
    "exponent depends on the pair, not on the column."
)
def exponent_by_column(positions, D):
    column = torch.arange(D, device=positions.device)
    angle = angles(positions, column / D)
    return torch.where(column % 2 == 0, angle.sin(), angle.cos()).float()


@TRUSTED.mistake(
    "Your last pair has the frequency 1/10000 exactly: you divide by D/2 - 1, as tensor2tensor does. The "
    "paper's formula divides 2i by D, and its last pair stops just short of that."
)
def exponent_by_last_pair(positions, D):
    return encoded(positions, pairs(D) / max(D // 2 - 1, 1))


@TRUSTED.mistake(
    "Your frequencies grow from pair to pair: the position must be divided by the power of 10000, not multiplied by it."
)
def frequencies_grow(positions, D):
    return encoded(positions, -2 * pairs(D) / D)


@TRUSTED.mistake(
    "Every pair turns at the same speed, as if the exponent were always 0: an integer division (`//`) rounds"
    " it down. Divide with `/`."
)
def exponent_rounded_down(positions, D):
    return encoded(positions, 2 * pairs(D) // D)


@TRUSTED.mistake("The base of your powers is e, not 10000: exp(-2i/D) lacks the factor log(10000) in its exponent.")
def base_e(positions, D):
    return encoded(positions, 2 * pairs(D) / D, math.e)


@TRUSTED.mistake("The base of your powers is 1000, not 10000: one zero is missing.")
def base_1000(positions, D):
    return encoded(positions, 2 * pairs(D) / D, 1000.0)


@TRUSTED.mistake(
    "Your positions are counted from the smallest of them: a row depends on its own position alone, wherever the "
    "others are. Nothing is to be subtracted."
)
def counted_from_the_smallest(positions, D):
    return encoded(positions - positions.min(), 2 * pairs(D) / D)


@TRUSTED.mistake("Your rows are in the order of the positions: row t belongs to positions[t], in the order given.")
def sorted_first(positions, D):
    return encoded(positions.sort().values, 2 * pairs(D) / D)


@TRUSTED.mistake("Your positions are one too large: position 0 must give angle 0, a row of 0, 1, 0, 1, ...")
def counted_from_1(positions, D):
    return encoded(positions + 1, 2 * pairs(D) / D)


@TRUSTED.mistake(
    "`positions` is only counted: you encode 0, 1, 2, ... whatever it holds. Take the numbers in it, which "
    "may start anywhere and leave gaps."
)
def positions_ignored(positions, D):
    return encoded(torch.arange(len(positions), device=positions.device), 2 * pairs(D) / D)


@TRUSTED.mistake(
    "Your angles have a factor of 2 pi: the paper's angle is the position times the frequency, in radians."
)
def full_turns(positions, D):
    return encoded(2 * math.pi * positions, 2 * pairs(D) / D)


@TRUSTED.mistake("All columns are sines: every second column must be the cosine of the same angle.")
def sines_only(positions, D):
    angle = angles(positions, 2 * pairs(D) / D)
    return interleaved(angle.sin(), angle.sin())


@TRUSTED.alternative
def exp_of_a_logarithm(positions, D):
    frequency = torch.exp(torch.arange(0, D, 2, device=positions.device) * (-math.log(10000.0) / D))
    angle = positions.float()[:, None] * frequency
    return torch.stack((angle.sin(), angle.cos()), -1).reshape(len(positions), D)


@TRUSTED.alternative
def loop_over_numbers(positions, D):
    PE = torch.zeros(len(positions), D, device=positions.device)
    for t, pos in enumerate(positions.tolist()):
        for i in range(D // 2):
            PE[t, 2 * i] = math.sin(pos / 10000 ** (2 * i / D))
            PE[t, 2 * i + 1] = math.cos(pos / 10000 ** (2 * i / D))
    return PE


@TRUSTED.alternative
def cosine_as_a_shifted_sine(positions, D):
    column = torch.arange(D, device=positions.device)
    frequency = 10000.0 ** (-(column - column % 2) / D)
    return torch.sin(torch.outer(positions.float(), frequency) + column % 2 * (math.pi / 2))
