"""What stands in for "Mend this code, repeats and stops" while it is unsolved, from public libraries."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from transformers import RepetitionPenaltyLogitsProcessor


def library_penalise(logits, ids, penalty):
    """transformers' own."""
    return RepetitionPenaltyLogitsProcessor(float(penalty))(ids, logits)


def library_stop_at(ids, stops):
    """NumPy's windows over the text, as long as the stop."""
    text, places = np.array(ids, dtype=np.int64), [len(ids)]
    for stop in stops:
        if len(stop) <= len(text):
            places += np.flatnonzero((sliding_window_view(text, len(stop)) == stop).all(axis=1)).tolist()
    return min(places)


LIBRARY = (library_penalise, library_stop_at)
