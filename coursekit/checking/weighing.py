"""What can be said of an attention's weights, read off where the values are the identity: there Y holds them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from coursekit.checking.symptoms import Seen

_NONE = 1e-7  # a weight below it is none
_SURE = 1e-4  # a weight above it is no rounding
_WHERE = "holds the weights where V is the identity"


def who_sees_whom(seen: Seen) -> list[str] | None:
    """A hidden key whose value shows in the result, or a visible one whose value does not."""
    if not _holds_weights(seen):
        return None
    given, right = seen.actual.abs(), seen.expected
    for wrong, told in (
        ((given > _SURE) & (right == 0), "takes from the value of key {1}, which it must not see"),
        ((given == 0) & (right > _SURE), "takes nothing from the value of key {1}, which it must see"),
    ):
        if wrong.any():
            *_, i, j = wrong.nonzero()[0].tolist()
            return [f"{_WHERE}: there query {i} {told.format(i, j)}"]
    return []


def rows(seen: Seen) -> list[str] | None:
    """Weights that do not sum to 1 over the keys, but perhaps over the queries."""
    if not _holds_weights(seen) or ((seen.expected.sum(-1) - 1).abs() >= _SURE).any():
        return None  # a query that may look at nothing has no weights that sum to 1
    over = {dim: bool(((seen.actual.sum(dim) - 1).abs() < _SURE).all()) for dim in (-1, -2)}
    if over[-1]:
        return []
    queries = ", but along dimension -2, over the queries" if over[-2] else ""
    return [f"{_WHERE}: there it does not sum to 1 along dimension -1{queries}"]


def whose_keys(seen: Seen) -> list[str] | None:
    """A head whose weights are those of another head's keys."""
    if not _holds_weights(seen) or (QK := _queries_and_keys(seen)) is None:
        return None
    Q, K = QK
    both = _heads(seen.actual), _heads(seen.expected)
    for h in range(len(Q)):
        mine, right = (next((g for g in range(len(K)) if _fitted(A[h], Q[h] @ K[g].mT)), None) for A in both)
        if mine is not None and right is not None and mine != right:
            return [f"{_WHERE}: there query head {h} reads key head {mine}, expected {right}"]
    return []


def scores(seen: Seen) -> list[str] | None:
    """What the scores behind the weights are made of: a multiple of Q K^T, and steps from key to key."""
    if not _holds_weights(seen) or (QK := _queries_and_keys(seen)) is None:
        return None
    Q, K = QK
    for h in range(len(Q)):
        products = Q[h] @ K[h * len(K) // len(Q)].mT
        mine, right = _fitted(_heads(seen.actual)[h], products), _fitted(_heads(seen.expected)[h], products)
        if mine is None or right is None:
            return []
        if not math.isclose(mine[0], right[0], rel_tol=1e-3):
            return [f"{_WHERE}: there the scores are {mine[0]:.4g} Q K^T, expected {right[0]:.4g} Q K^T, 1 / sqrt(d)"]
        if not math.isclose(mine[1], right[1], rel_tol=1e-3, abs_tol=1e-4):
            step = f"each step to a later key adds {mine[1]:.4g} to the score, expected {right[1]:.4g}"
            return [f"{_WHERE}: there, in head {h + 1}, {step}"]
    return []


def _holds_weights(seen: Seen) -> bool:
    V = seen.inputs.get("V")
    if not isinstance(V, Tensor) or V.dim() < 2 or V.shape[-1] != V.shape[-2] or V.shape[-1] < 2:
        return False
    same = seen.actual.shape == seen.expected.shape and seen.expected.dim() == V.dim()
    return same and bool((torch.eye(V.shape[-1], dtype=V.dtype, device=V.device) == V).all())


def _heads(x: Tensor) -> Tensor:
    """(H T d) of the first sequence."""
    return x.cpu().double()[0]


def _queries_and_keys(seen: Seen) -> tuple[Tensor, Tensor] | None:
    Q, K = (seen.inputs.get(name) for name in ("Q", "K"))
    if not isinstance(Q, Tensor) or not isinstance(K, Tensor) or Q.dim() != 4 or seen.expected.dim() != 4:
        return None
    return _heads(Q), _heads(K)


def _fitted(A: Tensor, products: Tensor) -> tuple[float, float] | None:
    """c and s where log A = c products + s j + one number a row, over the keys j with a weight; None where none fit."""
    at = torch.arange(A.shape[-1], dtype=A.dtype).expand_as(A)
    pieces = []
    for row, weighty in enumerate(A > _NONE):
        if int(weighty.sum()) > 1:
            columns = torch.stack([x[row][weighty] for x in (products, at, A.clamp(min=_NONE).log())], 1)
            pieces.append(columns - columns.mean(0))
    if sum(map(len, pieces)) < 8:  # two numbers, and one a row, fit anything smaller
        return None
    X = torch.cat(pieces)
    fit = torch.linalg.lstsq(X[:, :2], X[:, 2:]).solution[:, 0]
    return (fit[0].item(), fit[1].item()) if bool(((X[:, :2] @ fit - X[:, 2]).abs() < 1e-3).all()) else None
