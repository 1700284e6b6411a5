"""How the course's own GPTs begin, and what steps them, in the scripts that train them for hours."""

from __future__ import annotations

import math

import torch
from torch import nn


def begin(model: nn.Module, layers: int, last: tuple[str, ...]) -> None:
    """GPT-2's numbers: N(0, 0.02), over sqrt(2 L) where a name ends as one of `last`; biases 0, norms as they are."""
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if name.endswith(last) else 0.02)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)


def adamw(model: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    """Matrices decay, biases and norms do not."""
    groups = [[w for w in model.parameters() if (w.dim() > 1) == matrix] for matrix in (True, False)]
    parameters = [{"params": groups[0], "weight_decay": decay}, {"params": groups[1], "weight_decay": 0.0}]
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.95), fused=True)
