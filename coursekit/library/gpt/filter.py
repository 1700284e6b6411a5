"""What stands in for "Which tokens may follow" while it is unsolved, from public libraries."""

import numpy as np
import torch
from transformers.generation import logits_process as theirs


def library_filter(logits, temperature, top_k=None, top_p=None, min_p=None):
    """transformers' own warpers, but for top-p, where they leave the order of equal tokens to chance."""
    scores = theirs.TemperatureLogitsWarper(float(temperature))(None, logits)
    if top_k is not None:
        scores = theirs.TopKLogitsWarper(top_k)(None, scores)
    if top_p is not None:
        scores = _nucleus(scores, top_p)
    return scores if min_p is None else theirs.MinPLogitsWarper(float(min_p))(None, scores)


def _nucleus(scores, top_p):
    """By NumPy's stable sort."""
    p = scores.softmax(dim=1).cpu().numpy()
    ids = np.argsort(-p, axis=1, kind="stable")
    upto = np.take_along_axis(p, ids, axis=1).cumsum(axis=1)
    removed = np.zeros(p.shape, dtype=bool)
    np.put_along_axis(removed, ids[:, 1:], upto[:, :-1] >= top_p, axis=1)
    return scores.masked_fill(torch.from_numpy(removed).to(scores.device), -np.inf)


def library_draw(logits, generator):
    """Of exponential times with these rates the shortest."""
    rates = logits.softmax(dim=1)
    return rates.div(torch.empty_like(rates).exponential_(generator=generator)).argmax(dim=1)


LIBRARY = (library_filter, library_draw)
