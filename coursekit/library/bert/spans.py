"""What stands in for "The best span, or no answer" while it is unsolved, from public libraries."""

import math

import torch


def _library(start, end, context, limit, margin):
    from transformers.models.dpr.tokenization_dpr import CustomDPRReaderTokenizerMixin  # here: it takes seconds

    rows = []
    for s, e, inside in zip(start, end, context, strict=True):
        S, E = (x.masked_fill(~inside, -math.inf).tolist() for x in (s, e))
        ((i, j),) = CustomDPRReaderTokenizerMixin._get_best_spans(None, S, E, limit, 1)
        rows.append((i, j) if S[i] + E[j] > s[0] + e[0] + margin else (0, 0))
    return torch.tensor(rows, device=start.device)


LIBRARY = (_library,)
