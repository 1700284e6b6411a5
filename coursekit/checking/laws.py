"""Laws for answers that are random: counts that must be 0, shares within five sigma, choices that do not depend.

A measurement is the number that the exercise's `measure` gives as `_name`. Each law here is broken with the sentence
`says`, in which `{n}` is the count, `{of}` what it is a part of, `{share}` the quotient, and the case's inputs and the
other measurements stand by their names. `when` names an input that must be true for the law to be asked.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from coursekit.checking.contract import Law, Outputs

SIGMAS = 5


def none(name: str, says: str, when: str = "") -> Law:
    """The measurement `name` is 0."""
    return _law(f"none {name}", name, says, when, lambda n, of: bool(n))


def share(name: str, of: str, p: float | str, says: str, when: str = "", pairs: float = 1.0) -> Law:
    """`name` out of `of` is a share of p, within five sigma; `p` may name an input of the case.

    `pairs` divides both counts where what is counted overlaps, and so varies more than independent things do.
    """
    key = f"share {name} {of} {p}"
    return _law(key, name, says, when, lambda n, of, p: far(n / pairs, of / pairs, p), of, p)


def between(name: str, of: str, least: float, most: float, says: str, when: str = "") -> Law:
    """`name` is at least the share `least` and at most the share `most` of `of`."""
    key = f"between {name} {of} {least} {most}"
    return _law(key, name, says, when, lambda n, of: not least * of <= n <= most * of, of)


def at_most(name: str, sigmas: float, says: str, when: str = "") -> Law:
    """A measurement in sigmas (`deviation`, `clumping`, `repetition`) is at most `sigmas`, and a number."""
    return _law(f"at most {name} {sigmas}", name, says, when, lambda n, of: not n <= sigmas)


def far(count: float, n: float, p: float) -> bool:
    """Whether `count` of `n` independent trials is more than five sigma away from the probability p."""
    return abs(count - n * p) > SIGMAS * math.sqrt(n * p * (1 - p))


def deviation(count: float, n: float, p: float) -> float:
    """How many sigma `count` of `n` independent trials lies above n p; 0 where chance has no part in it."""
    return (count - n * p) / math.sqrt(n * p * (1 - p)) if 0 < p < 1 and n else 0.0


def clumping(count: Tensor, n: Tensor, p: float) -> float:
    """How many sigma the variance of counts lies above what independent choices give: `count` of `n`, each with p.

    Where all or none are counted chance has no part in it, and the answer is 0.
    """
    if not 0 < p < 1:
        return 0.0
    squares = ((count - p * n) ** 2 / (p * (1 - p) * n))[n > 0]
    return ((squares.sum() - len(squares)) / math.sqrt(4 * max(len(squares), 1))).item()


def repetition(groups: Tensor, items: Tensor, kinds: int) -> float:
    """How many sigma more items occur twice in a group (equal numbers in `groups`) than `kinds` equal chances give."""
    _, group, sizes = groups.unique(return_inverse=True, return_counts=True)
    expected = (sizes * (sizes - 1) / 2).sum().item() / kinds
    twice = len(items) - (group * (kinds + 1) + items.clamp(0, kinds)).unique().numel()
    return (twice - expected) / math.sqrt(expected + 1)


def as_measurements(numbers: dict[str, Any], device: torch.device | str = "cpu") -> Outputs:
    """What an exercise's `measure` returns: `{"_name": number}`, each a float64 tensor of shape ()."""
    return {f"_{name}": torch.tensor(float(n), dtype=torch.float64, device=device) for name, n in numbers.items()}


def measurements(outputs: Outputs) -> dict[str, float]:
    """Every measurement of one number, by its name without the underscore."""
    return {n.removeprefix("_"): v.item() for n, v in outputs.items() if n.startswith("_") and v.numel() == 1}


def _law(key: str, name: str, says: str, when: str, broken: Any, of: str = "", p: float | str | None = None) -> Law:
    def law(case: dict[str, Any], outputs: Outputs) -> str | None:
        if when and not case[when]:
            return None
        n = measurements(outputs)
        total = n[of] if of else 1.0
        chance = () if p is None else (case[p] if isinstance(p, str) else p,)
        if not broken(n[name], total, *chance):
            return None
        plain = {key: value for key, value in case.items() if not isinstance(value, torch.Tensor)}
        return says.format(**{**plain, **n, "n": n[name], "of": total, "share": n[name] / max(total, 1)})

    law.__name__ = key  # laws are told apart by their names, and one number may have several
    return law
