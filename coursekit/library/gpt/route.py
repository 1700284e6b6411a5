"""What stands in for "Mend this code, which expert reads a token" while it is unsolved, in plain code."""

import collections

import torch


def library(logits, k, capacity):
    """Choices in order, one after another, and a counter for each expert."""
    weight, expert = logits.softmax(-1).topk(k)
    taken = collections.Counter()
    rows = []
    for column in expert.T.tolist():
        rows.append([])
        for e in column:
            rows[-1].append(taken[e] < capacity)
            taken[e] += 1
    kept = torch.tensor(rows, device=logits.device).T
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


def library_balance(logits, k):
    f = torch.bincount(logits.topk(k).indices.flatten(), minlength=logits.shape[1]).to(logits) / (k * len(logits))
    return len(f) * torch.dot(f, logits.softmax(-1).mean(0))


LIBRARY = (library, library_balance)
