"""Tensors that play another device, so that a missing move shows on a machine without a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

MOVES = ("to", "cpu", "cuda", "type_as")
MEETINGS = ("__getitem__", "copy_")  # indices may be on the CPU, and a copy fetches its source
UNMOVED = (
    "Expected all tensors to be on the same device, but this one is still where the loader left it: "
    "move it with .to(device)"
)


class _Placed(Tensor):
    """A tensor that says where it is, and meets those of another place as devices let them: with an error."""

    @classmethod
    def of(cls, x: Tensor) -> Tensor:
        """The numbers of `x`, in this place."""
        return x.as_subclass(cls)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if func == Tensor.device.__get__ and isinstance(args[0], Elsewhere):
            return torch.device("meta")
        moved = name in MOVES and _names_a_device(name, args[1:], kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            if _two_places(given) and not moved and name not in MEETINGS:
                raise RuntimeError(UNMOVED)
            result = func(*args, **kwargs)
            if name == "__get__" and not isinstance(result, Tensor):
                return result
            place = Tensor if moved else Here if any(isinstance(x, Here) for x in given) else Elsewhere
            return tree_map(lambda x: x.as_subclass(place) if isinstance(x, Tensor) else x, result)

    def __repr__(self) -> str:  # type: ignore[override] # torch prints contents, and there are none
        return f"{type(self).__name__}(shape={tuple(self.shape)}, dtype={self.dtype})"


class Elsewhere(_Placed):
    """A tensor where a loader leaves its batches, while the model is on another device.

    `.to(device)`, `.cpu()` and `.cuda()` give an ordinary tensor, and computing with its like is fine. Together with
    what is `Here` it fails.
    """


class Here(_Placed):
    """What a model computes on its device, and what is computed from it; `.cpu()` gives an ordinary tensor."""


def needed_here(*tensors: Tensor) -> None:
    """What a model does first: fail, as on a device, for a tensor that is still elsewhere."""
    if any(isinstance(x, Elsewhere) for x in tensors):
        raise RuntimeError(UNMOVED)


def _two_places(given: list[Tensor]) -> bool:
    """Whether some are elsewhere and others here; a tensor of one number goes with everything."""
    sized = [x for x in given if x.dim()]
    return any(isinstance(x, Elsewhere) for x in sized) and any(isinstance(x, Here) for x in sized)


def _names_a_device(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a move names a place: `.to(torch.float32)` does not."""
    if name != "to":
        return True
    return isinstance(args[0] if args else None, str | int | torch.device | Tensor) or bool(
        {"device", "other"} & {*kwargs}
    )
