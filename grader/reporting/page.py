"""The report as one HTML page that needs nothing from outside, and in which nothing acts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources

from coursekit.checking.report import prose
from grader.reporting import figure, words
from grader.reporting.plain import one_line
from grader.reporting.states import PARTLY, STATES
from grader.reporting.summary import ByExercise, Misconception, Moved, Row, Summary, Who

NAMES_SHOWN = 8  # beside what is to be discussed; the tables below have them all
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # no script, no picture, no address


def html_text(summary: Summary, now: datetime | None = None) -> str:
    """The whole page; `now` is the time that it says it was made."""
    made = (now or datetime.now(UTC)).astimezone(UTC)
    title = f"{one_line(summary.title)}: what the class misunderstood"
    style = resources.files("grader.reporting").joinpath("page.css").read_text(encoding="utf-8")
    parts = (_top(summary, title, made), _discuss(summary), _exercises(summary), _points(summary))
    more = (_mistakes(summary), _unnamed(summary), _changes(summary), _learners(summary), _flags(summary))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>"
        + "\n".join(filter(None, (*parts, *more)))
        + f"</main>\n{_foot(summary)}</body></html>\n"
    )


def _top(summary: Summary, title: str, made: datetime) -> str:
    lines = [*words.overview(summary), *words.troubles(summary)]
    made_at = (
        f"{_plain(summary.assignment)}, {made:%d %B %Y, %H:%M} UTC{', without names' if summary.anonymous else ''}"
    )
    return (
        f'<header><h1>{escape(title)}</h1><p class="quiet">{made_at}</p>'
        f'<p class="lead">{_plain(words.headline(summary))}</p>'
        f'<ul class="short">{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul></header>'
    )


def _discuss(summary: Summary) -> str:
    if not summary.discuss:
        return _section("To discuss in the next class", "<p>No wrong answer has a named mistake.</p>")
    items = "".join(_point(one, len(summary.totals)) for one in summary.discuss)
    return _section("To discuss in the next class", f'<ol class="discuss">{items}</ol>')


def _point(one: Misconception, learners: int) -> str:
    _, sentence, where = words.discussed(one, learners)
    return (
        f'<li><span class="share"><b>{one.who.count}</b> of {learners}</span><span class="say">{_text(sentence)}</span>'
        f"<span>{_text(where)}{_names(one.who, NAMES_SHOWN)}</span></li>"
    )


def _exercises(summary: Summary) -> str:
    legend = "".join(
        f'<li><svg width="14" height="14" aria-hidden="true"><rect class="{figure.class_of(state)}" width="14" '
        f'height="14"/></svg>{state}</li>'
        for state in STATES
    )
    rows = [_exercise(one) for one in summary.exercises]
    columns = ("Exercise", "How it went", "#Passed of tried", "#Mean", "Commonest mistake")
    table = _table("Exercise by exercise", columns, rows, "Points are means of those who tried.")
    return _section("Exercise by exercise", f'<ul class="legend" aria-label="Colours">{legend}</ul>{table}')


def _exercise(one: ByExercise) -> list[str]:
    counts = {state: who.count for state, who in one.states.items()}
    mean = "" if one.mean is None else f"{one.mean:.1f} of {one.exercise.points:g}"
    if counts[PARTLY]:  # else the bar says it all
        spread = "<br>".join(f"{count} with {points:g}" for points, count in one.points.items())
        mean += f'<br><span class="quiet">{spread}</span>'
    common = [f"{_text(first.sentence or first.name)} ({first.who.count})" for first in one.mistakes[:1]]
    if nameless := sum(found.who.count for found in one.unnamed):
        common.append(f'<span class="quiet">Without a name: {nameless}</span>')
    passed = f"{counts['passed']} of {one.tried}" if one.tried else ""
    return [_plain(one.exercise.name), figure.bar(counts, one.exercise.name), passed, mean, "<br>".join(common)]


def _points(summary: Summary) -> str:
    if summary.median is None:
        return ""
    drawn = figure.histogram(summary.totals, summary.possible, summary.median)
    caption = f"Median {summary.median:g} of {summary.possible:g}. What a person marks is not among them."
    return _section(
        "How the points spread",
        f"<figure style='margin:0'>{drawn}<figcaption class='quiet'>{caption}</figcaption></figure>",
    )


def _mistakes(summary: Summary) -> str:
    """Every named mistake, exercise by exercise."""
    told = []
    for one in summary.exercises:
        if one.mistakes:
            taught = f'<p class="quiet">Taught in {_plain(one.exercise.section)}.</p>' if one.exercise.section else ""
            rows = [
                [_text(m.sentence), f"<code>{_plain(m.name)}</code>", str(m.who.count), *_who(summary, m.who)]
                for m in one.mistakes
            ]
            columns = ("What the learner was told", "Mistake", "#Learners", *_who_column(summary))
            told.append(f"<h3>{_plain(one.exercise.name)}</h3>{taught}{_table(one.exercise.name, columns, rows)}")
    return _section("The mistakes by name", "".join(told)) if told else ""


def _unnamed(summary: Summary) -> str:
    rows = [
        [
            _plain(one.exercise.name),
            _finding(found.finding, found.example),
            str(found.who.count),
            *_who(summary, found.who),
        ]
        for one in summary.exercises
        for found in one.unnamed
    ]
    if not rows:
        return ""
    told = (
        "<p>Wrong answers that no known mistake explains, by what was found first; # stands for numbers. Two "
        "learners or more in one row are the next mistake to write.</p>"
    )
    columns = ("Exercise", "What was found", "#Learners", *_who_column(summary))
    return _section("Where nobody knows what went wrong", told + _table("What was found", columns, rows))


def _finding(finding: str, example: str) -> str:
    more = f'<br><span class="quiet">{_plain(example)}</span>' if example and example != finding else ""
    return f'<div class="found"><code>{_plain(finding)}</code>{more}</div>'


def _changes(summary: Summary) -> str:
    body = f"<p>{_plain(words.changed(summary))}</p>"
    if summary.changes.mistakes:
        body += _table("Mistakes", ("Mistake", "Went away", "Came"), _moved(summary.changes.mistakes))
    if summary.changes.exercises:
        table = _table("Points", ("Exercise", "Earn more", "Earn less"), _moved(summary.changes.exercises))
        body += f"<details><summary>Points by exercise</summary>{table}</details>"
    return _section("What changed between hand-ins", body)


def _moved(moved: Iterable[Moved]) -> list[list[str]]:
    return [[_text(one.label), _count(one.better), _count(one.worse)] for one in moved]


def _count(who: Who) -> str:
    return f"{who.count}{_names(who)}" if who.count else ""


def _learners(summary: Summary) -> str:
    if not summary.rows:
        return ""
    columns = ("Learner", "#Points", "#Passed of tried", "#Hand-ins", "Last handed in (UTC)", "Mistakes")
    rows = [_learner(row) for row in sorted(summary.rows, key=lambda row: row.points)]
    return _section("Learner by learner", _table("Learners", columns, rows, "The fewest points first."))


def _learner(row: Row) -> list[str]:
    points = f"{row.points:g}" if row.first is None else f"{row.first:g} → {row.points:g}"
    told = _text(row.reason) if row.reason else " ".join(f"<code>{_plain(name)}</code>" for name in row.mistakes)
    passed = f"{row.passed} of {row.tried}"
    handed = f'<time datetime="{escape(row.handed)}">{escape(row.handed[:16].replace("T", " "))}</time>'
    return [_plain(row.name), points, passed, str(row.hand_ins), handed, told]


def _flags(summary: Summary) -> str:
    """What was tried, in plain words; without names only how many."""
    rows = [[_plain(row.name), "<br>".join(map(_text, row.flags))] for row in summary.rows if row.flags]
    if not rows:
        return ""
    told = "<p>A flag costs no points: it is for you to judge.</p>"
    return _section("Flags", told + _table("Flags", ("Learner", "What happened"), rows))


def _foot(summary: Summary) -> str:
    computing = ""
    if summary.cpu_seconds:
        middle, most = summary.cpu_seconds[len(summary.cpu_seconds) // 2], summary.cpu_seconds[-1]
        computing = f" Their code computed for {middle:.1f} s (median), {most:.1f} s at most, while it was graded."
    return f'<footer class="quiet"><p>{words.TIME}{computing}</p></footer>'


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _table(label: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table whose first column names the row; `#` before a column's name aligns its numbers.

    `label` names it for who does not see it, and for who moves it with the keyboard where it is wider than the page.
    """
    kinds = [' class="number"' if name.startswith("#") else "" for name in columns]
    head = "".join(f'<th scope="col"{kind}>{name.lstrip("#")}</th>' for name, kind in zip(columns, kinds, strict=True))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    told = f"<caption>{caption}</caption>" if caption else ""
    table = f"<table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{_plain(label)}" tabindex="0">{table}</div>'


def _who_column(summary: Summary) -> tuple[str, ...]:
    return () if summary.anonymous else ("Who",)


def _who(summary: Summary, who: Who) -> list[str]:
    return [] if summary.anonymous else [f'<span class="who">{escape(_joined(who))}</span>']


def _names(who: Who, most: int | None = None) -> str:
    return f' <span class="who">({escape(_joined(who, most))})</span>' if who.names else ""


def _joined(who: Who, most: int | None = None) -> str:
    """The names, at most so many of them."""
    shown = who.names[:most]
    more = len(who.names) - len(shown)
    return ", ".join(map(one_line, shown)) + (f" and {more} more" if more else "")


def _text(text: str) -> str:
    """Prose of ours or of a learner's, escaped; what stands in backticks is code."""
    return prose(one_line(text, 2000))


def _plain(text: str) -> str:
    """Text of whoever, escaped."""
    return escape(one_line(text, 2000))
