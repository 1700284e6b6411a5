"""Tensors as safetensors keeps them: complex numbers as pairs, and many small tensors end to end in a few long rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from coursekit.checking.contract import Outputs

PAIRS = " (complex)"


class Rows:
    """Tensors laid end to end, one row of numbers for each dtype.

    safetensors spends some 200 bytes on each name, and reads all names for any one: a chapter has ten thousand tensors,
    most of them a single number.
    """

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}
        self._lengths: dict[str, int] = {}

    def put(self, x: Tensor) -> list:
        """Where `x` lies: [dtype, start, *shape]."""
        dtype = str(x.dtype).removeprefix("torch.")
        start = self._lengths.get(dtype, 0)
        self._parts.setdefault(dtype, []).append(x.reshape(-1))
        self._lengths[dtype] = start + x.numel()
        return [dtype, start, *x.shape]

    def whole(self, prefix: str) -> Outputs:
        """The rows by the names prefix/dtype."""
        return {f"{prefix}/{dtype}": torch.cat(parts) for dtype, parts in self._parts.items()}


def taken(place: list, row: Callable[[str], Tensor]) -> Tensor:
    """A copy of the tensor that `Rows.put` laid at `place`, in its usual layout; `row(dtype)` gives a row."""
    dtype, start, *shape = place
    return row(dtype)[start : start + math.prod(shape)].clone().view(shape)


def storable(tensors: Outputs) -> Outputs:
    """The tensors, complex ones as pairs of real numbers under a name that says so: safetensors has no complex128."""
    return {
        name + PAIRS if x.is_complex() else name: torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
        for name, x in tensors.items()
    }


def restored(tensors: Outputs) -> Outputs:
    """The tensors as they were before `storable`. Raises RuntimeError where what is named so is no pair of numbers."""
    # A copy, because a file's numbers lie at multiples of 8 bytes, and complex128 needs 16.
    return {
        name.removesuffix(PAIRS): torch.view_as_complex(x.clone()) if name.endswith(PAIRS) else x
        for name, x in tensors.items()
    }
