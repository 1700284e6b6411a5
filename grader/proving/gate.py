"""`make gate`: prove that the checks accept every right answer and reject, by name, every known wrong one."""

from __future__ import annotations

import datetime
import functools
import importlib
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from coursekit.checking import store
from coursekit.exercises import chapter_of, chapters, find
from grader.exercises import trusted
from grader.proving import memory
from grader.proving.processes import each
from grader.proving.proof import Seeds, Tally, prove
from grader.proving.seeds import SECRET

NUMBERS = tuple(range(1, len(SECRET) + 1))
EVERY = Seeds(NUMBERS, NUMBERS)
TURNS = 7  # a mistake is tried on a seventh of the seeds, the next day on the next seventh: on all in a week
BUDGET, DEAR = 6, 15  # seconds of a processor: for an exercise on average, and for a single one


class Unready(RuntimeError):
    """An exercise that is listed lacks one of its halves; the message names the file."""


def seeds_of(turn: int | None = None) -> Seeds:
    """Right answers on every secret seed, mistakes on those whose turn it is: this day's, or the one given from 1."""
    turn = turn or datetime.datetime.now(datetime.UTC).toordinal() % TURNS + 1
    return Seeds(NUMBERS, NUMBERS[turn - 1 :: TURNS])


@dataclass(frozen=True)
class Gated:
    """What the gate found: the counts of each exercise, and of those that were remembered."""

    tallies: dict[str, Tally]
    remembered: frozenset[str]
    seeds: Seeds

    @property
    def tally(self) -> Tally:
        return sum(self.tallies.values(), Tally())

    @property
    def mean(self) -> float:
        """CPU seconds of an exercise that was proved now."""
        return self.tally.seconds / max(1, len(self.tallies) - len(self.remembered))

    def line(self) -> str:
        t, mistakes = self.tally, ", ".join(map(str, self.seeds.mistakes))
        remembered = f", {len(self.remembered)} proved before" if self.remembered else ""
        return (
            f"gate: {t.exercises} exercises{remembered}, {t.rejected} of {t.mistakes} mistakes rejected, "
            f"{t.named} of {t.mistakes} named, {t.accepted} of {t.alternatives} alternatives accepted, "
            f"right answers on {len(self.seeds.right)} secret seeds, mistakes on seeds {mistakes}, "
            f"{t.seconds:.0f} CPU s, {self.mean:.1f} an exercise"
        )

    def warnings(self) -> list[str]:
        """What makes the gate slow, a sentence each."""
        dear = [(id, t.seconds) for id, t in self.tallies.items() if t.seconds > DEAR]
        found = [f"{id} takes {s:.0f} CPU s, more than {DEAR}: cheaper cases or fewer mistakes" for id, s in dear]
        if self.mean > BUDGET:
            found.append(f"an exercise takes {self.mean:.1f} CPU s on average, more than {BUDGET}")
        return found


def run(
    ids: Collection[str] = (),
    seeds: Seeds | None = None,
    device: str = "cpu",
    jobs: int = 1,
    where: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Gated:
    """The gate over the public tensors and the secret seeds, for all exercises or the given ones; right answers run on
    `device`.

    `where` is the folder of proofs that are remembered; with None nothing is. `say` gets a line as each exercise is
    done. Raises UnknownExercise, Unready, and StoreError where tensors are missing, before anything is proved.
    """
    seeds = seeds or seeds_of()
    ids = list(ids) or [e for chapter in chapters() for e in chapter.exercises]
    costs = {id: _cost(id, where) for id in ids}
    keys = {id: memory.key(id, seeds, device) for id in ids} if where else {}
    tallies = {id: found for id, key in keys.items() if where and (found := memory.recall(where, id, key))}
    remembered = frozenset(tallies)
    for id in tallies:
        say(f"{id}: proved before")
    ahead = sorted((id for id in costs if id not in tallies), key=costs.__getitem__, reverse=True)
    for id, tally in each(functools.partial(_proved, seeds=seeds, device=device), ahead, jobs):
        tallies[id] = tally
        say(_line(id, tally))
        if where:
            memory.remember(where, id, keys[id], tally)
    return Gated(tallies, remembered, seeds)


def _proved(exercise_id: str, seeds: Seeds, device: str) -> Tally:
    """The proof, in any process. What breaks it is one of its failures, and the other exercises go on."""
    try:
        exercise, secret = find(exercise_id), trusted(exercise_id)
        return prove(exercise, secret, store.load(exercise_id), seeds, torch.device(device))
    except Exception:
        return Tally(exercises=1, failures=[f"{exercise_id}: the proof breaks off\n{traceback.format_exc()}"])


def _cost(exercise_id: str, where: Path | None) -> tuple[bool, float]:
    """What is dearest is largest: what nobody has measured here, then what took longest."""
    chapter_of(exercise_id)
    file = exercise_id.replace(".", "/") + ".py"
    for half in ("coursekit", "grader"):
        try:
            importlib.import_module(f"{half}.exercises.{exercise_id}")
        except ModuleNotFoundError as error:
            if error.name != f"{half}.exercises.{exercise_id}":
                raise
            raise Unready(f"{exercise_id} is listed, but there is no {half}/exercises/{file}") from None
    took = memory.seconds(where, exercise_id) if where else None
    return took is None, took or len(trusted(exercise_id).mistakes) * len(store.load(exercise_id).cases)


def _line(exercise_id: str, t: Tally) -> str:
    failed = f", {len(t.failures)} failures" if t.failures else ""
    counts = f"{t.rejected} of {t.mistakes} mistakes, {t.accepted} of {t.alternatives} alternatives"
    return f"{exercise_id}: {counts}, {t.seconds:.1f} CPU s{failed}"
