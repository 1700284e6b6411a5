"""The trusted half of an exercise: the right answer, the wrong ones that learners write, other right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
Registrar = Callable[[str], Callable[[T], T]]


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation (one object, or one for each of the exercise's calls) and the sentence that helps."""

    name: str
    sentence: str
    objects: tuple[Any, ...]


@dataclass
class Trusted:
    """Collects what is trusted about one exercise.

    `reference` is written to be read beside the paper and is run in float64: one object, or a tuple of one for each of
    the exercise's calls. Functions and classes below it register themselves: `@TRUSTED.mistake("sentence")`,
    `@TRUSTED.alternative`. Where an exercise takes several objects, `one_by_one` gives a decorator for each.
    `cases` draws further cases that learners are to meet nowhere else, such as mutants. `budget` says why an exercise
    has another number of mistakes than the gate allows.
    """

    reference: Any
    cases: Callable[[Any], list[Any]] | None = None
    budget: str = ""
    mistakes: list[Mistake] = field(default_factory=list)
    alternatives: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reference = self.reference if isinstance(self.reference, tuple) else (self.reference,)

    def mistake(self, sentence: str) -> Callable[[T], T]:
        """Register the decorated object as a mistake of an exercise that takes one object."""

        def register(obj: T) -> T:
            self.add_mistake(obj.__name__, sentence, obj)  # type: ignore[attr-defined]
            return obj

        return register

    def alternative(self, obj: T) -> T:
        """Register the decorated object as another right answer."""
        self.add_alternative(obj.__name__, obj)  # type: ignore[attr-defined]
        return obj

    def one_by_one(self, *make: Callable[[Any], Any]) -> tuple[Registrar, ...]:
        """A decorator for each object: what it decorates is wrong in that object alone, beside the other references.

        `make[i]` turns what is decorated into the object, where that is not the object itself (a class of steps).
        """
        made = make or (lambda obj: obj,) * len(self.reference)
        return tuple(self._registrar(i, build) for i, build in enumerate(made))

    def _registrar(self, i: int, build: Callable[[Any], Any]) -> Registrar:
        def mistake(sentence: str) -> Callable[[T], T]:
            def register(obj: T) -> T:
                objects = [*self.reference[:i], build(obj), *self.reference[i + 1 :]]
                self.add_mistake(obj.__name__, sentence, *objects)  # type: ignore[attr-defined]
                return obj

            return register

        return mistake

    def add_slips(self, build: Callable[[Any], Any], *slips: Any) -> None:
        """Register mistakes that several exercises share (`grader.steps`), each with its own sentence.

        `build(steps)` makes this exercise's object, or its tuple of objects, from a class of steps.
        """
        for steps in slips:
            built = build(steps)
            self.add_mistake(steps.__name__, steps.sentence, *(built if isinstance(built, tuple) else (built,)))

    def add_mistake(self, name: str, sentence: str, *objects: Any) -> None:
        """Register a mistake by name, one object for each of the exercise's calls."""
        self.mistakes.append(Mistake(name, sentence, objects))

    def add_alternative(self, name: str, *objects: Any) -> None:
        """Register another right answer by name, one object for each of the exercise's calls."""
        self.alternatives[name] = objects
