"""What can be said of vectors that should be turned in pairs of neighbours, as rotary positions turn them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from coursekit.checking.symptoms import Seen

_LOOSE = 2e-2  # radians, and of a length: bfloat16 knows no more


def lengths(seen: Seen) -> list[str] | None:
    """Vectors of other lengths than those of the input that should only be turned."""
    for name, x in _turned(seen):
        kept = torch.allclose(seen.actual.norm(dim=-1), x.norm(dim=-1), rtol=_LOOSE)
        return [] if kept else [f"is no rotation of {name}: lengths change"]
    return None


def angles(seen: Seen) -> list[str] | None:
    """Pairs that turn at another speed, or tokens that turn as if they stood elsewhere."""
    for _, x in _turned(seen):
        at, pairs = seen.inputs.get("positions"), x.shape[-1] // 2
        if not isinstance(at, Tensor) or pairs < 2:
            return None
        before, right, mine = (
            torch.view_as_complex(y.unflatten(-1, (-1, 2)).contiguous()) for y in (x, seen.expected, seen.actual)
        )
        if not torch.allclose(mine.abs(), before.abs(), rtol=_LOOSE, atol=_LOOSE):
            return []
        wrong = ((mine / right).angle().abs() > _LOOSE).flatten(0, -2).any(0)
        if not wrong[0]:
            return ["turns the first pair rightly, and later pairs by other angles: look at their speeds"]
        return []
    return None


def _turned(seen: Seen) -> list[tuple[str, Tensor]]:
    """The input that the expected output is a rotation of, pair by pair; none for most outputs."""
    a, e = seen.actual, seen.expected
    if "positions" not in seen.inputs or a.shape != e.shape or e.dim() < 2 or e.shape[-1] % 2:
        return []
    found = []
    for name, x in seen.inputs.items():
        if isinstance(x, Tensor) and x.shape == e.shape and x.is_floating_point():
            given = x.cpu().double()
            given_length, length = (y.unflatten(-1, (-1, 2)).norm(dim=-1) for y in (given, e))
            if not torch.equal(given, e) and torch.allclose(given_length, length, rtol=_LOOSE, atol=_LOOSE):
                found.append((name, given))
    return found[:1]
