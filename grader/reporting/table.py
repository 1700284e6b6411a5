"""The report in a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grader.reporting import words
from grader.reporting.plain import one_line
from grader.reporting.summary import Moved, Summary, Who


def show(summary: Summary, console: Console) -> None:
    """Print the report: what to discuss first, then numbers."""

    def say(text: str, style: str = "") -> None:
        console.print(Text(one_line(text, 2000), style))

    say(f"{summary.title}: what the class misunderstood", "bold")
    for line in (words.headline(summary), *words.overview(summary), *words.troubles(summary)):
        say(line)
    console.print()
    say("To discuss in the next class", "bold")
    for place, one in enumerate(summary.discuss, 1):
        count, sentence, where = words.discussed(one, len(summary.totals))
        say(f"{place}. {count}: {sentence}")
        console.print(Padding(Text(one_line(where, 2000)), (0, 0, 0, 3)))
    if not summary.discuss:
        say("No mistake is named.")
    console.print()
    for table in (_exercises(summary), _mistakes(summary), _unnamed(summary)):
        if table.row_count:
            console.print(table)
    say(words.changed(summary))
    for table in (
        _moved("exercise", "earn more", "earn less", summary.changes.exercises),
        _moved("mistake", "went away", "came", summary.changes.mistakes),
        _learners(summary),
    ):
        if table.row_count:
            console.print(table)
    say(words.TIME)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    return table


_NUMBERS = {"tried", "passed", "mean", "of", "learners", "points", "hand-ins"}


def _row(table: Table, *cells: object) -> None:
    """Text, not markup: names and findings come from outside."""
    table.add_row(*(Text(one_line(str(cell))) for cell in cells))


def _exercises(summary: Summary) -> Table:
    table = _table("Exercises", "exercise", "tried", "passed", "mean", "of", "points earned by", "commonest mistake")
    for one in summary.exercises:
        spread = ", ".join(f"{points:g}: {count}" for points, count in one.points.items())
        mean = "" if one.mean is None else f"{one.mean:.1f}"
        common = f"{one.mistakes[0].name} ({one.mistakes[0].who.count})" if one.mistakes else ""
        worth = f"{one.exercise.points:g}"
        _row(table, one.exercise.name, one.tried, one.states["passed"].count, mean, worth, spread, common)
    return table


def _mistakes(summary: Summary) -> Table:
    table = _table("Mistakes by name", "exercise", "mistake", "learners", "sentence", *_who(summary))
    for one in summary.exercises:
        for mistake in one.mistakes:
            _row(table, one.exercise.number, mistake.name, *_cells(mistake.who, mistake.sentence))
    return table


def _unnamed(summary: Summary) -> Table:
    table = _table("Where nobody knows what went wrong", "exercise", "learners", "found first", *_who(summary))
    for one in summary.exercises:
        for unnamed in one.unnamed:
            _row(table, one.exercise.number, *_cells(unnamed.who, unnamed.finding))
    return table


def _moved(what: str, better: str, worse: str, moved: tuple[Moved, ...]) -> Table:
    table = _table("", what, better, worse)
    for one in moved:
        _row(table, one.label, *(" ".join((str(who.count), *who.names)) for who in (one.better, one.worse)))
    return table


def _learners(summary: Summary) -> Table:
    table = _table("Learners", "learner", "points", "passed", "hand-ins", "handed in (UTC)", "mistakes", "flags")
    for row in summary.rows:
        points = f"{row.points:g}" if row.first is None else f"{row.first:g} to {row.points:g}"
        told = row.reason or ", ".join(row.mistakes)
        _row(
            table,
            row.name,
            points,
            row.passed,
            row.hand_ins,
            row.handed[:16].replace("T", " "),
            told,
            "; ".join(row.flags),
        )
    return table


def _who(summary: Summary) -> tuple[str, ...]:
    return () if summary.anonymous else ("who",)


def _cells(who: Who, text: str) -> tuple[object, ...]:
    return (who.count, text, *([", ".join(who.names)] if who.names else []))
