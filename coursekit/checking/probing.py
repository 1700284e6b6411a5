"""What probes are written with: each helper turns a learner's slip into one sentence, not a traceback."""

from __future__ import annotations

import base64
import contextlib
import zlib
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coursekit.checking.writing import as_numbers


class Wrong(Exception):
    """The learner's object did something that one sentence can name."""


def leaves(*inputs: Tensor) -> tuple[Tensor, ...]:
    """The inputs as graph leaves that collect gradients, in their own memory layout."""
    return tuple(x.detach().clone().requires_grad_() for x in inputs)


def gradients(Y: Tensor, inputs: dict[str, Tensor], dY: Tensor) -> dict[str, Tensor]:
    """`{"dQ": ...}`: the gradient of sum(Y * dY) for every named input. Raises Wrong where none flows."""
    if Y.shape != dY.shape:
        raise Wrong(f"the result has shape {tuple(Y.shape)}, expected {tuple(dY.shape)}")
    if frozen := [name for name, x in inputs.items() if not x.requires_grad]:
        raise Wrong(
            f"the call freezes {', '.join(map(repr, frozen))}: it sets requires_grad to False, so no gradient flows "
            "there and no optimiser would train it"
        )
    if not Y.requires_grad:
        raise Wrong(
            "no gradient can flow back from the result: it is cut off from its inputs "
            "(by detach, .data, no_grad, NumPy or torch.tensor, or it was made without them)"
        )
    grads = torch.autograd.grad(Y, list(inputs.values()), dY.to(Y.dtype), allow_unused=True)
    for name, grad in zip(inputs, grads, strict=True):
        if grad is None:
            raise Wrong(f"no gradient reaches {name}: the result does not depend on it, or the path is cut (detach)")
    return {f"d{name}": grad for name, grad in zip(inputs, grads, strict=True)}


def load(module: Any, weights: dict[str, Tensor]) -> nn.Module:
    """`module` with these weights, dtype and device and all. Raises Wrong where names or shapes differ.

    A buffer that is not asked for is no weight, and a parameter under two names is one parameter.
    """
    if not isinstance(module, nn.Module):
        raise Wrong(f"the class makes a {type(module).__name__}, expected a torch.nn.Module: derive it from nn.Module")
    # A lazy layer takes the shape of what is loaded.
    have = {name: None if is_lazy(x) else tuple(x.shape) for name, x in module.state_dict().items()}
    want = {name: tuple(value.shape) for name, value in weights.items()}
    for name in want:
        if name not in have:
            raise Wrong(
                f"the module has no weight called {name!r}; it has {', '.join(have) or 'none'}{_hidden(module)}"
            )
        if have[name] not in (None, want[name]):
            raise Wrong(f"the weight {name!r} has shape {have[name]}, expected {want[name]}")
    parameters = dict(module.named_parameters(remove_duplicate=False))
    asked_for = {id(parameters[name]) for name in want if name in parameters}
    if extra := [name for name, p in parameters.items() if name not in want and id(p) not in asked_for]:
        raise Wrong(f"the module has weights that are not asked for: {', '.join(extra)}")
    example = next(iter(weights.values()))
    # Before loading: a float32 module would round float64 weights.
    module = module.to(device=example.device, dtype=example.dtype)
    module.load_state_dict(weights, strict=False)  # what else it has are buffers and second names
    return module


def _hidden(module: nn.Module) -> str:
    """What is said of modules that nn.Module does not see."""
    plain = ((name, [*x.values()] if type(x) is dict else x) for name, x in vars(module).items() if name[0] != "_")
    found = [n for n, x in plain if isinstance(x, list | tuple) and any(isinstance(item, nn.Module) for item in x)]
    return f" (the modules in its list {found[0]} do not count: use nn.ModuleList, or names)" if found else ""


def trained(module: nn.Module, name: str) -> Tensor:
    """The module's parameter `name`. Raises Wrong where it is none, or frozen."""
    found = dict(module.named_parameters(remove_duplicate=False)).get(name)
    if found is None:
        raise Wrong(f"{name!r} is not a parameter, so no optimiser would train it: make it an nn.Parameter")
    if not found.requires_grad:
        raise Wrong(f"{name!r} is frozen (its requires_grad is False), so no optimiser would train it")
    return found


def returned(value: Any, *names: str) -> Any:
    """`value` when it is the tensor, or the tuple of tensors, called `names`. Raises Wrong otherwise."""
    if len(names) > 1:
        return tuple(map(returned, several(value, *names, kind="tensors"), names))
    if not isinstance(value, Tensor):
        raise Wrong(f"it returned {_described(value)}{_forgot(value)}, expected the tensor {', '.join(names)}")
    return value


def several(value: Any, *names: str, kind: str = "results") -> tuple[Any, ...]:
    """`value` as a tuple when it is a sequence of as many results as `names`. Raises Wrong otherwise."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(names):
        raise Wrong(f"it returned {_described(value)}, expected {len(names)} {kind}: {', '.join(names)}")
    return tuple(value)


def whole_numbers(value: Any, name: str, like: Tensor | None = None) -> Tensor:
    """`value`, a list of integers called `name`, as an int64 tensor on the device of `like`. Raises Wrong otherwise.

    For results that are lists: they are compared as tensors. An array of integers is as good as a list.
    """
    items = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise Wrong(f"it returned {_described(value)}, expected {name}: a list of integers")
    for place, item in enumerate(items):
        if isinstance(item, bool) or not hasattr(item, "__index__"):
            raise Wrong(f"{name} holds {_described(item)} at place {place}, expected an integer")
    return torch.tensor([int(i) for i in items], dtype=torch.int64, device=None if like is None else like.device)


def number(value: Any, name: str, like: Tensor | None = None) -> Tensor:
    """`value`, a number called `name`, as a tensor () with the device of `like`, and its dtype where that is a float's.

    For results that a learner may write as a Python number or as a tensor of one entry. Raises Wrong otherwise.
    """
    plain = value.item() if getattr(value, "shape", None) == () else value
    if isinstance(plain, Real | Decimal):
        dtype = like.dtype if like is not None and like.is_floating_point() else torch.float32
        return torch.tensor(float(plain), dtype=dtype, device=None if like is None else like.device)
    shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
    raise Wrong(f"it returned {_described(value)}{shape}{_forgot(value)}, expected one number: {name}")


def text(value: Any, name: str) -> dict[str, Tensor]:
    """A string called `name`, as numbers. Raises Wrong where it is none."""
    if not isinstance(value, str):
        raise Wrong(f"it returned {_described(value)}{_forgot(value)}, expected {name}: a string")
    return {name: as_numbers(value)}


def texts(value: Any, name: str) -> dict[str, Tensor]:
    """A list of strings called `name`, as numbers. Raises Wrong where it is none."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Wrong(f"it returned {_described(value)}{_forgot(value)}, expected {name}: a list of strings")
    if odd := [item for item in value if not isinstance(item, str)]:
        raise Wrong(f"{name} holds {_described(odd[0])}, expected strings")
    return {name: as_numbers(value)}


def octets(value: Any, name: str) -> dict[str, Tensor]:
    """Bytes called `name`, as numbers. Raises Wrong where they are none."""
    if not isinstance(value, bytes | bytearray):
        raise Wrong(f"it returned {_described(value)}{_forgot(value)}, expected {name}: bytes")
    return {name: as_numbers(value)}


@contextlib.contextmanager
def no_reverse_mode(what: str, *objects: Any) -> Iterator[None]:
    """Torch's own reverse mode is refused, for `what` is to be written by hand: whatever asks for it meets Wrong.

    What stands in for an exercise (`coursekit.library`) may use it.
    """
    if any(getattr(obj, "__module__", "").startswith("coursekit.library") for obj in objects):
        yield
        return

    def refused(*given: Any, **settings: Any) -> None:
        raise Wrong(
            f"torch's own reverse mode is called (autograd, backward, torch.func), and {what} is yours to write"
        )

    engine = torch.autograd._engine_run_backward
    torch.autograd._engine_run_backward = refused  # type: ignore[assignment] # what grad, backward and func come to
    try:
        yield
    finally:
        torch.autograd._engine_run_backward = engine


class LargestTensor(TorchDispatchMode):
    """`with LargestTensor() as m: ...` leaves in `m.elements` the size of the largest tensor that was made.

    Memory counts, so a view counts as the tensor that it looks into and an expanded tensor as its real size. What looks
    into a tensor of `given` was there before.
    """

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.elements = 0
        self.given = {t.untyped_storage().data_ptr() for t in given}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # A sparse tensor has no storage of its own: its indices and values were counted when they were made.
        # A plain tensor is by far the most frequent result, and walking a tree costs more than most operations.
        for t in (result,) if type(result) is Tensor else tree_leaves(result):
            if isinstance(t, Tensor) and t.layout == torch.strided and not self._was_there(t):
                self.elements = max(self.elements, t.untyped_storage().nbytes() // t.element_size())
        return result

    def _was_there(self, t: Tensor) -> bool:
        return bool(self.given) and t.untyped_storage().data_ptr() in self.given


def tensors_in(module: nn.Module) -> list[Tensor]:
    """All that the parts of a module hold, buffers and plain attributes too."""
    held = tree_leaves(
        [[*part.parameters(False), *part.buffers(False), *vars(part).values()] for part in module.modules()]
    )
    return [x for x in held if isinstance(x, Tensor)]


def unsealed(text: str) -> dict[str, Any]:
    """The names that a source defines which `drawing.sealed` has put away."""
    names: dict[str, Any] = {"torch": torch}
    exec(compile(zlib.decompress(base64.b85decode(text)), "mutant", "exec"), names)
    return names


def _described(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def _forgot(value: Any) -> str:
    return " (is there a return?)" if value is None else ""
