"""Answers to core.clinic."""

import dataclasses
import random

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.clinic",
    spared={
        "ones": "a run has thirty records of everything",
        "onward": "each run is named by itself",
        "large": "all runs are of one size",
        "unwatched": "names are compared",
    },
)
wrong = ANSWERS.wrong


def end(curve):
    return curve[-10:].mean().item()


def up_and_down(curve):
    return (curve[3:].diff().abs().sum() / (curve.max() - curve.min() + 1e-9)).item()


def leak(run):
    return run.accuracy_on_shuffled_labels > 0.3


def dead(run):
    return run.zeros[0] > 0.8


def unscaled(run):
    return run.training_loss[0] > 15


def slow(run):
    return run.update_ratio[0] < 0.002


def hoarding(run):
    return run.gradient_norm[-10:].median() > 3 * run.gradient_norm[0]


def fast(run):
    return run.update_ratio[0] > 0.15 and run.zeros.max() > 0.99


def sorted_batches(run):
    return up_and_down(run.validation_loss) > 2


def by_heart(run):
    return end(run.validation_loss) > 8 * end(run.training_loss) and end(run.training_loss) < 0.1


def mixed(run):
    return end(run.validation_loss) < 0.95 * end(run.training_loss)


SIGNS = {
    "labels leak": leak,
    "dead units": dead,
    "inputs not scaled": unscaled,
    "rate too low": slow,
    "gradients not zeroed": hoarding,
    "rate too high": fast,
    "batches sorted by class": sorted_batches,
    "over-fitting": by_heart,
    "labels mixed up": mixed,
}


def by_signs(run, signs=SIGNS):
    return next((name for name, sign in signs.items() if sign(run)), "healthy")


def without(*names):
    return {name: sign for name, sign in SIGNS.items() if name not in names}


ANSWERS.right(by_signs)


@wrong("plain", "other spellings", told=r"returned 'overfitting'")
def other_spellings(run):
    return {"over-fitting": "overfitting"}.get(by_signs(run), by_signs(run))


@wrong("named", "the control is not looked at, and a leak is health", true="LeakUnseen")
def no_control(run):
    return by_signs(run, without("labels leak"))


@wrong("named", "wrong labels are not looked for", told=r"8 of 8 'labels mixed up' were called 'healthy'")
def no_mixed_labels(run):
    return by_signs(run, without("labels mixed up"))


@wrong("named", "two are not looked for", true="TwoUnseen")
def eight_alone(run):
    return by_signs(run, without("labels mixed up", "over-fitting"))


@wrong("plain", "by the losses alone", told=r"were called 'healthy'")
def losses_alone(run):
    return by_signs(run, without("labels leak", "dead units", "rate too low", "gradients not zeroed", "rate too high"))


@wrong("plain", "a validation loss above the training loss is over-fitting", true="AnyGapIsOverfitting")
def any_gap(run):
    return by_signs(run, SIGNS | {"over-fitting": lambda run: end(run.validation_loss) > end(run.training_loss)})


@wrong(
    "plain",
    "dead units are sought at the end, where a rate that is too high has them too",
    told="rate too high",
    true="DeadInTheEnd",
)
def zeros_anywhere(run):
    return by_signs(run, {"dead units": lambda run: run.zeros.max() > 0.9} | without("dead units"))


@wrong("far", "numbers that are not finite: there are none", told=r"'rate too high' were called 'healthy'")
def looks_for_nan(run):
    return by_signs(run, SIGNS | {"rate too high": lambda run: not run.training_loss.isfinite().all()})


@wrong("plain", "sorted batches and a high rate are exchanged", told="batches sorted by class")
def two_exchanged(run):
    other = {"batches sorted by class": "rate too high", "rate too high": "batches sorted by class"}
    return other.get(by_signs(run), by_signs(run))


@wrong("given", "the curves are sorted in place for a median", told="changes its input")
def sorts_in_place(run):
    name = by_signs(run)
    run.gradient_norm.copy_(run.gradient_norm.sort().values)
    return name


SEEN = set()


@wrong("again", "no illness comes twice in a row", told="another when it was shown once more")
def never_twice(run):
    name = by_signs(run)
    if {name} == SEEN:
        name = "healthy"
    SEEN.clear()
    SEEN.add(name)
    return name


@wrong("dependence", "where it is not sure it tosses a coin", told="another when it was shown once more")
def tosses_a_coin(run):
    return random.choice(["healthy", "over-fitting"]) if by_signs(run) == "healthy" else by_signs(run)


@wrong("surroundings", "gradients are switched off for good", told="leaves gradients switched off")
def off_for_good(run):
    torch.set_grad_enabled(False)
    return by_signs(run)


# From the smallest to the largest value of ten numbers in 25 runs of each illness.
SPANS = {
    "healthy": "-2.07 -1.76  0.43 0.56  0.82 1.02  -4.84 -2.86  -0.52 -0.05  "
    "0.45 0.61  -1.97 -1.20  0.02 0.64  -0.89 -0.12  0.69 0.88",
    "rate too high": "-1.92 -1.83  0.43 0.56  0.82 1.02  -1.43 1.20  -2.17 -0.69  "
    "1.00 1.00  -0.23 0.64  -0.02 0.05  -2.17 1.82  0.10 0.20",
    "rate too low": "-2.07 -1.81  0.43 0.56  0.82 1.02  -9.91 -7.79  -0.39 0.20  "
    "0.44 0.57  -0.15 0.01  -0.04 0.02  -0.19 -0.11  0.09 0.22",
    "gradients not zeroed": "-1.90 -1.88  0.43 0.56  0.82 1.02  -4.84 -2.86  2.13 2.99  "
    "0.98 1.00  -0.63 0.59  -0.21 1.04  0.17 1.41  0.10 0.60",
    "dead units": "-1.95 -1.80  0.99 1.00  0.83 0.84  -7.48 -4.88  -0.40 2.47  "
    "0.99 1.00  -0.92 0.00  -0.05 0.07  -0.01 2.01  0.10 0.69",
    "inputs not scaled": "-1.92 -1.86  0.43 0.56  3.94 5.05  0.47 2.18  -7.91 -6.07  "
    "1.00 1.00  -4.04 9.78  -2.18 4.64  -10.36 0.98  0.10 0.14",
    "labels mixed up": "-2.23 -1.76  0.43 0.56  0.83 1.00  -4.98 -2.90  -0.60 0.17  "
    "0.47 0.72  -0.50 -0.07  -0.54 -0.10  -0.55 -0.00  0.48 0.84",
    "batches sorted by class": "-2.12 -1.82  0.43 0.56  0.20 1.32  -3.25 -1.67  -3.26 -0.14  "
    "0.60 0.93  -4.18 -0.17  0.43 4.47  1.10 2.29  0.14 0.38",
    "over-fitting": "-2.07 -1.83  0.43 0.56  0.82 1.02  -4.80 -2.86  -5.01 -2.47  "
    "0.43 0.56  -6.46 -3.82  3.06 6.04  -2.26 -0.63  0.37 0.69",
    "labels leak": "-0.36 0.03  0.44 0.58  0.78 1.05  -4.43 -2.72  -2.18 -0.93  "
    "0.44 0.58  -4.17 -2.15  -0.10 1.18  -2.83 -0.85  0.89 0.99",
}


def numbers_of(run):
    training, held_out, norm = run.training_loss, run.validation_loss, run.gradient_norm
    logarithms = [
        run.accuracy_on_shuffled_labels + 0.05,
        training[0],
        run.update_ratio[0] + 1e-9,
        norm[-10:].median() / norm[0] + 1e-9,
        end(training) / training[0] + 1e-9,
        end(held_out) / end(training) + 1e-9,
        up_and_down(held_out) + 1e-9,
    ]
    control, first, ratio, grown, fallen, gap, way = map(float, np.log(logarithms))
    return np.array(
        [control, run.zeros[0], first, ratio, grown, run.zeros.max(), fallen, gap, way, end(run.validation_accuracy)]
    )


def spans_of(name):
    """The middle of each number, and half of its width."""
    low, high = np.array(SPANS[name].split(), dtype=float).reshape(-1, 2).T
    return (low + high) / 2, (high - low) / 2 + 0.1


@ANSWERS.right
def by_spans(run):
    """The illness of which the fewest numbers lie outside, and the least far."""
    x = numbers_of(run)

    def outside(name):
        middle, half = spans_of(name)
        return (abs(x - middle) / half - 1).clip(0, 5).sum()

    return min(SPANS, key=outside)


@ANSWERS.right
def naive_bayes(run):
    """Numbers as if each were normal, and none could be more than five deviations off."""
    x = numbers_of(run)

    def surprise(name):
        middle, half = spans_of(name)
        deviation = half / 2
        return (np.minimum(((x - middle) / deviation) ** 2, 25) / 2 + np.log(deviation)).sum()

    return sorted(SPANS, key=surprise)[0]


@ANSWERS.right
def in_another_order(run):
    """The same signs of a copy, those of the whole curve first."""
    run = dataclasses.replace(run, zeros=run.zeros.clone())
    if leak(run):
        return "labels leak"
    early = [name for name in ("dead units", "inputs not scaled", "rate too low") if SIGNS[name](run)]
    late = [name for name in ("rate too high", "gradients not zeroed", "batches sorted by class") if SIGNS[name](run)]
    last = [name for name in ("over-fitting", "labels mixed up") if SIGNS[name](run)]
    return str(np.array([*early, *late, *last, "healthy"])[0])
