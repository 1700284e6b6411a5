"""Layers that take simulated time, forward and backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from coursekit.world.comm import Comm


class _Takes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, comm: Comm, forward: float, backward: float, label: str) -> Tensor:
        ctx.comm, ctx.seconds, ctx.label = comm, backward, label
        comm.tick(forward, f"{label} forward")
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        ctx.comm.tick(ctx.seconds, f"{ctx.label} backward")
        return grad, None, None, None, None


class Timed(nn.Module):
    """A layer that takes so many simulated seconds forward and backward.

    Backward time passes before the layer's gradients are there.
    """

    def __init__(self, layer: nn.Module, comm: Comm, forward: float, backward: float, label: str = "") -> None:
        super().__init__()
        self.layer, self._comm, self._seconds, self._label = layer, comm, (forward, backward), label

    def forward(self, x: Tensor) -> Tensor:
        return _Takes.apply(self.layer(x), self._comm, *self._seconds, self._label)
