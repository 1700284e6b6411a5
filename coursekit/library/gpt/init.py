"""What stands in for "Mend this code, how a GPT begins" while it is unsolved, from public libraries."""

import math

import torch
from torch import nn


def library(model, layers, generator):
    """torch's own nn.init, module by module."""
    done = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        elif hasattr(module, "weight") and module.weight not in done:
            deviation = 0.02 / math.sqrt(2 * layers) if name.endswith((".out", ".down")) else 0.02
            nn.init.normal_(module.weight, std=deviation, generator=generator)
            done.add(module.weight)
        if isinstance(getattr(module, "bias", None), torch.Tensor):
            nn.init.zeros_(module.bias)


LIBRARY = (library,)
