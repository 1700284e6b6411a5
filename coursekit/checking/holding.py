"""What of memory is alive: numbers in tensors, as long as anything refers to them, and numbers kept elsewhere."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coursekit.world import World

NUMBER = 4  # bytes: what is kept as bytes is counted as if it were float32


class Living(TorchDispatchMode):
    """`with Living() as alive: ...` leaves in `alive.most` the most numbers that were held at one time.

    Counted is the memory of tensors that are made inside, as long as anything refers to it: a name, a graph. That of
    `given`, and what looks into it, was there before. Only the thread in which it is entered is seen, which is a rank.
    """

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.most = 0
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}  # with the bytes of a number
        self._given = {x.untyped_storage()._cdata: StorageWeakRef(x.untyped_storage()) for x in given}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, Tensor) and x.layout == torch.strided]
        if new := [x for x in made if not self._known(x.untyped_storage()._cdata)]:
            for x in new:
                storage = x.untyped_storage()
                self._held[storage._cdata] = (StorageWeakRef(storage), x.element_size())
            self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
            self.most = max(self.most, self.now)
        return result

    @property
    def now(self) -> int:
        """The numbers that are held now: a storage may have become smaller, or larger."""
        return sum(_numbers(*held) for held in self._held.values())

    def _known(self, key: int) -> bool:
        # An address comes again when its memory is free.
        if key in self._given and not self._given[key].expired():
            return True
        return key in self._held and not self._held[key][0].expired()


def _numbers(reference: StorageWeakRef, size: int) -> int:
    """How many numbers of so many bytes a storage has, 0 where it is gone."""
    storage = torch.UntypedStorage._new_with_weak_ptr(reference.cdata)
    return 0 if storage is None else storage.nbytes() // size


def numbers_beside_tensors(*held: Any) -> int:
    """How many floats are kept elsewhere: in arrays, bytes, lists and by themselves, where `held` leads to them.

    Followed are attributes and slots, closures and defaults; and of the classes of `held`, and what their module
    defines, also the global names that functions use. An array that looks into a tensor's memory counts with the
    tensor. What a class leads to before anything is made of it is to be taken off.
    """
    classes = [x if isinstance(x, type) else type(x) for x in held]
    modules = {cls.__module__ for cls in classes if not cls.__module__.startswith("coursekit.world")}
    waiting, seen, found = [*held, *classes], set(), 0
    while waiting:
        x = waiting.pop()
        if id(x) in seen or isinstance(x, _NOT_FOLLOWED):
            continue
        seen.add(id(x))
        if isinstance(x, float):
            found += 1
        elif isinstance(x, np.ndarray):
            waiting += [] if x.base is None else [x.base]
            found += x.size if x.base is None else 0
        elif isinstance(x, bytes | bytearray | array):
            found += memoryview(x).nbytes // NUMBER
        else:
            waiting += _inside(x, modules)
    return found


def _inside(x: Any, modules: set[str]) -> Iterable[Any]:
    """What an object refers to; of classes and functions only those of these modules."""
    if isinstance(x, type):
        return vars(x).values() if x.__module__ in modules else ()
    if isinstance(x, FunctionType):
        names = _names(x.__code__) if x.__module__ in modules else ()
        used = [x.__globals__[name] for name in names if name in x.__globals__]
        return [*used, x.__closure__, x.__defaults__, x.__kwdefaults__, vars(x)]
    return gc.get_referents(x)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


_NOT_FOLLOWED = (Tensor, ModuleType, FrameType, World)
