"""The map that `progress()` returns: a table for a terminal, and HTML that fits light and dark themes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from coursekit.language import translated

# The text takes the page's own colour, so that it reads in every theme; green and amber only repeat what the
# words beside them say. Variables are JupyterLab's, with values for pages that have none.
DONE = "var(--jp-success-color1, #388e3c)"
STARTED = "var(--jp-warn-color1, #f57c00)"
LINE = "var(--jp-border-color2, rgba(128, 128, 128, 0.4))"
QUIET = "opacity: 0.75; font-size: 0.9em"
CELL = "padding: 5px 10px; text-align: left; vertical-align: middle; background: transparent; border: 0"
NUMBER = CELL.replace("left", "right") + "; white-space: nowrap; font-variant-numeric: tabular-nums"


@dataclass(frozen=True)
class ExerciseRow:
    """One exercise on the map."""

    id: str
    title: str
    points: float
    minutes: int
    difficulty: str
    importance: int
    best: float
    attempts: int

    @property
    def state(self) -> str:
        if not self.attempts:
            return "not started"
        return "done" if self.best >= self.points else "started"


@dataclass(frozen=True)
class QuestionRow:
    """One question on the map that a person marks: it has no score here."""

    id: str
    title: str
    points: float


@dataclass(frozen=True)
class ChapterRow:
    """One chapter on the map."""

    slug: str
    title: str
    exercises: tuple[ExerciseRow, ...]
    questions: tuple[QuestionRow, ...]

    @property
    def name(self) -> str:
        """The title after the chapter's number: "2. Attention"."""
        number, title = self.slug.split("_")[0], translated(self.title)
        return f"{int(number)}. {title}" if number.isdecimal() else title

    @property
    def earned(self) -> float:
        return sum(row.best for row in self.exercises)

    @property
    def points(self) -> float:
        return sum(row.points for row in self.exercises)

    @property
    def done(self) -> int:
        return sum(row.state == "done" for row in self.exercises)

    @property
    def summary(self) -> str:
        """ "12 of 35 points, 5 of 14 exercises done"."""
        done = f"{self.done:d} of {len(self.exercises):d} exercises done"
        return translated(f"{self.earned:g} of {self.points:g} points, {done}")


@dataclass(frozen=True)
class ProgressMap:
    """Every chapter's exercises with what was earned; `note` says why nothing is recorded."""

    chapters: tuple[ChapterRow, ...]
    note: str = ""

    def __repr__(self) -> str:
        told = (*map(_chapter_text, self.chapters), translated(self.note))
        return "\n\n".join(filter(None, told)) or translated("No chapters yet.")

    def _repr_html_(self) -> str:
        note = f'<p style="margin: 8px 0; {QUIET}">{escape(translated(self.note))}</p>' if self.note else ""
        body = "".join(map(_chapter_html, self.chapters)) or f"<p>{escape(translated('No chapters yet.'))}</p>"
        style = "max-width: 46em; color: inherit"
        return f'<div role="region" aria-label="{escape(translated("Progress"))}" style="{style}">{body}{note}</div>'


def _chapter_text(chapter: ChapterRow) -> str:
    """The chapter as a table of aligned columns, plain ASCII apart from the titles."""
    head = translated("state"), translated("points"), translated("tries"), translated("exercise"), translated("title")
    rows = [head]
    for e in chapter.exercises:
        rows.append((translated(e.state), _of(e), f"{e.attempts}", e.id, translated(e.title)))
    for q in chapter.questions:
        rows.append((translated("marked by a person"), f"{q.points:g}", "", q.id, translated(q.title)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows]
    rule = "  ".join("-" * w for w in [*widths, max(len(row[4]) for row in rows)])
    return "\n".join((f"{chapter.name}: {chapter.summary}", "", lines[0], rule, *lines[1:]))


def _chapter_html(chapter: ChapterRow) -> str:
    rows = "".join((*map(_exercise_html, chapter.exercises), *map(_question_html, chapter.questions)))
    head = "".join(
        f'<th scope="col" style="{style}; font-weight: 600; {QUIET}">{escape(name)}</th>'
        for name, style in (
            (translated("Exercise"), CELL),
            (translated("State"), CELL),
            (translated("Tries"), NUMBER),
            (translated("Points"), NUMBER),
        )
    )
    return (
        f'<details open style="border: 1px solid {LINE}; border-radius: 6px; margin: 8px 0; padding: 10px">'
        f'<summary style="cursor: pointer"><strong>{escape(chapter.name)}</strong> '
        f'<span style="{QUIET}; margin-left: 0.5em">{escape(chapter.summary)}</span></summary>'
        f"{_bar(chapter)}"
        f'<table aria-label="{escape(chapter.name)}" style="width: 100%; margin: 0; '
        f'border-collapse: collapse; color: inherit; font-size: inherit; table-layout: auto">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _bar(chapter: ChapterRow) -> str:
    """One segment an exercise, as wide as its points and as full as what was earned."""
    segments = "".join(
        f'<span title="{escape(translated(row.title))}: {escape(_of(row))}" style="flex: {row.points:g} 1 0; '
        f"height: 10px; box-sizing: border-box; border: 1px solid {_colour(row) or LINE}; "
        f'border-radius: 3px; background: {_filling(row)}"></span>'
        for row in chapter.exercises
    )
    return (
        f'<div role="img" aria-label="{escape(chapter.summary)}" '
        f'style="display: flex; gap: 3px; margin: 10px 0 8px">{segments}</div>'
    )


def _of(row: ExerciseRow) -> str:
    return translated(f"{row.best:g} of {row.points:g}")


def _filling(row: ExerciseRow) -> str:
    full = 100 * row.best / row.points if row.points else 100.0 * (row.state == "done")
    return f"linear-gradient(to right, {_colour(row)} {full:.0f}%, transparent {full:.0f}%)" if full else "transparent"


def _colour(row: ExerciseRow) -> str:
    return {"done": DONE, "started": STARTED, "not started": ""}[row.state]


def _exercise_html(row: ExerciseRow) -> str:
    known = translated(row.difficulty), translated(f"importance {row.importance:d} of 5")
    details = " · ".join((row.id, *known, translated(f"{row.minutes:d} minutes")))
    state = f'<span style="white-space: nowrap">{_sign(row.state)} {escape(translated(row.state))}</span>'
    return _row_html(translated(row.title), details, state, f"{row.attempts}", _of(row))


def _question_html(row: QuestionRow) -> str:
    marked = escape(translated("marked by a person"))
    return _row_html(translated(row.title), row.id, marked, "", f"{row.points:g}")


def _row_html(title: str, details: str, state: str, tries: str, points: str) -> str:
    rule = f"border-top: 1px solid {LINE}"
    return (
        f'<tr style="background: transparent"><th scope="row" style="{CELL}; {rule}; font-weight: normal">'
        f'{escape(title)}<br><span style="{QUIET}">{escape(details)}</span></th>'
        f'<td style="{CELL}; {rule}">{state}</td>'
        f'<td style="{NUMBER}; {rule}">{tries}</td><td style="{NUMBER}; {rule}">{escape(points)}</td></tr>'
    )


def _sign(state: str) -> str:
    """A ring, a half-filled ring, or a disc with a tick: told apart without colour."""
    inside = {
        "not started": '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-opacity="0.6"/>',
        "started": f'<circle cx="8" cy="8" r="6" fill="none" stroke="{STARTED}" stroke-width="1.5"/>'
        f'<path d="M8 2a6 6 0 0 0 0 12z" fill="{STARTED}"/>',
        "done": f'<circle cx="8" cy="8" r="7" fill="{DONE}"/>'
        '<path d="M4.5 8.3l2.4 2.4 4.6-5" fill="none" stroke="#fff" stroke-width="1.8"/>',
    }[state]
    style = "width: 14px; height: 14px; vertical-align: -2px; margin-right: 2px"
    return f'<svg viewBox="0 0 16 16" aria-hidden="true" style="{style}">{inside}</svg>'
