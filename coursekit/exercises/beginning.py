"""What the first numbers of a model are judged by, in exercises that draw them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coursekit.checking.contract import Law
from coursekit.checking.laws import A_TENTH, SIGMAS, Count, at_most, none
from coursekit.checking.probing import Wrong

CALLS = ("first call", "next call", "first call again")
PREFIX = 64  # so many numbers of two matrices are looked at to see that one was drawn as the other


def begun(module: nn.Module, begin: Callable[[], object]) -> dict[str, nn.Parameter]:
    """The parameters by all of their names, after `begin()` has left them the objects that they were. Raises Wrong.

    Objects can be looked at in this process alone: a Parameter has no copy to hand over.
    """
    before = dict(module.named_parameters(remove_duplicate=False))
    kinds = {name: (tuple(p.shape), p.dtype) for name, p in before.items()}
    trained = {name: p.requires_grad for name, p in before.items()}
    begin()
    after = dict(module.named_parameters(remove_duplicate=False))
    for name, p in after.items():
        if before.get(name) is not p:
            raise Wrong(
                f"{name} is another Parameter than before. Change its numbers in place: an optimiser may hold it, and "
                "a matrix under two names is one Parameter"
            )
        if (now := (tuple(p.shape), p.dtype)) != kinds[name]:
            raise Wrong(f"{name} is {now} afterwards, expected {kinds[name]}, the shape and dtype that it had")
        if trained[name] and not p.requires_grad:
            raise Wrong(f"{name} is frozen afterwards (its requires_grad is False), so no optimiser would train it")
        if p.requires_grad and not trained[name]:
            raise Wrong(f"{name} was frozen before (its requires_grad was False), and is not afterwards")
    return after


def off_centre(x: Tensor) -> Tensor:
    """How many sigma the mean of independent numbers lies from 0."""
    return (x.mean() / x.std()).abs() * x.numel() ** 0.5


def apart(matrices: Tensor) -> tuple[float, float, float]:
    """How many sigma the deviation of one row lies from that of all, the smallest and the largest one."""
    each = matrices.std(1)
    off = (each / matrices.std().clamp_min(1e-30) - 1).abs().max() * (2 * matrices.shape[1]) ** 0.5
    return off.item(), each.min().item(), each.max().item()


def alike(beginnings: Tensor) -> Tensor:
    """How many pairs of rows hold the same numbers but for a factor, as far as float32 rounds."""
    rows = beginnings / beginnings.norm(dim=1, keepdim=True)
    return ((rows @ rows.T).triu(1) > 1 - 1e-5).sum()


def pressed(matrices: list[Tensor]) -> Tensor:
    """How many numbers are exactly the largest or the smallest one of their matrix, beside that one itself."""
    ends = sum(((x == x.amax()) | (x == x.amin())).sum() - 2 for x in matrices if x.numel() > 1 and x.any())
    return torch.as_tensor(ends).clamp_min(0)


def rows_together(matrices: list[Tensor]) -> float:
    """How many sigma rows are nearer to one direction, or to right angles, than independent ones.

    `matrices` holds tensors of (matrices, rows, columns).
    """
    excess, variance = 0.0, 0.0
    for x in matrices:
        count, rows, columns = x.shape
        x = x - x.mean((1, 2), keepdim=True)
        Z = x / x.std((1, 2), keepdim=True).clamp_min(1e-30)
        pairs = rows * (rows - 1) / 2
        excess += (((Z @ Z.mT) ** 2 / columns).triu(1).sum((1, 2)) - pairs).sum().item()
        variance += count * pairs * (2 + 6 / columns)
    return abs(excess) / variance**0.5


def too_even(kinds: list[tuple[Tensor, float]]) -> float:
    """How many sigma means and deviations lie nearer to the right ones than chance brings them.

    `kinds` holds tensors of (matrices, numbers), each with the right deviation of its numbers.
    """
    fit, free = 0.0, 0
    for x, right in kinds:
        n = x.shape[1]
        fit += ((x.mean(1) / right) ** 2 * n + (x.std(1) / right - 1) ** 2 * 2 * n).sum().item()
        free += 2 * len(x)
    return (free - fit) / (2 * free) ** 0.5


def deviates(kind: str, says: str, when: str = "") -> Law:
    """The law that numbers of this kind have the right deviation, as far as so many drawn ones can show.

    Measured are `std_kind` and `right_kind`; the input `n_kind` counts the numbers.
    """
    return Count(
        f"std_{kind}",
        says,
        when,
        lambda n, of, numbers: not abs(n / of - 1) <= SIGMAS / (2 * numbers) ** 0.5,
        lambda one, other: abs(one[0] - other[0]) <= A_TENTH * max(one[0], other[0]),
        f"right_{kind}",
        f"n_{kind}",
    )


ROWS = at_most("rows", 6, "rows of a matrix depend on each other: each number is drawn by itself")
CENTRED = at_most("off_centre", 5, "the mean of some matrices is too far from 0 for chance")
PRESSED = none(
    "pressed", "{n:.0f} numbers are exactly the largest or smallest one of their matrix: what is drawn is left as it is"
)
# What a generator does from call to call, and from matrix to matrix.
DRAWN_ANEW = (
    none("again", "{n:.0f} numbers differ between two calls with equal seeds: draw all of them from `generator`"),
    none("same", "another call with the same generator draws the same numbers again"),
    none("alike", "matrices begin with the same numbers: each of them is drawn anew"),
)


def as_drawn(sigmas: float) -> Law:
    """The law that nobody has brought means and deviations to their places afterwards."""
    return at_most(
        *("even", sigmas),
        "means and deviations of the matrices are almost exactly 0 and the right ones, closer than chance comes: "
        "leave drawn numbers as they are",
    )
