"""Tell in one sentence how a tensor differs from the one that is expected."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coursekit.checking.contract import dtype_name

# torch.testing.assert_close's (rtol, atol); its own table is private.
TOLERANCE = {
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.float32: (1.3e-6, 1e-5),
    torch.float64: (1e-7, 1e-7),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
}
LISTED = 6  # rows or columns: of more, nobody reads where they are


def close(actual: Tensor, expected: Tensor, tolerance: tuple[float, float] | None = None) -> Tensor:
    """Which entries agree, as a bool tensor of their shape; NaN agrees with NaN, no complex number with a real one.

    The tolerance is (rtol, atol): the given one, or the one of `expected`'s dtype; other dtypes must be equal.
    """
    if actual.is_complex() != expected.is_complex():
        return torch.zeros_like(expected, dtype=torch.bool)
    if not (tolerance or actual.is_floating_point() or expected.is_floating_point() or expected.is_complex()):
        return actual == expected.to(actual.device)  # whole numbers above 2^53 are no longer told apart as float64
    rtol, atol = tolerance or TOLERANCE.get(expected.dtype, (0.0, 0.0))
    return torch.isclose(_wide(actual), _wide(expected.to(actual.device)), rtol, atol, equal_nan=True)


def difference(name: str, actual: Tensor, expected: Tensor, tolerance: tuple[float, float] | None = None) -> str | None:
    """How `actual` differs from `expected`, None where it does not.

    Shape, device and kind of dtype must be the same; a wider floating dtype than the expected one is right
    (only wrong values cost marks).
    """
    if actual.shape != expected.shape:
        return f"{name} has shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    if actual.device.type != expected.device.type:
        return f"{name} is on {actual.device.type}, expected {expected.device.type}, where the inputs are"
    if not _accepts(actual.dtype, expected.dtype):
        return f"{name} has dtype {dtype_name(actual.dtype)}, expected {dtype_name(expected.dtype)}"
    if (actual.is_floating_point() or actual.is_complex()) and (found := _not_numbers(name, actual, expected)):
        return found
    agree = close(actual, expected, tolerance)
    return None if agree.all() else _values(name, actual, expected, agree)


def worked_out(found: Tensor, right: Tensor) -> str:
    """How far a number that was worked out by hand is from the right one, which is the answer and not shown."""
    a, e = found.item(), right.item()
    if any(found == torch.tensor(float(f"{e:.{digits}g}"), dtype=found.dtype) for digits in range(2, 7)):
        return f"{a:.6g} is the right number, rounded: give all of its digits, or the product"
    if not math.isfinite(a) or a * e <= 0:
        return f"your number is {a:.6g}, which cannot be"
    factor, side = max(a / e, e / a), "large" if abs(a) > abs(e) else "small"
    if factor < 1.5:
        share = f"{max(100 * abs(a / e - 1), 0.001):.2g}"
        return f"your number, {a:.6g}, is too {side} by {share!s} percent"
    times = f"{factor:,.0f}" if factor > 999 else f"{factor:.4g}"
    return f"your number, {a:.6g}, is too {side} by a factor of {times!s}"


def _accepts(actual: torch.dtype, expected: torch.dtype) -> bool:
    if actual == expected:
        return True
    both = (actual.is_floating_point and expected.is_floating_point) or (actual.is_complex and expected.is_complex)
    try:
        return both and torch.promote_types(actual, expected) == actual
    except RuntimeError:  # of float8 and narrower torch knows no wider type
        return False


def _wide(x: Tensor) -> Tensor:
    """The same numbers in the widest type of their kind."""
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _not_numbers(name: str, actual: Tensor, expected: Tensor) -> str | None:
    for test in (torch.isnan, torch.isinf):
        extra = test(actual) & ~test(expected.to(actual.device))
        if extra.any():
            kind = "NaN" if test is torch.isnan else "infinite"
            return f"{name} is {kind} in {_count(extra)}, first at {_place(extra)}"
    return None


def _values(name: str, actual: Tensor, expected: Tensor, agree: Tensor) -> str:
    if not actual.dim():
        return f"{name} is {_told_apart(actual, expected)}"
    wrong = ~agree
    gap = (_wide(actual) - _wide(expected.to(actual.device))).abs().nan_to_num(float("inf"))
    worst = torch.unravel_index(gap.where(wrong, -1.0).argmax(), gap.shape)
    at = [int(i) for i in worst]
    text = f"{name} differs in {_count(wrong)}{_rows(wrong)}, most at {at}"
    return f"{text}: {_told_apart(actual[worst], expected[worst])}"


def _told_apart(actual: Tensor, expected: Tensor) -> str:
    """Both numbers, with as many digits as it takes to see that they differ."""
    a, e = (x.item() for x in (actual, expected))
    if isinstance(a, bool) and isinstance(e, bool):
        return f"{a}, expected {e}"
    digits = next((n for n in (6, 9, 12) if f"{a:.{n}g}" != f"{e:.{n}g}"), 17)
    found, wanted = f"{a:.{digits}g}", f"{e:.{digits}g}"
    return f"{found!s}, expected {wanted!s}"


def _rows(wrong: Tensor) -> str:
    """', only in rows 2, 3 of dimension 1' when a few rows of one dimension hold every difference."""
    for dim in reversed(range(wrong.dim())):
        others = [d for d in range(wrong.dim()) if d != dim]
        touched = wrong.any(others) if others else wrong
        if touched.numel() > 1 and touched.sum() <= touched.numel() // 2 and (told := _listed(touched)):
            return f", only where index {dim - wrong.dim()} is {told}"
    return ""


def _listed(touched: Tensor) -> str:
    """All places that are True, or nothing where they are too many to be read."""
    places = touched.nonzero().flatten().tolist()
    if len(places) <= LISTED:
        return ", ".join(map(str, places))
    return f"{places[0]} to {places[-1]}" if len(places) == places[-1] - places[0] + 1 else ""


def _count(mask: Tensor) -> str:
    return f"{int(mask.sum())} of {mask.numel()} entries"


def _place(mask: Tensor) -> list[int]:
    return mask.nonzero()[0].tolist()
