"""Cases drawn by the letters of their dimensions: sizes are said once, for the tensors and for the label."""

from __future__ import annotations

import base64
import itertools
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from coursekit.checking.contract import Case, dtype_name

T = TypeVar("T")
Drawer = Callable[..., Case]


class Shapes:
    """Named tensors by their dimensions: `Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e")`.

    A dimension is a letter, a number, or a number before a letter (`3D` is three times D). A name that begins with
    `d` and a capital is a gradient from above, drawn for cases with `upstream=True`. A name with a dot or that ends in
    weight or bias is a weight: a matrix keeps the size of what it multiplies, a norm lies around 1. `told` says which
    sizes and plain inputs a label tells; all sizes by default.
    """

    def __init__(self, text: str, told: str = "") -> None:
        pairs = (part.split(":") for part in text.split(","))
        self.dimensions = {name.strip(): tuple(letters.split()) for name, letters in pairs}
        used = re.findall(r"[A-Za-z]\w*", " ".join(itertools.chain.from_iterable(self.dimensions.values())))
        self.letters = tuple(dict.fromkeys(used))
        self.told = tuple(told.split()) or self.letters

    def cases(self, g: torch.Generator) -> Drawer:
        """`case(part, B=2, T=3, ...)` draws from `g`; keywords that are no dimension are inputs as they are.

        Sizes are inputs too. `dtype` is that of every floating tensor; `upstream` draws gradients from above;
        `contiguous=False` exchanges the last two dimensions in memory; `scores` shifts Q K^T / sqrt(d) by about that
        much, `apart` by rows[i] keys[j] (see `shifted`); `note` is added to the label.
        """

        def case(
            part: str,
            *,
            dtype: torch.dtype = torch.float32,
            upstream: bool = False,
            contiguous: bool = True,
            scores: float = 0.0,
            apart: tuple[Sequence[float], Sequence[float]] | None = None,
            note: str = "",
            **given: Any,
        ) -> Case:
            wanted = {n: d for n, d in self.dimensions.items() if (upstream or not is_upstream(n)) and n not in given}
            inputs = {n: self._tensor(g, n, [size(d, given) for d in dims], dtype) for n, dims in wanted.items()}
            if not contiguous:
                inputs = {n: scattered(x) if x.dim() > 1 else x for n, x in inputs.items()}
            if scores or apart:
                inputs |= shifted(inputs["Q"], inputs["K"], *(apart or ((1.0,), (scores,))))
            told = [f"{name}={given[name]}" for name in self.told if isinstance(given.get(name), int | float | str)]
            special = {
                dtype_name(dtype): dtype != torch.float32,
                "gradients": upstream,
                "not contiguous": not contiguous,
                f"scores near {scores:.0f}": scores,
                note: note,
            }
            words = told + [word for word, said in special.items() if said]
            return Case(part, ", ".join(words), inputs | given)

        return case

    def _tensor(self, g: torch.Generator, name: str, shape: list[int], dtype: torch.dtype) -> Tensor:
        return weight(g, name, *shape, dtype=dtype) if is_weight(name) else normal(g, *shape, dtype=dtype)


def size(dimension: str, sizes: dict[str, Any]) -> int:
    """The length of a dimension: `T` by its letter, `3D` and `2` as written."""
    number, letter = re.fullmatch(r"(\d*)([A-Za-z]\w*)?", dimension).groups()  # type: ignore[union-attr]
    return int(number or 1) * (int(sizes[letter]) if letter else 1)


def is_upstream(name: str) -> bool:
    """Whether the name is that of a gradient from above: `dY`."""
    return name[0] == "d" and name[1:2].isupper()


def is_weight(name: str) -> bool:
    """Whether the name is that of a module's weight: `linear.bias`, `in_proj_weight`."""
    return "." in name or name.endswith(("weight", "bias"))


def weight(g: torch.Generator, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A weight of ordinary size, far from where a module begins: every part of the module shows in its result.

    Matrices have a variance of 1 / columns, what belongs to a norm is 1 (weight) or 0 (bias) give or take 0.5, other
    biases have a variance of 0.25.
    """
    x = normal(g, *shape, dtype=dtype)
    if len(shape) > 1 and "norm" not in name:
        return x / shape[-1] ** 0.5
    return 0.5 * x + (1.0 if "norm" in name and name.endswith("weight") else 0.0)


def sealed(text: str) -> str:
    """Text that is not met by accident, such as the source of a mutant: `probing.unsealed` gives it back."""
    return base64.b85encode(zlib.compress(text.encode())).decode()


def places(rows: str) -> Tensor:
    """A Bool tensor from a picture, "x" for True: `places("xx. x..")` is (2, 3)."""
    return torch.tensor([[place == "x" for place in row] for row in rows.split()])


def some(g: torch.Generator, values: Sequence[T], n: int) -> list[T]:
    """`n` different ones of `values`, in any order."""
    return [values[i] for i in torch.randperm(len(values), generator=g)[:n].tolist()]


def normal(g: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers, drawn in float64 so that every dtype sees the same ones."""
    return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)


def scattered(x: Tensor) -> Tensor:
    """The values of `x` in a non-contiguous layout: its last two dimensions are swapped in memory."""
    return x.mT.contiguous().mT


def shifted(Q: Tensor, K: Tensor, rows: Sequence[float], keys: Sequence[float]) -> dict[str, Tensor]:
    """`{"Q": ..., "K": ...}` whose scores QK^T / sqrt(d) are larger by about rows[i] keys[j]; one number is for all.

    Softmax does not see a shift of whole rows. exp without the maximum under- or overflows there, one maximum for all
    rows is none for most, a finite number in place of -inf is no longer far away, and a hidden key far above leaves
    nothing for the others where it takes part in the softmax.
    """
    Q, K = Q.clone(), K.clone()
    Q[..., 0] = torch.tensor(rows, dtype=Q.dtype)
    K[..., 0] = torch.tensor(keys, dtype=K.dtype) * K.shape[-1] ** 0.5
    return {"Q": Q, "K": K}
