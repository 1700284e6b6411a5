"""The sentences of a report: the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from grader.reporting.summary import Misconception, Summary, Who

TIME = (
    "How long the class worked is not known here: the times of a learner's checks stay in the learner's own home, and "
    "a hand-in carries only the time at which it was handed in."
)


def counted(number: int, one: str, many: str = "") -> str:
    """ "1 learner", "3 learners"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(items: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def named(who: Who) -> str:
    """How many learners, and who where the report may say so."""
    return f"{counted(who.count, 'learner')}: {', '.join(who.names)}" if who.names else counted(who.count, "learner")


def headline(summary: Summary) -> str:
    """What there is, in one line."""
    if summary.median is None:
        return "No submission could be graded."
    graded = counted(len(summary.totals), "submission")
    return f"{graded} graded, median {summary.median:g} of {summary.possible:g} points."


def overview(summary: Summary) -> Iterator[str]:
    """What a teacher wants to know first, apart from what to discuss."""
    tried = [one for one in summary.exercises if one.tried]
    hard = sorted((one for one in tried if one.states["passed"].count < one.tried), key=lambda one: _share(one))
    if hard:
        worst = hard[0]
        passed = worst.states["passed"].count
        yield f"Hardest: {worst.exercise.name}, passed by {passed} of the {worst.tried} who tried."
    untouched = [one.exercise.number or one.exercise.title for one in summary.exercises if not one.tried]
    if untouched:
        yield f"Tried by nobody: {listed(untouched)}."
    if rejected := summary.named + summary.unnamed:
        rest = f"; what was found in the other {summary.unnamed} stands below" if summary.unnamed else ""
        yield f"Of {counted(rejected, 'wrong answer')} the mistake is known in {summary.named}{rest}."


def troubles(summary: Summary) -> Iterator[str]:
    """What is missing from the numbers, and what to do about it."""
    grade = f"python -m grader grade {summary.assignment}"
    if summary.waiting.count:
        yield f"Handed in and not graded yet, {named(summary.waiting)}. Run `{grade}`."
    if summary.again.count:
        yield f"Handed in again since, {named(summary.again)}. Run `{grade}`."
    if summary.unreadable.count:
        yield f"Nothing could be graded, {named(summary.unreadable)}: not counted below."
    if summary.lost.count:
        yield f"Graded, but the result is no longer stored, {named(summary.lost)}. Run `{grade}`."
    if summary.old.count:
        yield f"Graded by an earlier version, which kept less, {named(summary.old)}. Run `{grade}`."
    if summary.flagged.count:
        yield f"Flagged, {named(summary.flagged)}. `python -m grader integrity {summary.assignment}` says why."


def discussed(one: Misconception, learners: int) -> tuple[str, str, str]:
    """What to say in class: how many, the sentence, and where it is taught."""
    where = listed([exercise.name for exercise in one.exercises])
    taught = f"Taught in {one.section}." if one.section else ""
    return f"{one.who.count} of {learners}", one.sentence or one.name, f"In {where}. {taught}".strip()


def changed(summary: Summary) -> str:
    """How many handed in more than once."""
    count = summary.changes.learners
    if not count:
        return "Nobody's second hand-in has been graded yet."
    better = sum(1 for moved in summary.changes.exercises if moved.better.count)
    worse = [moved.label for moved in summary.changes.exercises if moved.worse.count]
    fell = f", and points were lost in {listed(worse)}" if worse else ""
    told = f"Between their first and last hand-in points were gained in {counted(better, 'exercise')}{fell}."
    return f"{counted(count, 'learner')} handed in more than once. {told}"


def _share(one) -> float:
    return one.states["passed"].count / one.tried
