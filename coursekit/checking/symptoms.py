"""What can be said of a wrong answer when nobody knows the mistake: a property of its numbers, true as it stands."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from coursekit.checking.apart import where
from coursekit.checking.comparing import close, difference
from coursekit.checking.contract import Case, Exercise
from coursekit.checking.observing import Outcome
from coursekit.checking.turning import angles, lengths
from coursekit.checking.weighing import rows, scores, who_sees_whom, whose_keys

# What may be said, the best first; None of an output that the look is no question for.
Look = Callable[["Seen"], "list[str] | None"]

AND = "; "  # between two sentences of one symptom
ABSENT = -1  # what a probe writes where there is nothing to read, and no learner
LARGE = 100  # a count of which a multiple tells something
FEW = 4  # numbers that lie between 0 and 1 by chance alone
NEAR = 2e-3  # of the largest number: half precision rounds by 5e-4, and some steps follow


@dataclass(frozen=True)
class Seen:
    """One output that differs from what is expected, both in float64 on the CPU, and the case's inputs."""

    name: str
    actual: Tensor
    expected: Tensor
    label: str  # of the case
    inputs: dict[str, Any]
    tolerance: tuple[float, float]
    shares: bool = False  # in every case each row of the expected output sums to 1
    many: bool = False  # it differs in three cases or more
    small: bool = False  # a count of which a multiple tells nothing: it can only speak against what others show
    rows: bool = False  # in some case the expected output has more than one dimension

    def is_(self, x: Tensor) -> bool:
        """Whether x is what is expected."""
        return x.shape == self.expected.shape and bool(close(x, self.expected, self.tolerance).all())


def symptom(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    """The first sentence that is true of every output that differs on a case which is not hidden; else nothing.

    With it, in which sizes the wrong cases differ from all right ones.
    """
    for of_all in (_unlike_before, _exchanged, _empty):
        if told := of_all(exercise, cases, outcomes, expected):
            return told
    shown = [outcome for case, outcome in zip(cases, outcomes, strict=True) if not case.hidden]
    # What was changed in place, or left behind, is told, and any other number may follow from it.
    aside = any(outcome.changed or outcome.left for outcome in shown)
    looks = () if aside else (_property, _broken_law)
    what = next(filter(None, (look(exercise, cases, outcomes, expected) for look in looks)), "")
    # A lost dimension explains itself; in which cases it shows depends on what torch makes of the others.
    apart = "" if "dimension of size 1" in what else where(exercise, cases, outcomes, expected)
    return AND.join(filter(None, [what, apart]))


def _broken_law(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    """The first law that a case with other values than expected breaks too; where values are right it is a finding."""
    for case, outcome, right in zip(cases, outcomes, expected, strict=True):
        found = outcome.outputs
        if case.hidden or found is None:
            continue
        # A law may take shapes for granted.
        if all(found[n].shape == e.shape and found[n].dtype == e.dtype for n, e in right.items()) and any(
            difference(n, found[n], e, exercise.tolerance.get(e.dtype)) for n, e in right.items()
        ):
            laws = (law for law in exercise.laws if not getattr(law, "of_costs", False))
            told = next((told for law in laws if (told := law(case.inputs, found))), "")
            if told:
                return f"{case.label}: {told}"
    return ""


def _property(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    infinite = _infinite(exercise, cases, outcomes, expected)
    seen = [one for one in _seen(exercise, cases, outcomes, expected) if one.name not in infinite]
    odd = _partly_finite(cases, outcomes, expected)
    for name in dict.fromkeys(one.name for one in seen if not one.small):
        shares = all(_shares(case, right[name]) for case, right in zip(cases, expected, strict=True) if name in right)
        rows = any(right[name].dim() > 1 for right in expected if name in right)
        mine = [replace(one, shares=shares, rows=rows) for one in seen if one.name == name]
        mine = [replace(one, many=len(mine) > 2) for one in mine]
        for look in LOOKS:
            looks = [said for one in mine if (said := look(one)) is not None]
            if agreed := [told for told in (looks or [[]])[0] if all(told in other for other in looks)]:
                told = f", where all of it is finite, {agreed[0]}" if name in odd else f" {agreed[0]}"
                if len(mine) == 1:
                    return f"{mine[0].label}: {name}{told}"
                asked = sum(name in right for case, right in zip(cases, expected, strict=True) if not case.hidden)
                if 2 * len(mine) >= asked:
                    return name + told
                return f"in the {len(mine)} cases that are wrong in {name}, it{told}"
    if told := _unmoved(exercise, cases, outcomes, expected):
        return told
    if len(seen) > 1 and all(map(_nearly, seen)):
        return (
            f"what differs is right but for less than {NEAR:.1%} of the largest number: a step in a coarser dtype, "
            "another small constant (an epsilon), or a large number in place of infinity can make such a difference"
        )
    return ""


def _partly_finite(
    cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> set[str]:
    """Names of outputs that are NaN or infinite in some case, where they should not be: no look is taken at these."""
    pairs = (
        (name, (outcome.outputs or {}).get(name), wanted)
        for case, outcome, right in zip(cases, outcomes, expected, strict=True)
        if not case.hidden
        for name, wanted in right.items()
    )
    return {n for n, x, wanted in pairs if x is not None and _finite(wanted) and not _finite(x)}


def _infinite(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> set[str]:
    """Names of outputs that are infinite at other places than they should be: what is finite is not all of them."""
    return {
        name
        for case, outcome, right in zip(cases, outcomes, expected, strict=True)
        if not case.hidden and outcome.outputs is not None
        for name, wanted in right.items()
        if not _finite(wanted) and (x := outcome.outputs[name]).is_floating_point() and not _infinite_alike(x, wanted)
    }


def _infinite_alike(x: Tensor, wanted: Tensor) -> bool:
    """Whether both are infinite at the same places; of other shapes a look is for their shapes."""
    x, wanted = x.detach().cpu().double(), wanted.cpu().double()
    return x.shape != wanted.shape or bool((x.where(x.isinf(), 0) == wanted.where(wanted.isinf(), 0)).all())


def _finite(x: Tensor) -> bool:
    """Asked of float64: torch cannot answer it for every float8."""
    return not x.is_floating_point() or bool(x.detach().cpu().double().isfinite().all())


def _unlike_before(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    again = next((i for i, case in enumerate(cases) if case.again and not case.hidden), None)
    if again is None or (first := outcomes[0].outputs) is None or (second := outcomes[again].outputs) is None:
        return ""
    for name in expected[again]:
        if first[name].shape != second[name].shape or not close(second[name], first[name]).all():
            return (
                f"two calls with the same arguments give two different results ({name}): something in it is random "
                "(dropout?), or it keeps something from one call to the next"
            )
    return ""


def _exchanged(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    """Two results that are each what the other should be, in every case that differs."""
    pairs: set[tuple[str, str]] | None = None
    for case, outcome, right in zip(cases, outcomes, expected, strict=True):
        found = outcome.outputs
        if case.hidden or found is None or not (wrong := [n for n in right if not _equal(found[n], right[n])]):
            continue
        swapped = {
            (a, b)
            for a, b in itertools.combinations(sorted(wrong), 2)
            if _equal(found[a], right[b]) and _equal(found[b], right[a])
        }
        pairs = swapped if pairs is None else pairs & swapped
    return next((f"{a} and {b} are exchanged: each is what the other should be" for a, b in sorted(pairs or ())), "")


def _empty(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    """All that comes back is always empty, and should not be: of one list among others a probe has its own reasons."""
    found = [
        outcome.outputs and right and all(outcome.outputs[n].numel() == 0 < x.numel() for n, x in right.items())
        for case, outcome, right in zip(cases, outcomes, expected, strict=True)
        if not case.hidden
    ]
    if not found or not all(found):
        return ""
    return f"{next(iter(expected[0]))} is empty (gone through a second time, a generator, `map` or `zip` gives nothing)"


def _equal(x: Tensor, y: Tensor) -> bool:
    return x.shape == y.shape and bool(close(x, y).all())


def _unmoved(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> str:
    """Cases that differ in one argument alone, should differ in their results, and never do."""
    open_ = [i for i, case in enumerate(cases) if not case.hidden and outcomes[i].outputs is not None]
    unmoved: dict[str, str] = {}  # by the argument, which is not looked at as far as is seen
    moved = set()
    for i, j in itertools.combinations(open_, 2):
        one, other = cases[i].inputs, cases[j].inputs
        apart = [name for name in {**one, **other} if _unlike(one.get(name), other.get(name))]
        found = [{name: (outcomes[k].outputs or {})[name] for name in expected[k]} for k in (i, j)]
        if len(apart) != 1 or not _unlike(expected[i], expected[j]):
            continue
        if _unlike(*found):
            moved.add(apart[0])
        else:
            unmoved.setdefault(
                apart[0],
                f"the result is the same for two cases that differ in {apart[0]!s} alone ({cases[i].label}; "
                f"{cases[j].label}), as if it did not look at {apart[0]!s}, or kept what an earlier call gave",
            )
    return next((told for name, told in unmoved.items() if name not in moved), "")


def _unlike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype != other.dtype or not torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(_unlike(one[name], other[name]) for name in one)
    return type(one) is not type(other) or repr(one) != repr(other)


def _seen(
    exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[dict[str, Tensor]]
) -> Iterator[Seen]:
    for case, outcome, right in zip(cases, outcomes, expected, strict=True):
        if case.hidden or outcome.outputs is None:
            continue
        for name, wanted in right.items():
            found = outcome.outputs[name]
            if name in exercise.said:
                continue  # the exercise itself has the sentence
            if not _are_numbers(found, wanted):
                continue
            actual, want = found.detach().cpu().double(), wanted.cpu().double()
            if want.isinf().any() and _infinite_alike(actual, want):
                actual, want = (x.masked_fill(x.isinf(), 0.0) for x in (actual, want))
            if not actual.isfinite().all():
                continue
            small = not found.is_floating_point() and bool(wanted <= LARGE)
            narrow = found.dtype if found.dtype.itemsize < wanted.dtype.itemsize else wanted.dtype
            rtol, atol = exercise.tolerance.get(narrow) or (1e-4, 1e-5)
            if found.shape == wanted.shape and close(actual, want, (rtol, atol)).all():
                continue
            yield Seen(name, actual, want, case.label, case.inputs, (rtol, atol), small=small)


def _are_numbers(found: Tensor, wanted: Tensor) -> bool:
    """Floating ones, or a count each: whole numbers in rows may be ids."""
    counts = found.dim() == wanted.dim() == 0 and found.dtype == wanted.dtype == torch.int64
    return counts or (found.is_floating_point() and wanted.is_floating_point())


def constant(seen: Seen) -> list[str]:
    if seen.actual.shape != seen.expected.shape:
        return []  # its shape is told
    if seen.actual.numel() < 2 or not bool((seen.actual == seen.actual.flatten()[0]).all()):
        return []
    value = seen.actual.flatten()[0].item()
    if value == ABSENT and not ((seen.expected < 0) & (seen.expected != ABSENT)).any():
        return []
    return [f"is {value + 0:g} everywhere"]  # -0 is 0


def an_input(seen: Seen) -> list[str]:
    for name, x in seen.inputs.items():
        if isinstance(x, Tensor) and x.shape == seen.actual.shape and torch.equal(x.cpu().double(), seen.actual):
            return [f"is the input {name!s}, unchanged"]
    return []


def without_ones(seen: Seen) -> list[str]:
    """A dimension of size 1 that got lost, or one too many."""
    a, e = seen.actual, seen.expected
    if a.shape == e.shape or a.numel() != e.numel() or a.squeeze().shape != e.squeeze().shape:
        return []
    if a.dim() < e.dim():
        return ["has lost a dimension of size 1: does `squeeze` or an index take it away?"]
    return ["has a dimension of size 1 too many"] if a.dim() > e.dim() else []


def permuted(seen: Seen) -> list[str]:
    """The expected numbers with two dimensions exchanged."""
    n = seen.actual.dim()
    if not 2 <= n <= 4 or sorted(seen.actual.shape) != sorted(seen.expected.shape):
        return []
    pairs = itertools.combinations(range(n), 2)
    return [f"has dimensions {i - n} and {j - n} exchanged" for i, j in pairs if seen.is_(seen.actual.transpose(i, j))]


def moved(seen: Seen) -> list[str]:
    """Turned round, or shifted by a place."""
    if seen.actual.shape != seen.expected.shape:
        return []
    told = []
    for dim in range(-1, -seen.actual.dim() - 1, -1):
        if seen.actual.shape[dim] < 3:
            continue
        if seen.is_(seen.actual.flip(dim)):
            told.append(f"is in reverse order along dimension {dim}")
        if any(seen.is_(seen.actual.roll(by, dim)) for by in (1, -1)):
            told.append(f"is shifted by one place along dimension {dim}")
    return told


def scaled(seen: Seen) -> list[str]:
    """A multiple of what is expected, told by the case's sizes where they give it."""
    a, e = seen.actual, seen.expected
    if a.shape != e.shape or not (a.numel() > 1 or seen.many) or not (e.abs() > 1e-3).any():
        return []
    factor = float((a * e).sum() / (e * e).sum())
    # A factor of nearly 1 is no multiple: what it is made of can be anything.
    if (
        abs(factor) < 1e-6
        or math.isclose(factor, 1, abs_tol=NEAR + seen.tolerance[1] / float(e.abs().max()))
        or not bool(close(a, factor * e, seen.tolerance).all())
    ):
        return []
    if math.isclose(factor, -1, rel_tol=1e-4):
        return ["has the wrong sign"]
    sizes = {name: size for name, size in seen.inputs.items() if _is_size(size)}
    ratios = (((a, sizes[a]), (b, sizes[b])) for a, b in itertools.permutations(sizes, 2))
    named = [_powers(*size) for size in sizes.items()] + [_ratio(*pair) for pair in ratios]
    fitting = [name for powers in named for name, value in powers.items() if math.isclose(factor, value, rel_tol=1e-4)]
    return [f"is {told} times what is expected" for told in (*fitting, f"{factor:.4g}")]


def _is_size(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and x > 0 and x != 1


def _powers(name: str, size: float) -> dict[str, float]:
    return {name: size, f"1 / {name}": 1 / size, f"sqrt({name})": size**0.5, f"1 / sqrt({name})": size**-0.5}


def _ratio(over: tuple[str, float], under: tuple[str, float]) -> dict[str, float]:
    return {f"sqrt({over[0]} / {under[0]})": (over[1] / under[1]) ** 0.5}


def offset(seen: Seen) -> list[str]:
    """Right but for one number that is added along a dimension."""
    a, e = seen.actual, seen.expected
    if a.shape != e.shape or a.dim() == 0 or a.shape[-1] < 2:
        return []
    gap = a - e
    first = gap.flatten()[0].item()
    if bool(close(gap, torch.full_like(gap, first), seen.tolerance).all()):
        return [f"is too {'large' if first > 0 else 'small'} by {abs(first):.4g} everywhere", *_by_row(gap, seen)]
    return _by_row(gap, seen)


def _by_row(gap: Tensor, seen: Seen) -> list[str]:
    if seen.rows and bool(close(gap, gap[..., :1].expand_as(gap), seen.tolerance).all()):
        return ["differs from what is expected by one number in each row (a log-softmax does, and any shift of a row)"]
    return []


def before_softmax(seen: Seen) -> list[str]:
    if seen.actual.shape != seen.expected.shape or seen.actual.dim() == 0:
        return []
    if seen.actual.shape[-1] > 1 and seen.is_(
        seen.actual.softmax(-1)
    ):  # the softmax of one number is 1, whatever it is
        return ["stops before the softmax: its softmax along dimension -1 would be right"]
    if bool((seen.expected > 0).all()) and seen.is_(seen.actual.exp()):
        return ["is the logarithm of what is expected"]
    return []


def sums(seen: Seen) -> list[str] | None:
    """Rows that should sum to 1 and do not, perhaps because columns do. Most outputs need not sum to 1."""
    a, e = seen.actual, seen.expected
    if not seen.shares:
        return None
    dim, place = (seen.inputs["dim"], "`dim`") if isinstance(seen.inputs.get("dim"), int) else (-1, "dimension -1")
    if a.shape != e.shape or _sums_to_one(a, dim):
        return []
    others = [i for i in range(-1, -e.dim() - 1, -1) if _sums_to_one(a, i) and not _sums_to_one(e, i)]
    told = f"does not sum to 1 along {place}"
    return [*(f"{told}, but along dimension {i}" for i in others), told]


def chances(seen: Seen) -> list[str]:
    """Probabilities, or what looks like them, in place of other numbers."""
    a, e = seen.actual, seen.expected
    if (seen.name[0] == "d" and seen.name[1:] in seen.inputs) or re.match(r"d\w+ on rank|.*gradient", seen.name):
        return []  # a gradient is made of other numbers, whatever its result is
    if a.shape != e.shape or a.numel() < FEW or bool(((e >= 0) & (e <= 1)).all()):
        return []
    if not bool(((a > 0) & (a < 1)).all()):
        return []
    return ["lies between 0 and 1, where it should not: is there a softmax or a sigmoid too many?"]


def same_numbers(seen: Seen) -> list[str]:
    a, e = seen.actual, seen.expected
    if a.shape != e.shape or a.numel() < 4:
        return []
    if bool(close(a.flatten().sort().values, e.flatten().sort().values, seen.tolerance).all()):
        return ["holds the right numbers at the wrong places"]
    return []


def _shares(case: Case, right: Tensor) -> bool:
    """Whether an output's rows sum to 1 along `dim`, or along dimension -1: a list that happens to has no rows."""
    dim = case.inputs.get("dim")
    if not right.is_floating_point() or right.dim() < (1 if isinstance(dim, int) else 2):
        return False
    sums = right.double().sum(dim if isinstance(dim, int) else -1)
    return bool((right >= 0).all()) and bool(((sums - 1).abs() < 100 * torch.finfo(right.dtype).eps).all())


def _nearly(seen: Seen) -> bool:
    a, e = seen.actual, seen.expected
    if a.shape != e.shape or not e.numel() or bool((e == e.round()).all()):
        return False  # whole numbers are counted, and no rounding makes others of them
    return bool((a - e).abs().max() <= NEAR * e.abs().max())


def _sums_to_one(x: Tensor, dim: int) -> bool:
    return x.shape[dim] > 1 and bool((x.sum(dim) - 1).abs().max() < 1e-4) and bool((x > -1e-6).all())


LOOKS: tuple[Look, ...] = (
    *(without_ones, constant, an_input, permuted, moved, scaled, offset, before_softmax, same_numbers),
    *(who_sees_whom, rows, whose_keys, scores, sums, lengths, angles, chances),
)
