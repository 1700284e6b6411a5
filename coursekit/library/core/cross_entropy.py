"""What stands in for "Cross-entropy and its gradient" while it is unsolved, from public libraries."""

import torch
from torch.nn import functional


def from_library(Z, y, ignore_index):
    total = functional.cross_entropy(Z.flatten(0, 1), y.flatten(), ignore_index=ignore_index, reduction="sum")
    return total / (y != ignore_index).sum().clamp(min=1)


def by_autograd(Z, y, ignore_index):
    return torch.func.grad(from_library)(Z, y, ignore_index)


LIBRARY = (from_library, by_autograd)
