"""What stands in for "A layer, there and back" while it is unsolved, from public libraries."""

import torch
from torch.nn import functional


def forward(X, W, b):
    return functional.gelu(functional.linear(X, W, b))


def backward(X, W, b, dY):
    return torch.func.vjp(forward, X, W, b)[1](dY)


LIBRARY = (forward, backward)
