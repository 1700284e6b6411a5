"""What stands in for "Beam search" while it is unsolved: NumPy's sort over all continuations."""

import numpy as np


def library(step, start, width, length_power, end, T):
    texts, sums, over = np.zeros((1, 0), dtype=int), np.zeros(1), []
    for length in range(1, T + 1):
        follows = step([[*start, *text.tolist()] for text in texts]).cpu().numpy()
        all_sums = (sums[:, None] + follows).ravel()
        order = np.argsort(-all_sums)[:width]
        before, token = np.unravel_index(order, follows.shape)
        texts, sums = np.column_stack([texts[before], token]), all_sums[order]
        done = (token == end) | (length == T)
        over += [(texts[i].tolist(), sums[i] / length**length_power) for i in np.flatnonzero(done)]
        texts, sums = texts[~done], sums[~done]
        if not len(texts):
            break
    return sorted(over, key=lambda found: -found[1])[:width]


LIBRARY = (library,)
