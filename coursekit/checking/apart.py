"""In what all wrong cases of an exercise differ from all right ones: a switch, or a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.findings import finding
from coursekit.checking.observing import Outcome

LEAST_RIGHT = 3  # so many right cases of a part, and what the wrong ones have in common may be no accident
FAR = 3  # a size is of another kind where it is so many times as large


def where(exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], expected: Sequence[Outputs]) -> str:
    """What tells all wrong cases from all right ones: "right where S is 6 or less, wrong where it is 300 or more".

    It is said of these cases, for what they differ in need not be the cause. Of answers that are random nothing is
    said. Where parts are skills of their own, the first one with a wrong case is looked at.
    """
    if exercise.measure is not None:
        return ""  # of random numbers chance decides in which cases it shows
    shown = [
        (case, not finding(exercise, case, outcome, right))
        for case, outcome, right in zip(cases, outcomes, expected, strict=True)
        if not case.hidden
    ]
    part = next((case.part for case, right in shown if not right), "")
    mine = [(case, right) for case, right in shown if exercise.ordered or case.part == part]
    good, bad = ([case.inputs for case, right in mine if right is wanted] for wanted in (True, False))
    if len(good) < LEAST_RIGHT or not bad:
        return ""
    arguments = {name for call in exercise.signatures for name in (*call.parameters, *(call.forward or ()))}
    optional = {name for call in exercise.signatures for name in call.optional}
    switches, sizes = [], []
    for name in dict.fromkeys(name for inputs in (*good, *bad) for name in inputs):
        values = [[inputs.get(name) for inputs in some] for some in (good, bad)]
        if name in optional and all(x is None for x in values[0]) and not any(x is None for x in values[1]):
            switches.append((name, f"right without `{name}`, wrong with it"))
        elif name in arguments or len(name) == 1:
            switches += [(name, told) for told in [_switched(name, *values)] if told]
            sizes += [(name, told) for told in [_sized(name, *values)] if told]
    if (_only(good, bad) | _only(bad, good)) - arguments or _asked_apart(good, bad, arguments):
        sizes = []  # something else tells them apart as well, for which a learner has no word
    # A case that is large in one size is tiny in the others. Cases that differ in what is asked for often differ in a
    # size as well.
    sizes.sort(key=lambda one: "or more" not in one[1].split(", wrong")[1])
    if not (found := switches or sizes):
        return ""
    (_, told), *more = found
    aside = f" (they differ in {', '.join(other for other, _ in more)} too)" if more else ""
    return f"in these cases {told}{aside}"


def _only(some: list[dict[str, Any]], others: list[dict[str, Any]]) -> set[str]:
    """What each of some inputs has, and none of the others, weights aside: more layers have more."""
    names = set.intersection(*map(set, some)) - set().union(*others)
    return {name for name in names if "." not in name}


def _switched(name: str, good: list[Any], bad: list[Any]) -> str:
    """What a Boolean, or a number that may be 0, has in all wrong cases and in no right one."""
    if all(isinstance(x, bool) for x in (*good, *bad)):
        return f"right where {name!s} is {good[0]!s}, wrong where it is {bad[0]!s}" if {*good}.isdisjoint(bad) else ""
    if all(isinstance(x, int | float) for x in (*good, *bad)) and {*good} == {0} and min(bad) > 0:
        return f"right where {name!s} is 0, wrong where it is more"
    return ""


def _sized(name: str, good: list[Any], bad: list[Any]) -> str:
    """What a size has in all wrong cases and in no right one: 1, or a far larger or smaller number."""
    if not all(isinstance(x, int) and not isinstance(x, bool) and x > 0 for x in (*good, *bad)):
        return ""
    if {*bad} == {1} and 1 not in good:
        return f"right where {name!s} is more than 1, wrong where it is 1"
    if min(bad) >= FAR * max(good):
        return f"right where {name!s} is {max(good)} or less, wrong where it is {min(bad)} or more"
    if FAR * max(bad) <= min(good):
        return f"right where {name!s} is {min(good)} or more, wrong where it is {max(bad)} or less"
    return ""


def _asked_apart(good: list[dict[str, Any]], bad: list[dict[str, Any]], arguments: set[str]) -> bool:
    """Whether all wrong cases ask for something, and no right one does: what is sent, what is kept."""
    flags = {name for inputs in bad for name, value in inputs.items() if value is True} - arguments
    return any(all(i.get(name) is True for i in bad) and not any(i.get(name) for i in good) for name in flags)
