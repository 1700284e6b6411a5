"""The proof of one exercise: its checks accept every right answer, and reject, by name, every known wrong one."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from coursekit.checking import store
from coursekit.checking.checks import verdict_on
from coursekit.checking.contract import Exercise
from coursekit.checking.judging import KnownMistake, judge
from grader.contract import Trusted
from grader.drawing import draw, known_mistakes
from grader.proving.seeds import SECRET
from grader.proving.tensors import differences, public

LEAST_MISTAKES, MOST_MISTAKES, LEAST_ALTERNATIVES = 8, 16, 2


@dataclass
class Tally:
    """Counts over exercises; `failures` says what went wrong, one sentence each."""

    exercises: int = 0
    mistakes: int = 0
    rejected: int = 0
    named: int = 0
    alternatives: int = 0
    accepted: int = 0
    seconds: float = 0.0  # of a processor
    failures: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        names = [f.name for f in dataclasses.fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Seeds:
    """Which secret seeds, counted from 1: right answers are tried on all of `right`, mistakes on `mistakes` of them."""

    right: tuple[int, ...]
    mistakes: tuple[int, ...]


def prove(exercise: Exercise, secret: Trusted, committed: store.Known, seeds: Seeds, device: torch.device) -> Tally:
    """The proof over the public cases, which must be those that are made now, and over the secret seeds.

    `committed` are the public tensors that learners have.
    """
    started = time.process_time()
    proof = _Proof(exercise, secret, device)
    proof.over_budget()
    try:
        proof.over_public(committed)
        with _quick_collections():
            for n in seeds.right:
                proof.over_seed(n, n in seeds.mistakes)
    except RuntimeError as error:  # a reference that fails, or cases that rounding decides
        proof.tell(str(error).removeprefix(f"{exercise.id}: "))
    return proof.tally(time.process_time() - started)


@dataclass
class _Proof:
    """What has been found so far; the sets hold names of answers that were at least once not what they should be."""

    exercise: Exercise
    secret: Trusted
    device: torch.device
    failures: list[str] = field(default_factory=list)
    losing: set[str] = field(default_factory=set)
    spared: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)
    kept: dict[str, set[str]] = field(default_factory=dict)  # parts that a mistake passes on the public cases

    def tell(self, sentence: str) -> None:
        self.failures.append(f"{self.exercise.id}: {sentence}")

    def over_budget(self) -> None:
        """How many mistakes there are, unless a reason is given, and how many alternatives."""
        mistakes, alternatives = len(self.secret.mistakes), len(self.secret.alternatives)
        if not LEAST_MISTAKES <= mistakes <= MOST_MISTAKES and not self.secret.budget:
            wanted = f"{LEAST_MISTAKES} to {MOST_MISTAKES}"
            self.tell(f"found {mistakes} mistakes, expected {wanted}: say why with Trusted(..., budget=...)")
        if alternatives < LEAST_ALTERNATIVES:
            self.tell(f"found {alternatives} alternatives, expected at least {LEAST_ALTERNATIVES}")

    def over_public(self, committed: store.Known) -> None:
        """What is made now is compared with what learners have, and is not made a second time."""
        made = public(self.exercise, self.secret)
        stale = list(differences(committed, made, self.exercise))
        for sentence in stale:
            self.tell(sentence)
        known = made if stale else committed
        trained = self.exercise.trained  # what was made now are other inputs than the committed ones
        self._right("public", known)
        self._wrong(
            "public", known, known_mistakes(self.exercise, self.secret, known.cases) if trained else made.mistakes
        )

    def over_seed(self, n: int, mistakes: bool) -> None:
        drawn = draw(self.exercise, self.secret, SECRET[n - 1])
        seen = known_mistakes(self.exercise, self.secret, drawn.cases) if mistakes else ()
        known = store.Known(drawn.cases, drawn.expected, tuple(seen))
        self._right(f"seed {n}", known)
        self._wrong(f"seed {n}", known, known.mistakes)

    def _right(self, where: str, known: store.Known) -> None:
        for name, objects in _right_answers(self.exercise, self.secret).items():
            if not (v := verdict_on(self.exercise, objects, known, self.device)).full:
                self.losing.add(name)
                self.tell(f"{name} loses marks ({where}): {v.text()}")
        if any(call.is_value for call in self.exercise.signatures):
            return  # a value has no stub that raises
        v = verdict_on(self.exercise, stubs(self.exercise), known, self.device)
        if v.earned or not v.not_started:
            self.tell(f"the untouched stub is not told as such ({where}): {v.text()}")

    def _wrong(self, where: str, known: store.Known, seen: Sequence[KnownMistake]) -> None:
        """`seen` is what the mistakes have just done on these cases, none where they are left out.

        On the CPU, whatever the device: there a check judges first, and one index out of range ends all work on a GPU.
        """
        for mistake in seen:
            v = judge(self.exercise, known.cases, mistake.outcomes, known.expected, known.mistakes)
            if v.full:
                self.spared.add(mistake.name)
                self.tell(f"mistake {mistake.name} gets full marks ({where})")
            if v.mistake != mistake.name:
                self.unnamed.add(mistake.name)
            if not v.full and v.mistake != mistake.name:
                self.tell(f"mistake {mistake.name} is taken for {v.mistake or 'none'} ({where})")
            passed = {part.name for part in v.parts if part.passed}
            for part in sorted(self.kept.setdefault(mistake.name, passed) - passed):
                self.tell(f"mistake {mistake.name} passes {part} on the public cases, not on hidden ones ({where})")

    def tally(self, seconds: float) -> Tally:
        names = {m.name for m in self.secret.mistakes}
        return Tally(
            exercises=1,
            mistakes=len(self.secret.mistakes),
            rejected=len(names - self.spared),
            named=len(names - self.unnamed),
            alternatives=len(self.secret.alternatives),
            accepted=len(self.secret.alternatives.keys() - self.losing),
            seconds=seconds,
            failures=self.failures,
        )


def _right_answers(exercise: Exercise, secret: Trusted) -> dict[str, tuple[Any, ...]]:
    right = {"reference": secret.reference, **secret.alternatives, "library": exercise.library}
    wide = in_float64(secret.reference)
    return right | ({"reference in float64": wide} if wide else {})


def stubs(exercise: Exercise) -> tuple[Any, ...]:
    """The untouched exercise: objects that raise NotImplementedError when they are called."""

    def stub(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    return tuple(type(c.name, (), {"__init__": stub}) if c.is_class else stub for c in exercise.signatures)


def in_float64(objects: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The same functions, computing and answering in float64 whatever they are given; None for classes and values."""
    if any(inspect.isclass(obj) or not callable(obj) for obj in objects):
        return None

    def widened(obj: Any) -> Any:
        return lambda *args: obj(*(a.double() if torch.is_tensor(a) and a.is_floating_point() else a for a in args))

    return tuple(widened(obj) for obj in objects)


@contextlib.contextmanager
def _quick_collections() -> Iterator[None]:
    """What the libraries have imported by now is left out of garbage collections: transformers' Trainer asks for one
    after each training, and all of torch's and transformers' objects are a third of a second of it.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
