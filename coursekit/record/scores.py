"""What a learner has earned so far: kept between kernels, drawn as a map of chapters and exercises.

The record is one JSON file in the user's data folder (`COURSEKIT_HOME` names another). It is written under
a lock, merged with what is there and replaced in one step, so that two kernels lose nothing. A learner's work
must never stop for it: a damaged file is set aside, and where nothing can be written, scores stay in memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from coursekit.record.progress_map import ChapterRow, ExerciseRow, ProgressMap, QuestionRow
from kernelkit.files import replace

FORMAT = 1
LOCK_SECONDS = 5  # a write takes milliseconds: who waits longer meets a lock that nobody will give back
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

_unsaved: Scores = {}  # attempts of this kernel that are not in the file yet
_unrecorded: Scores = {}  # attempts of this kernel while recording is off: they never reach the file
_said: set[str] = set()
_threads = threading.Lock()


def record(exercise_id: str, earned: float, possible: float) -> None:
    """Add one attempt: the best and the last points, the number of attempts and the time are kept.

    While recording is off (`COURSEKIT_PROGRESS=off`, or nbgrader executes the notebook) the attempt is known
    to this kernel only. Raises ValueError where the points are no number between 0 and `possible`.
    """
    if not 0 <= earned <= possible <= LARGEST_SCORE:
        raise ValueError(f"record({exercise_id!r}): expected 0 <= earned <= possible, found {earned} of {possible}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    attempt = Score(_number(earned), _number(earned), _number(possible), 1, now)
    with _threads:
        if why_off():
            _merge(_unrecorded, {exercise_id: attempt})
            return
        _merge(_unsaved, {exercise_id: attempt})
        with _or_in_memory():
            _save()


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
        return ExerciseRow(e.id, e.title, e.points, e.minutes, e.difficulty, best, attempts)

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
    with _threads:
        if why_off():
            return dict(_unrecorded)
        saved: Scores = {}
        with _or_in_memory():
            saved, damaged = _read(_file())
            if damaged:
                saved = _save()
        return _merge(saved, _unsaved)


def why_off() -> str:
    """The sentence that says why nothing is recorded; empty while it is."""
    if os.environ.get("COURSEKIT_PROGRESS", "").strip().lower() in {"off", "0", "no", "false"}:
        return "Nothing is recorded: COURSEKIT_PROGRESS is off."
    if os.environ.get("NBGRADER_EXECUTION"):  # nbgrader sets it to "autograde" or "validate" for the kernel
        return "Nothing is recorded while nbgrader runs the notebook."
    return ""


def folder() -> Path:
    """The folder of the record: `COURSEKIT_HOME`, or the user's data folder."""
    home = os.environ.get("COURSEKIT_HOME")
    return Path(home).expanduser() if home else platformdirs.user_data_path("coursekit", appauthor=False)


def _file() -> Path:
    return folder() / "progress.json"


def _number(points: float) -> float:
    """A plain number, whole where it is whole, so that 2 points are stored as 2."""
    value = float(points)
    return int(value) if value.is_integer() else value


def _merge(scores: Scores, later: Scores) -> Scores:
    for exercise_id, score in later.items():
        scores[exercise_id] = scores[exercise_id].then(score) if exercise_id in scores else score
    return scores


def _save() -> Scores:
    """Write what is unsaved on top of what the file holds now; the merged scores. Raises OSError."""
    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS, poll_interval=0.01):
        scores, damaged = _read(path)
        if damaged:
            _set_aside(path)
        _merge(scores, _unsaved)
        _write(path, scores)
    _unsaved.clear()
    return scores


def _read(path: Path) -> tuple[Scores, bool]:
    """The scores that can be read, and whether the file holds anything else. Raises OSError."""
    if not path.exists():
        return {}, False
    if not path.is_file():
        return {}, True
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}, True
    entries = content.get("exercises") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if not isinstance(entries, dict):
        return {}, True
    scores = {exercise_id: Score(**entry) for exercise_id, entry in entries.items() if _is_score(entry)}
    return scores, len(scores) < len(entries)


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


def _set_aside(path: Path) -> None:
    """Rename what stands in the file's place, so that nothing is lost, and say so."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"progress.damaged-{stamp}{again}.json" for again in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    os.rename(path, aside)
    print(f"The progress file could not be read in full. It is kept as {aside.name} in {aside.parent}.")


def _write(path: Path, scores: Scores) -> None:
    content = {"format": FORMAT, "exercises": {name: asdict(score) for name, score in sorted(scores.items())}}
    replace(path, json.dumps(content, indent=1).encode())


@contextlib.contextmanager
def _or_in_memory() -> Iterator[None]:
    """Let the learner work on where the folder cannot be used: say it once, and keep the scores in memory."""
    try:
        yield
    except OSError as error:  # a full disk, a read-only folder, a lock that is held: filelock's Timeout is one too
        if "memory" not in _said:
            _said.add("memory")
            reason = error.strerror or str(error)
            print(f"Progress is kept in memory only, since {folder()} cannot be used ({reason}).")
