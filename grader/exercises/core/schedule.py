"""Warm-up: Goyal et al. 2017, section 2.2; half a cosine to a floor: Loshchilov and Hutter 2017, equation 5, once.

peak (step + 1) / warmup before step `warmup`; floor + (peak - floor) (1 + cos(pi s)) / 2 with
s = (step - warmup) / (total - warmup) from there to `total`; floor from `total` on.
"""

import math

from grader.contract import Trusted


def reference(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    s = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * s)) / 2


TRUSTED = Trusted(reference, budget="three stretches, and the two places where they meet")


class Schedule:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, step, peak, warmup, total, floor):
        if self.warms(step, warmup):
            return self.warm(step, peak, warmup, floor)
        if self.over(step, total):
            return self.rest(floor)
        return self.cosine(self.share(step, warmup, total), peak, floor)

    def warms(self, step, warmup):
        return step < warmup

    def warm(self, step, peak, warmup, floor):
        return peak * (step + 1) / warmup

    def over(self, step, total):
        return step >= total

    def rest(self, floor):
        return floor

    def share(self, step, warmup, total):
        return (step - warmup) / (total - warmup)

    def cosine(self, s, peak, floor):
        return floor + (peak - floor) * (1 + math.cos(math.pi * s)) / 2


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. How large is the first rate, where does the cosine begin, and what comes "
    "after the last step?"
)
def as_given(step, peak, warmup, total, floor):
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * step / total)) / 2


@slip("The first rate is 0, so that the first step does nothing: it is peak (step + 1) / warmup.")
class FirstIsZero(Schedule):
    def warm(self, step, peak, warmup, floor):
        return peak * step / warmup


@slip("The warm-up reaches its peak one step late, by dividing by warmup + 1: step warmup - 1 has the peak already.")
class OneStepLate(Schedule):
    def warm(self, step, peak, warmup, floor):
        return peak * (step + 1) / (warmup + 1)


@slip("The warm-up lasts a step too long, and ends above the peak: at step `warmup` the cosine begins.")
class OneStepTooLong(Schedule):
    def warms(self, step, warmup):
        return warmup > 0 and step <= warmup


@slip("The warm-up rises from the floor: it rises from 0, so that its first rate is peak / warmup.")
class WarmsFromTheFloor(Schedule):
    def warm(self, step, peak, warmup, floor):
        return floor + (peak - floor) * (step + 1) / warmup


@slip("The cosine counts its steps from the beginning of all: from the end of the warm-up, step - warmup.")
class CountsFromTheBeginning(Schedule):
    def share(self, step, warmup, total):
        return step / total


@slip("The cosine takes `total` steps after the warm-up: it has total - warmup, and ends at step `total`.")
class TooSlow(Schedule):
    def share(self, step, warmup, total):
        return (step - warmup) / total


@slip("The cosine ends one step early, by dividing by total - warmup - 1: it reaches the floor at step `total`.")
class OneStepEarly(Schedule):
    def share(self, step, warmup, total):
        return (step - warmup) / max(total - warmup - 1, 1)


@slip("After `total` the rate rises again, as a cosine does: it stays at the floor.")
class RisesAgain(Schedule):
    def over(self, step, total):
        return False

    def share(self, step, warmup, total):
        return (step - warmup) / max(total - warmup, 1)


@slip("After `total` the rate is 0: it is the floor.")
class ZeroAfterwards(Schedule):
    def rest(self, floor):
        return 0.0


@slip(
    "The floor is added to a cosine that falls by all of the peak, so the rate begins above it: only peak - floor "
    "falls."
)
class FloorAdded(Schedule):
    def cosine(self, s, peak, floor):
        return floor + peak * (1 + math.cos(math.pi * s)) / 2


@slip("The floor cuts the cosine off (`max`): it is where the cosine ends, and stretches all of it.")
class CutAtTheFloor(Schedule):
    def cosine(self, s, peak, floor):
        return max(floor, peak * (1 + math.cos(math.pi * s)) / 2)


@slip("The cosine is asked in degrees: `math.cos` takes radians, and half a turn is pi.")
class Degrees(Schedule):
    def cosine(self, s, peak, floor):
        return floor + (peak - floor) * (1 + math.cos(180 * s)) / 2


@slip("A whole turn of the cosine falls and comes back up: half a turn, pi s, ends at the floor.")
class WholeTurn(Schedule):
    def cosine(self, s, peak, floor):
        return floor + (peak - floor) * (1 + math.cos(2 * math.pi * s)) / 2


@slip("A quarter of a cosine falls steeply at its end: it is (1 + cos(pi s)) / 2, which ends level.")
class QuarterTurn(Schedule):
    def cosine(self, s, peak, floor):
        return floor + (peak - floor) * math.cos(math.pi / 2 * s)


@slip("The rate falls in a straight line: it is half a cosine, (1 + cos(pi s)) / 2.")
class StraightLine(Schedule):
    def cosine(self, s, peak, floor):
        return peak + (floor - peak) * s


@TRUSTED.alternative
def by_clamps(step, peak, warmup, total, floor):
    """One formula: the smaller of a rising line and a falling wave."""
    rising = (step + 1) / warmup if step < warmup else 1.0
    s = min(max(step - warmup, 0) / max(total - warmup, 1e-9), 1.0) if step < total else 1.0
    falling = floor / peak + (1 - floor / peak) * math.cos(math.pi / 2 * s) ** 2
    return peak * (rising if step < warmup else falling)


@TRUSTED.alternative
def as_a_list(step, peak, warmup, total, floor):
    """Whoever trains for few steps writes them down."""
    if step < warmup:
        return peak / warmup * (1 + step)
    left = total - step
    return floor if left <= 0 else floor + (peak - floor) * math.sin(math.pi / 2 * left / (total - warmup)) ** 2
