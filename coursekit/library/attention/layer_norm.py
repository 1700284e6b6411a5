"""What stands in for "Layer norm" while it is unsolved, from public libraries."""

import torch.nn.functional as F


def from_library(X, weight, bias, eps):
    return F.layer_norm(X, weight.shape, weight, bias, eps)


LIBRARY = (from_library,)
