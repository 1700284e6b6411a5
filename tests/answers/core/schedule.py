"""Answers to core.schedule."""

import functools
import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.schedule",
    spared={
        "ones": "numbers in, a number out",
        "given": "numbers are handed in, which nobody can change",
        "dependence": "nothing is drawn",
        "unwatched": "values are compared",
    },
)
wrong, right = ANSWERS.wrong, ANSWERS.right


def cosine(share, peak, floor):
    return floor + (peak - floor) * (1 + math.cos(math.pi * share)) / 2


@wrong("plain", "the given code", true="as_given")
def given_rate(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * step / total)) / 2


@wrong("plain", "half mended: the warm-up alone", true="CountsFromTheBeginning RisesAgain")
def warmup_alone(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(step / total, peak, floor)


@wrong("plain", "half mended: the warm-up still begins at 0", true="FirstIsZero")
def begins_at_zero(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("onward", "half mended: behind its end the cosine rises again", true="RisesAgain")
def rises_again(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine((step - warmup) / max(total - warmup, 1), peak, floor)


@wrong("onward", "at `total` alone the floor, and behind it the cosine goes on", true="RisesAgain")
def at_the_end_alone(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step == total:
        return floor
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("plain", "half mended: the cosine begins at step 0", true="CountsFromTheBeginning")
def from_step_zero(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return cosine(step / total, peak, floor)


@wrong("named", "`step > total`: without a cosine it divides by 0", told="no cosine: .*")
def later_than_total(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step > total:
        return floor
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("named", "a warm-up of 0 divides by 0", told="no warm-up: .*")
def no_warmup(step, peak, warmup, total, floor):
    rising = peak * (step + 1) / warmup
    if step >= total:
        return floor
    return min(rising, cosine(max(step - warmup, 0) / (total - warmup), peak, floor))


@wrong("plain", "the warm-up ends a step late", true="OneStepLate")
def ends_late(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if step >= total:
        return floor
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("plain", "the cosine is a step ahead")
def a_step_ahead(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return cosine((step - warmup + 1) / (total - warmup), peak, floor)


@wrong("plain", "the floor is reached at the last step: total - 1", true="OneStepEarly")
def last_step(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return cosine((step - warmup) / max(total - 1 - warmup, 1), peak, floor)


@wrong("plain", "a cosine to 0, cut off at the floor", true="CutAtTheFloor")
def cut_off(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return max(floor, cosine((step - warmup) / (total - warmup), peak, 0.0))


@wrong("plain", "the floor is added: the peak is peak + floor", true="FloorAdded")
def floor_on_top(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return floor + peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


@wrong("plain", "a straight line", true="StraightLine")
def straight(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    return peak + (floor - peak) * (step - warmup) / (total - warmup)


@wrong("plain", "behind the end 0", true="ZeroAfterwards")
def zero_afterwards(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return 0.0
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("plain", "the warm-up begins at the floor", true="WarmsFromTheFloor")
def from_the_floor(step, peak, warmup, total, floor):
    if step < warmup:
        return floor + (peak - floor) * (step + 1) / warmup
    if step >= total:
        return floor
    return cosine((step - warmup) / (total - warmup), peak, floor)


@wrong("far", "rounded to six digits behind the point, as the cell prints")
def rounded(step, peak, warmup, total, floor):
    if step < warmup:
        return round(peak * (step + 1) / warmup, 6)
    return round(floor if step >= total else cosine((step - warmup) / (total - warmup), peak, floor), 6)


@wrong("large", "a table of 10,000 steps", told="wrong where it is 1000000 or more")
def by_a_table(step, peak, warmup, total, floor):
    steps = np.arange(10_000)
    rates = np.where(steps < warmup, peak * (steps + 1) / max(warmup, 1), floor)
    between = (steps >= warmup) & (steps < total)
    rates[between] = floor + (peak - floor) * (1 + np.cos(np.pi * (steps[between] - warmup) / (total - warmup))) / 2
    return float(rates[min(step, len(steps) - 1)])


@functools.cache
def table(total):
    return {}


@wrong(
    "again", "rates are kept by step and total: another peak gets the old ones", told="kept what an earlier call gave"
)
def kept(step, peak, warmup, total, floor):
    if step not in table(total):
        table(total)[step] = as_min(step, peak, warmup, total, floor)
    return table(total)[step]


@wrong("surroundings", "float64 is made the default for everything", told="default dtype")
def in_float64(step, peak, warmup, total, floor):
    torch.set_default_dtype(torch.float64)
    if step < warmup:
        return torch.tensor(peak) * (step + 1) / warmup
    if step >= total:
        return floor
    return floor + (peak - floor) * (1 + torch.cos(torch.tensor(math.pi) * (step - warmup) / (total - warmup))) / 2


@right
def as_min(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(step - warmup, total - warmup) / (total - warmup) if total > warmup else 1.0
    return cosine(share, peak, floor)


@right
def half_angle(step, peak, warmup, total, floor):
    match step:
        case early if early < warmup:
            return torch.tensor(peak * (early + 1) / warmup, dtype=torch.float64)
        case late if late >= total:
            return torch.tensor(floor, dtype=torch.float64)
    return peak - (peak - floor) * math.sin(math.pi / 2 * (step - warmup) / (total - warmup)) ** 2


@right
def by_interp(step, peak, warmup, total, floor):
    rising = float(np.interp(step, [-1, max(warmup, 1) - 1], [0, peak])) if step < warmup else peak
    angle = np.clip((step - warmup) / max(total - warmup, 1), 0, 1) if step < total else 1.0
    return rising if step < warmup else floor + (peak - floor) * (0.5 + 0.5 * np.cos(np.pi * angle))
