"""What a learner has earned so far: kept between kernels, drawn as a map of chapters and exercises."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from coursekit.record.kept import Kept, now, why_off
from coursekit.record.progress_map import ChapterRow, ExerciseRow, ProgressMap, QuestionRow

LARGEST_SCORE = 1e6


@dataclass(frozen=True)
class Score:
    """What is known of one exercise: best and last points, attempts, and the time (UTC) of the last one."""

    best: float
    last: float
    possible: float
    attempts: int
    time: str

    def then(self, later: Score) -> Score:
        """This score followed by a later one."""
        best = max(self.best, later.best)
        return Score(best, later.last, later.possible, self.attempts + later.attempts, later.time)


Scores = dict[str, Score]


def record(exercise_id: str, earned: float, possible: float) -> None:
    """Add one attempt: the best and the last points, the number of attempts and the time are kept.

    While recording is off (`COURSEKIT_PROGRESS=off`, or nbgrader executes the notebook) the attempt is known
    to this kernel only. Raises ValueError where the points are no number between 0 and `possible`.
    """
    if not 0 <= earned <= possible <= LARGEST_SCORE:
        raise ValueError(f"record({exercise_id!r}): expected 0 <= earned <= possible, found {earned} of {possible}")
    KEPT.add(exercise_id, Score(_number(earned), _number(earned), _number(possible), 1, now()))


def progress() -> ProgressMap:
    """The map of chapters and exercises: points earned of possible, what is not started, started and done.

    A notebook draws it, a terminal prints it as a table.
    """
    from coursekit.exercises import (
        chapters,
        find,
    )  # here, since the exercises need torch and a record does not

    scores = known_scores()

    def row(exercise_id: str) -> ExerciseRow:
        e, s = find(exercise_id), scores.get(exercise_id)
        best, attempts = (min(s.best, e.points), s.attempts) if s else (0, 0)
        return ExerciseRow(e.id, e.title, e.points, e.minutes, e.difficulty, e.importance, best, attempts)

    return ProgressMap(
        tuple(
            ChapterRow(
                chapter.slug,
                chapter.title,
                tuple(row(exercise_id) for exercise_id in chapter.exercises),
                tuple(QuestionRow(q.id, q.title, q.points) for q in chapter.questions),
            )
            for chapter in chapters()
        ),
        why_off(),
    )


def known_scores() -> Scores:
    """Every recorded score by exercise id; while recording is off, those of this kernel only."""
    return KEPT.all()


def _number(points: float) -> float:
    """A plain number, whole where it is whole, so that 2 points are stored as 2."""
    value = float(points)
    return int(value) if value.is_integer() else value


def _is_score(entry: Any) -> bool:
    def is_number(value: Any, kind: Any) -> bool:
        return isinstance(value, kind) and not isinstance(value, bool) and 0 <= value <= LARGEST_SCORE

    return (
        isinstance(entry, dict)
        and entry.keys() == Score.__dataclass_fields__.keys()
        and all(is_number(entry[name], (int, float)) for name in ("best", "last", "possible"))
        and is_number(entry["attempts"], int)
        and isinstance(entry["time"], str)
    )


KEPT: Kept[Score] = Kept(
    "progress",
    "exercises",
    "Progress is",
    read=lambda entry: Score(**entry) if _is_score(entry) else None,
    write=asdict,
    then=Score.then,
)
