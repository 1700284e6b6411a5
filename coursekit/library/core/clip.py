"""What stands in for "Mend this code, clipping" while it is unsolved, from public libraries."""

import torch
from torch import nn


def from_library(params, limit):
    params = [p for p in params if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in params])
    if not torch.isfinite(norm):
        raise ValueError(f"the norm of all gradients is {norm.item()}")
    if norm > limit:
        nn.utils.clip_grads_with_norm_(params, limit, norm)
    return norm


LIBRARY = (from_library,)
