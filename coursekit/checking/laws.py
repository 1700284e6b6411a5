"""Laws for answers that are random: counts that must be 0, shares within five sigma, choices that do not depend.

Two answers are alike under a law when both keep it, or both break it by the same amount, as far as chance allows.

A measurement is the number that the exercise's `measure` gives as `_name`. Each law here is broken with the sentence
`says`, in which `{n}` is the count, `{of}` what it is a part of, `{share}` the quotient, and the case's inputs and the
other measurements stand by their names. `when` names an input that must be true for the law to be asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coursekit.checking.contract import Law, Outputs

SIGMAS = 5
A_TENTH = 0.1
BLANK = "..."  # in place of a number of a hidden case
_NUMBER = re.compile(r"[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|\b(?:nan|inf)\b)%?")
Counted = tuple[float, float]  # n, and what it is a part of


@dataclass(frozen=True)
class Count:
    """A law on one measurement: `broken(n, of, chance)`, and `near((n, of), (m, of))` for two that break it alike.

    `of` names the measurement that n is a part of, `chance` the probability or the input that holds it. `beside` names
    shares that two answers must have in common as well, or it was not the same thing that broke the law. One
    `of_costs`, of memory or of time, explains no wrong value.
    """

    name: str
    says: str
    when: str
    broken: Callable[[float, float, float], bool]
    near: Callable[[Counted, Counted], bool]
    of: str = ""
    chance: float | str = 0.0
    beside: tuple[str, ...] = ()
    of_costs: bool = False

    def __call__(self, case: dict[str, Any], outputs: Outputs) -> str | None:
        if not self._breaks(case, outputs):
            return None
        n, total = self._counted(outputs)
        plain = {key: value for key, value in case.items() if not isinstance(value, Tensor)}
        return self.says.format(**{**plain, **measurements(outputs), "n": n, "of": total, "share": _ratio(n, total)})

    @property
    def unrevealed(self) -> str:
        """The sentence with nothing of the case or of what was drawn in it."""
        return self.says.format_map(_Blanks())

    def agree(self, case: dict[str, Any], one: Outputs, other: Outputs) -> bool:
        """Whether two answers keep the law both, or break it by the same amount."""
        broken = self._breaks(case, one)
        if broken != self._breaks(case, other):
            return False
        if not broken:
            return True
        apart = (abs(one[f"_{name}"].item() - other[f"_{name}"].item()) for name in self.beside)
        return self.near(self._counted(one), self._counted(other)) and all(share <= A_TENTH for share in apart)

    def _breaks(self, case: dict[str, Any], outputs: Outputs) -> bool:
        if self.when and not case[self.when]:
            return False
        return self.broken(*self._counted(outputs), case[self.chance] if isinstance(self.chance, str) else self.chance)

    def _counted(self, outputs: Outputs) -> Counted:
        return outputs[f"_{self.name}"].item(), outputs[f"_{self.of}"].item() if self.of else 1.0


def unrevealed(law: Law, told: str) -> str:
    """What a law told of a hidden case, without its numbers: an answer could choose them, and so spell the inputs."""
    return law.unrevealed if isinstance(law, Count) else _NUMBER.sub(BLANK, told)


class _Blank:
    """Written as BLANK, whatever the format."""

    def __format__(self, spec: str) -> str:
        return BLANK


class _Blanks(dict[str, _Blank]):
    def __missing__(self, key: str) -> _Blank:
        return _Blank()


def none(name: str, says: str, when: str = "", beside: tuple[str, ...] = ()) -> Law:
    """The measurement `name` is 0."""
    return Count(name, says, when, lambda n, of, p: bool(n), _near_counts, beside=beside)


def share(name: str, of: str, p: float | str, says: str, when: str = "", pairs: float = 1.0) -> Law:
    """`name` out of `of` is a share of p, within five sigma; `p` may name an input of the case.

    `pairs` divides both counts where what is counted overlaps, and so varies more than independent things do.
    """
    return Count(
        *(name, says, when),
        lambda n, total, chance: far(n / pairs, total / pairs, chance),
        lambda one, other: _near_shares(*(n / pairs for n in (*one, *other))),
        *(of, p),
    )


def between(name: str, of: str, least: float, most: float, says: str, when: str = "") -> Law:
    """`name` is at least the share `least` and at most the share `most` of `of`."""
    return Count(
        *(name, says, when),
        lambda n, total, p: not least * total <= n <= most * total,
        # What is counted here may depend on each other, and so vary more than chances do: a tenth is the same.
        lambda one, other: all(
            ((one[0] < least * one[1]) == (other[0] < least * other[1]), abs(_ratio(*one) - _ratio(*other)) <= A_TENTH)
        ),
        of,
    )


def at_most(name: str, sigmas: float, says: str, when: str = "", beside: tuple[str, ...] = ()) -> Law:
    """A measurement in sigmas (`deviation`, `clumping`, `repetition`) is at most `sigmas`, and a number."""
    return Count(name, says, when, lambda n, of, p: not n <= sigmas, _near_sigmas, beside=beside)


def _near_counts(one: Counted, other: Counted) -> bool:
    """Whether two counts could be those of one rare event."""
    return abs(one[0] - other[0]) <= SIGMAS * math.sqrt(one[0] + other[0])


def _near_shares(n: float, of_n: float, m: float, of_m: float) -> bool:
    """Whether two counts could be those of one probability."""
    p = min((n + m) / max(of_n + of_m, 1), 1.0)
    return abs(n * of_m - m * of_n) <= SIGMAS * math.sqrt(p * (1 - p) * of_n * of_m * (of_n + of_m))


def _near_sigmas(one: Counted, other: Counted) -> bool:
    """Whether two deviations are of one size: half of the larger one, and chance, may lie between them."""
    n, m = one[0], other[0]
    return abs(n - m) <= max(abs(n), abs(m)) / 2 + SIGMAS


def _ratio(n: float, of: float) -> float:
    return n / max(of, 1)


def far(count: float, n: float, p: float) -> bool:
    """Whether `count` of `n` independent trials is more than five sigma away from the probability p."""
    return abs(count - n * p) > SIGMAS * math.sqrt(n * p * (1 - p))


def deviation(count: float, n: float, p: float) -> float:
    """How many sigma `count` of `n` independent trials lies above n p; 0 where chance has no part in it."""
    return (count - n * p) / math.sqrt(n * p * (1 - p)) if 0 < p < 1 and n else 0.0


def surprise(count: Tensor, n: float, p: Tensor) -> Tensor:
    """How many sigma `count` of `n` independent trials lies from n p, where n p may be small and chance is lopsided.

    The root of the deviance, 2 n KL(count / n, p): for large n p it is the deviation, and by Chernoff's bound it lies
    above s with a probability of at most 2 exp(-s^2 / 2) for every n and p.
    """
    share, p = count / n, p.double()

    def part(s: Tensor, q: Tensor) -> Tensor:
        return torch.xlogy(s, s / q.clamp_min(1e-300))  # 0 log 0 is 0

    return (2 * n * (part(share, p) + part(1 - share, 1 - p)).clamp_min(0)).sqrt()


def clumping(count: Tensor, n: Tensor, p: float) -> float:
    """How many sigma the variance of counts lies above what independent choices give: `count` of `n`, each with p.

    Where all or none are counted chance has no part in it, and the answer is 0.
    """
    if not 0 < p < 1:
        return 0.0
    squares = ((count - p * n) ** 2 / (p * (1 - p) * n))[n > 0]
    return ((squares.sum() - len(squares)) / math.sqrt(4 * max(len(squares), 1))).item()


def evenness(count: Tensor, n: Tensor, p: float) -> float:
    """How many sigma the variance of counts lies below what independent choices give: `count` of `n`, each with p.

    A fixed share has none. By Wilson and Hilferty's cube root, because the groups may be few. Where all or none are
    counted the answer is 0.
    """
    if not 0 < p < 1 or not (n > 0).any():
        return 0.0
    squares = ((count - p * n) ** 2 / (p * (1 - p) * n))[n > 0]
    wide = 2 / (9 * len(squares))
    return (1 - wide - squares.mean().item() ** (1 / 3)) / math.sqrt(wide)


def agreement(one: Tensor, other: Tensor) -> float:
    """How many sigma two rows of deviations from the same expectation go together, of as many groups: they should not.

    What is common to the groups of one row alone, such as one draw for many of them, does not count.
    """
    sizes = one.norm() * other.norm()
    return (one @ other / sizes).item() * math.sqrt(len(one)) if sizes > 0 else 0.0


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
