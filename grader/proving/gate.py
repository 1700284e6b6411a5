"""`make gate`: prove that the checks accept every right answer and reject, by name, every known wrong one."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

from coursekit.checking import store
from coursekit.checking.checks import verdict_on
from coursekit.checking.contract import Exercise
from coursekit.checking.judging import judge
from coursekit.exercises import chapters, find
from grader.contract import Trusted
from grader.drawing import draw, known_mistakes
from grader.exercises import trusted
from grader.proving.seeds import SECRET

PUBLIC = "public"
LEAST_MISTAKES, LEAST_ALTERNATIVES = 4, 2


@dataclass
class Tally:
    """Counts over all exercises; `failures` says what went wrong, one sentence each."""

    exercises: int = 0
    mistakes: int = 0
    rejected: int = 0
    named: int = 0
    alternatives: int = 0
    accepted: int = 0
    seeds: int = 0
    failures: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        names = [f.name for f in dataclasses.fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def line(self) -> str:
        return (
            f"gate: {self.exercises} exercises, {self.rejected} of {self.mistakes} mistakes rejected, "
            f"{self.named} of {self.mistakes} named, {self.accepted} of {self.alternatives} alternatives accepted, "
            f"{self.seeds} seeds"
        )


def run(ids: list[str] | None = None, seeds: tuple[int, ...] = SECRET, device: str = "cpu", jobs: int = 1) -> Tally:
    """The gate over the public tensors and every seed, for all exercises or the given ones, on one device."""
    ids = ids or [e for chapter in chapters() for e in chapter.exercises]
    if jobs == 1:
        tallies = [_gate(exercise_id, seeds, device) for exercise_id in ids]
    else:
        # New processes, because a forked one hangs in torch's threads; one thread each, because cases are tiny.
        new = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=new, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            tallies = list(pool.map(_gate, ids, itertools.repeat(seeds), itertools.repeat(device)))
    return sum(tallies, Tally(seeds=1 + len(seeds)))


def knowns(exercise: Exercise, secret: Trusted, seeds: tuple[int, ...]) -> Iterator[tuple[str, store.Known]]:
    """What the checks know, by seed: first what learners have, then what is drawn from each secret seed."""
    yield PUBLIC, store.load(exercise.id)
    for seed in seeds:
        drawn = draw(exercise, secret, seed)
        mistakes = tuple(known_mistakes(exercise, secret, drawn.cases))
        yield f"seed {seed}", store.Known(drawn.cases, drawn.expected, mistakes)


def stubs(exercise: Exercise) -> tuple[Any, ...]:
    """The untouched exercise: objects that raise NotImplementedError when they are called."""

    def stub(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    return tuple(type(c.name, (), {"__init__": stub}) if c.is_class else stub for c in exercise.signatures)


def in_float64(objects: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The same functions, computing and answering in float64 whatever they are given; None for classes."""
    if any(inspect.isclass(obj) for obj in objects):
        return None

    def widened(obj: Any) -> Any:
        return lambda *args: obj(*(a.double() if torch.is_tensor(a) and a.is_floating_point() else a for a in args))

    return tuple(widened(obj) for obj in objects)


def _gate(exercise_id: str, seeds: tuple[int, ...], device_name: str) -> Tally:
    exercise, secret, device = find(exercise_id), trusted(exercise_id), torch.device(device_name)
    tally = Tally(exercises=1)
    right = {"reference": secret.reference, **secret.alternatives, "library": exercise.library}
    if wide := in_float64(secret.reference):
        right["reference in float64"] = wide
    right_ok = dict.fromkeys(right, True)
    rejected, named, lost, unnamed = (set[str]() for _ in range(4))
    for where, known in knowns(exercise, secret, seeds):
        for name, objects in right.items():
            if not (v := verdict_on(exercise, objects, known, device)).full:
                right_ok[name] = False
                tally.failures.append(f"{exercise.id}: {name} loses marks ({where}): {v.text()}")
        for i, m in enumerate(secret.mistakes):
            if where == PUBLIC or device.type != "cpu":
                v = verdict_on(exercise, m.objects, known, device)
            else:  # what it does on these cases has just been seen
                v = judge(exercise, known.cases, known.mistakes[i].outcomes, known.expected, known.mistakes)
            (lost if v.full else rejected).add(m.name)
            (named if v.mistake == m.name else unnamed).add(m.name)
            if v.full:
                tally.failures.append(f"{exercise.id}: mistake {m.name} gets full marks ({where})")
            elif v.mistake != m.name:
                tally.failures.append(f"{exercise.id}: mistake {m.name} is taken for {v.mistake or 'none'} ({where})")
        if (v := verdict_on(exercise, stubs(exercise), known, device)).earned or not v.not_started:
            tally.failures.append(f"{exercise.id}: the untouched stub is not told as such ({where}): {v.text()}")
    _count(tally, secret, right_ok, rejected - lost, named - unnamed)
    if len(secret.mistakes) < LEAST_MISTAKES or len(secret.alternatives) < LEAST_ALTERNATIVES:
        tally.failures.append(f"{exercise.id}: needs {LEAST_MISTAKES} mistakes and {LEAST_ALTERNATIVES} alternatives")
    return tally


def _count(tally: Tally, secret: Trusted, right_ok: dict[str, bool], rejected: set[str], named: set[str]) -> None:
    tally.mistakes += len(secret.mistakes)
    tally.rejected += len(rejected)
    tally.named += len(named)
    tally.alternatives += len(secret.alternatives)
    tally.accepted += sum(right_ok[name] for name in secret.alternatives)
