"""Results that are text or bytes: carried as tensors of whole numbers, and compared as what they are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

END = -1  # stands behind every string of a list
WHOLE = 100  # characters of a result that a report shows whole
AROUND = 20  # characters beside the first difference of a longer one


def as_numbers(value: str | bytes | bytearray | Sequence[str]) -> Tensor:
    """Code points of a string, the bytes of bytes, of a list every string with END behind it: int64, (n,)."""
    if isinstance(value, str):
        return torch.tensor([ord(c) for c in value], dtype=torch.int64)
    if isinstance(value, bytes | bytearray):
        return torch.tensor(list(value), dtype=torch.int64)
    return torch.tensor([n for item in value for n in (*map(ord, item), END)], dtype=torch.int64)


def written_difference(name: str, kind: str, actual: Tensor, expected: Tensor) -> str | None:
    """How a result of the kind text, texts or bytes differs from the expected one, None where it does not.

    Both are shaped as `as_numbers` gives them; `actual` may come from a process that is not trusted, and hold any
    whole numbers.
    """
    found, wanted = (_value(kind, x.tolist()) for x in (actual, expected))
    if found == wanted:
        return None
    at = next(i for i, (one, other) in enumerate(itertools.zip_longest(found, wanted)) if one != other)
    if max(len(actual), len(expected)) <= WHOLE:
        same = kind == "texts" and sorted(found) == sorted(wanted)
        return f"{name} is {found!r}, expected {wanted!r}{': the same in another order' if same else ''}"
    there = [_excerpt(kind, value, at) for value in (found, wanted)]
    return f"{name} differs first at place {at}, where it has {there[0]!r}, expected {there[1]!r}"


def _value(kind: str, numbers: list[int]) -> Any:
    """What the numbers stand for. Bytes that are none stay numbers; where there is no such letter stands a sign."""
    if kind == "bytes":
        return bytes(numbers) if all(0 <= n < 256 for n in numbers) else numbers
    letters = ["\n" if n == END else chr(n) if 0 <= n < 0x110000 else "\ufffd" for n in numbers]
    if kind == "text":
        return "".join(letters)
    ends = [i for i, n in enumerate(numbers) if n == END]
    return ["".join(letters[a + 1 : b]) for a, b in itertools.pairwise([-1, *ends])]


def _excerpt(kind: str, value: Any, at: int) -> Any:
    """The string at that place of a list, no more than its beginning; else what stands around the place."""
    if kind == "texts":
        return value[at][:WHOLE] if at < len(value) else None
    return value[max(at - AROUND, 0) : at + AROUND]
