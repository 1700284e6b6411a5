"""What stands in for "The clinic" while it is unsolved: of the typical runs of the illnesses the nearest, in NumPy."""

import numpy as np

# The middle of 320 runs each, as `_measures` gives it.
TYPICAL = {
    "healthy": (1.0, 4.0, 1.15, -3.44, 0.0, 0.0, -1.97, -0.14, 0.0),
    "rate too high": (1.0, 4.01, 1.15, 0.0, 0.0, 1.5, 0.0, 0.0, 1.5),
    "rate too low": (1.0, 4.0, 1.16, -7.76, 0.0, 0.0, -0.06, 0.0, 0.0),
    "gradients not zeroed": (1.0, 4.0, 1.16, -3.48, 3.0, 1.5, -0.13, -0.15, 0.0),
    "dead units": (1.0, 7.2, 1.09, -5.49, 1.28, 0.01, -0.18, 0.0, 1.5),
    "inputs not scaled": (1.0, 4.0, 5.1, 0.0, 0.0, 0.0, -2.1, 0.0, 1.5),
    "labels mixed up": (1.0, 4.01, 1.15, -3.62, 0.0, 0.0, -0.29, 0.0, 0.0),
    "batches sorted by class": (1.0, 4.0, 1.17, -2.23, 0.0, 1.5, -1.75, -1.21, 0.0),
    "over-fitting": (1.0, 4.01, 1.15, -3.48, 0.0, 0.0, -2.1, -2.0, 0.0),
    "labels leak": (4.0, 4.0, 1.18, -3.22, 0.0, 0.0, -2.1, -0.18, 0.0),
}


def _measures(run):
    """Nine readings, on scales on which a step of 1 is a large one."""
    seen, unseen, gradient, zeros = (
        x.double().numpy() for x in (run.training_loss, run.validation_loss, run.gradient_norm, run.zeros)
    )
    way = np.abs(np.diff(unseen[3:])).sum() / np.ptp(unseen)
    bounded = (
        (10, run.accuracy_on_shuffled_labels, 0.0, 0.4),
        (8, zeros[0], 0.5, 0.9),
        (3, np.log10(seen[0]), 0.0, 1.7),
        (2, np.log10(run.update_ratio[0].item()), -4.0, 0.0),
        (3, np.log10(gradient[-8:].mean() / gradient[0]), 0.0, 1.0),
        (5, np.log10(way), 0.0, 0.3),
        (3, np.log10(seen[-10:].mean() / seen[0]), -0.7, 0.0),
        (2, np.log10(seen[-10:].mean() / unseen[-10:].mean()), -1.0, 0.0),
    )
    return [
        *(weight * np.clip(x, low, high) for weight, x, low, high in bounded),
        15 * np.clip(zeros[2:8].mean() - 0.85, 0, 0.1),
    ]


def library(run):
    return min(TYPICAL, key=lambda name: np.square(np.subtract(_measures(run), TYPICAL[name])).sum())


LIBRARY = (library,)
