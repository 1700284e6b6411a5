"""From a class's hand-ins to what a teacher asks: what was misunderstood, where, and by how many."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from grader.reporting.changing import changes
from grader.reporting.collecting import NOT_KEPT, Exercise, Gathered, Learner
from grader.reporting.plain import numberless, one_line
from grader.reporting.states import PASSED, REJECTED, STATES, TRIED, finding, judged, state, total
from grader.reporting.summary import ByExercise, Misconception, Naming, Row, Summary, Unnamed, Who

DISCUSSED = 3
FLAGS_SHOWN = 20  # of one learner; the integrity log has them all
ALONE = "what one learner alone has: not shown, since the wording could tell who it is"


def summarise(gathered: Gathered, anonymous: bool = False) -> Summary:
    """The summary of a class; where `anonymous`, whatever could tell who a learner is, is left out of it."""
    who = _naming(anonymous)
    told = [learner for learner in gathered.learners if judged(learner.present)]
    exercises = tuple(
        ByExercise(
            exercise,
            {name: who(_in_state(exercise, told, name)) for name in STATES},
            _points(exercise, told),
            tuple(misconceptions([exercise], told, who)),
            _unnamed(exercise, told, who, _hide(gathered) if anonymous else None),
        )
        for exercise in gathered.exercises
    )
    rejected = [learner.present.exercises[e.id].mistake for e in gathered.exercises for learner in _rejected(e, told)]
    return Summary(
        assignment=gathered.assignment,
        title=gathered.title,
        anonymous=anonymous,
        learners=len(gathered.learners),
        possible=sum(exercise.points for exercise in gathered.exercises),
        totals=tuple(sorted(total(learner.present) for learner in told)),
        exercises=exercises,
        discuss=tuple(misconceptions(gathered.exercises, told, who)[:DISCUSSED]),
        named=sum(map(bool, rejected)),
        unnamed=len(rejected) - sum(map(bool, rejected)),
        changes=changes(gathered, who),
        rows=() if anonymous else tuple(_row(learner, gathered.exercises) for learner in gathered.learners),
        flagged=who(learner.name for learner in gathered.learners if flags_of(learner)),
        unreadable=who(learner.name for learner in gathered.learners if not judged(learner.present)),
        waiting=who(gathered.waiting),
        again=who(gathered.again),
        lost=who(gathered.lost),
        old=who(learner.name for learner in told if _is_old(learner)),
        cpu_seconds=tuple(sorted(learner.present.cpu_seconds for learner in told)),
    )


def misconceptions(exercises: Sequence[Exercise], learners: Sequence[Learner], who: Naming) -> list[Misconception]:
    """The named mistakes, that of most learners first; one mistake with one sentence is one, in whatever exercise.

    Of two that as many learners made, the one that cost more points comes first, then the earlier in the chapter.
    """
    made: dict[tuple[str, str], dict[Exercise, list[Learner]]] = defaultdict(lambda: defaultdict(list))
    lost: dict[tuple[str, str], float] = defaultdict(float)
    for exercise in exercises:
        for learner in _rejected(exercise, learners):
            outline = learner.present.exercises[exercise.id]
            if outline.mistake:
                made[outline.mistake, outline.advice][exercise].append(learner)
                lost[outline.mistake, outline.advice] += outline.possible - outline.earned
    found = {
        key: Misconception(
            *key,
            who(learner.name for those in where.values() for learner in those),
            tuple(sorted(where, key=lambda exercise: -len(where[exercise]))),
        )
        for key, where in made.items()
    }
    return sorted(found.values(), key=lambda one: (-one.who.count, -lost[one.name, one.sentence]))


def _naming(anonymous: bool) -> Naming:
    def who(names: Iterable[str]) -> Who:
        found = sorted(set(names))
        return Who(len(found), () if anonymous else tuple(found))

    return who


def _in_state(exercise: Exercise, learners: Iterable[Learner], wanted: str) -> list[str]:
    return [learner.name for learner in learners if state(learner.present, exercise.id) == wanted]


def _rejected(exercise: Exercise, learners: Iterable[Learner]) -> list[Learner]:
    return [learner for learner in learners if state(learner.present, exercise.id) in REJECTED]


def _points(exercise: Exercise, learners: Iterable[Learner]) -> dict[float, int]:
    tried = (learner.present for learner in learners if state(learner.present, exercise.id) in TRIED)
    return dict(sorted(Counter(attempt.exercises[exercise.id].earned for attempt in tried).items()))


def _unnamed(
    exercise: Exercise, learners: Sequence[Learner], who: Naming, hide: re.Pattern[str] | None
) -> tuple[Unnamed, ...]:
    """The rejected without a name by what was found first, the most frequent finding first.

    A finding may quote the learner's own code. Where names are to be hidden, one that only one learner has is not
    shown, and no learner's name is shown in the others.
    """
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for learner in _rejected(exercise, learners):
        outline = learner.present.exercises[exercise.id]
        if not outline.mistake:
            text = finding(outline) if hide is None else hide.sub("…", finding(outline))
            groups[numberless(text)].append((learner.name, text))
    if hide is not None:
        alone = [those[0] for those in groups.values() if len(those) == 1]
        groups = {text: those for text, those in groups.items() if len(those) > 1} | ({ALONE: alone} if alone else {})
    found = [
        Unnamed(text, "" if hide else one_line(those[0][1]), who(name for name, _ in those))
        for text, those in groups.items()
    ]
    return tuple(sorted(found, key=lambda one: (one.finding == ALONE, -one.who.count)))


def _hide(gathered: Gathered) -> re.Pattern[str]:
    """Matches the name of anybody in the class, as a word of its own."""
    names = {*(learner.name for learner in gathered.learners), *gathered.waiting, *gathered.lost}
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


def _is_old(learner: Learner) -> bool:
    return any(outline.refused == NOT_KEPT for outline in learner.present.exercises.values())


def flags_of(learner: Learner) -> tuple[str, ...]:
    """The flags of the present hand-in, then those that only an earlier one has: who was caught may hand in again."""
    present = learner.present.flags
    before = dict.fromkeys(flag for attempt in learner.attempts[:-1] for flag in attempt.flags if flag not in present)
    told = [*present, *(f"in an earlier hand-in: {flag}" for flag in before)]
    more = len(told) - FLAGS_SHOWN
    return (*told[:FLAGS_SHOWN], *([f"and {more} more"] if more > 0 else []))


def _row(learner: Learner, exercises: Sequence[Exercise]) -> Row:
    present, states = learner.present, [state(learner.present, exercise.id) for exercise in exercises]
    names = (outline.mistake for outline in present.exercises.values())
    return Row(
        name=learner.name,
        points=total(present),
        first=total(learner.attempts[0]) if len(learner.attempts) > 1 else None,
        hand_ins=len(learner.attempts),
        handed=present.handed,
        passed=states.count(PASSED),
        tried=sum(one in TRIED for one in states),
        mistakes=tuple(sorted(set(filter(None, names)))),
        flags=flags_of(learner),
        reason="" if judged(present) else present.reason,
    )
