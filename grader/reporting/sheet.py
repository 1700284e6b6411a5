"""The report as CSV: with names a row for each learner and exercise, without them a row for each count."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from grader.reporting.collecting import Gathered
from grader.reporting.plain import field
from grader.reporting.states import REJECTED, finding, state
from grader.reporting.summarising import flags_of, summarise
from grader.reporting.summary import Summary

NAMED = (
    *("learner", "handed_in", "hand_ins", "exercise", "title", "state", "points", "possible"),
    *("mistake", "sentence", "section", "finding", "flags"),
)
COUNTED = ("exercise", "title", "what", "learners", "mistake", "sentence", "section", "finding")
Line = tuple[object, ...]


def csv_text(gathered: Gathered, anonymous: bool = False) -> str:
    """The whole file. No field of it is a formula to a spreadsheet."""
    head, lines = (COUNTED, _counted(summarise(gathered, True))) if anonymous else (NAMED, _named(gathered))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([field(value) for value in line] for line in lines)
    return text.getvalue()


def _named(gathered: Gathered) -> Iterator[Line]:
    for learner in gathered.learners:
        attempt = learner.present
        flags = "; ".join(flags_of(learner))
        for exercise in gathered.exercises:
            found = state(attempt, exercise.id)
            outline = attempt.exercises.get(exercise.id)
            told = finding(outline) if outline and found in REJECTED else outline.refused if outline else ""
            named = (outline.mistake, outline.advice) if outline else ("", "")
            section = exercise.section if named[0] else ""
            earned = outline.earned if outline else 0.0
            yield (
                *(learner.name, attempt.handed, len(learner.attempts), exercise.id, exercise.name, found),
                *(f"{earned:g}", f"{exercise.points:g}", *named, section, told, flags),
            )


def _counted(summary: Summary) -> Iterator[Line]:
    for one in summary.exercises:
        which = (one.exercise.id, one.exercise.name)
        for name, who in one.states.items():
            yield *which, name, who.count, "", "", "", ""
        for points, count in one.points.items():
            yield *which, f"{points:g} of {one.exercise.points:g} points", count, "", "", "", ""
        for mistake in one.mistakes:
            yield *which, "mistake", mistake.who.count, mistake.name, mistake.sentence, mistake.section, ""
        for unnamed in one.unnamed:
            yield *which, "without a name", unnamed.who.count, "", "", "", unnamed.finding
