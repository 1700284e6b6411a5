"""Tensors that play another device, so that a missing move shows on a machine without a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOVES = ("to", "cpu", "cuda")
LOOKS = ("size", "dim", "numel", "nelement", "ndimension", "__len__", "stride", "is_floating_point", "__get__")
PIECES = ("__getitem__", "unbind", "__iter__", "split", "chunk", "detach", "clone", "contiguous")


class Elsewhere(Tensor):
    """A tensor on the CPU that says it is on another device: until it is moved, computing with it fails.

    `.to(device)`, `.cpu()` and `.cuda()` give an ordinary tensor. Shape, length and dtype may be asked, pieces may be
    taken; they stay elsewhere.
    """

    @classmethod
    def of(cls, x: Tensor) -> Elsewhere:
        return x.as_subclass(cls)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if func == Tensor.device.__get__:
            return torch.device("meta")
        with torch._C.DisableTorchFunctionSubclass():
            if name in MOVES and isinstance(args[0], Elsewhere):
                here = args[0].as_subclass(Tensor)
                return func(here, *args[1:], **kwargs)
            if name in LOOKS:
                return func(*args, **kwargs)
            if name in PIECES:
                pieces = func(*args, **kwargs)
                return cls.of(pieces) if isinstance(pieces, Tensor) else type(pieces)(map(cls.of, pieces))
        raise RuntimeError(
            "Expected all tensors to be on the same device, but this one is still where the loader left it: "
            "move it with .to(device)"
        )

    def __repr__(self) -> str:  # type: ignore[override] # torch prints contents, and there are none
        return f"Elsewhere(shape={tuple(self.shape)}, dtype={self.dtype})"
