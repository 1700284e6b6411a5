"""What stands in for "The backward pass of attention, by hand" while it is unsolved, from public libraries."""

import torch
import torch.nn.functional as F


def _library(Q, K, V, dY):
    return torch.func.vjp(F.scaled_dot_product_attention, Q, K, V)[1](dY)


LIBRARY = (_library,)
