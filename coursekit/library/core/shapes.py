"""What stands in for "Five shapes, five expressions" while it is unsolved, from public libraries."""

import torch
from torch.nn import functional


def batched_trace(A):
    return torch.vmap(torch.trace)(A)


def pairwise_sq(X, Y):
    return torch.cdist(X, Y, compute_mode="donot_use_mm_for_euclid_dist").square()


def gather_rows(X, i):
    return torch.take_along_dim(X, i[..., None], 1)


def one_hot_mean(y, C):
    return functional.one_hot(y, C).float().mean(1)


LIBRARY = (torch.outer, batched_trace, pairwise_sq, gather_rows, one_hot_mean)
