"""The trusted half of an exercise: the right answer, the wrong ones that learners write, other right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable)


@dataclass(frozen=True)
class Mistake:
    """A wrong implementation (one object, or one for each of the exercise's calls) and the sentence that helps."""

    name: str
    sentence: str
    objects: tuple[Any, ...]


@dataclass
class Trusted:
    """Collects what is trusted about one exercise.

    `reference` is written to be read beside the paper and is run in float64. Functions and classes below it
    register themselves: `@TRUSTED.mistake("sentence")`, `@TRUSTED.alternative`. Where an exercise takes several
    objects, `add_mistake` and `add_alternative` take them by name.
    """

    reference: Any
    mistakes: list[Mistake] = field(default_factory=list)
    alternatives: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reference = self.reference if isinstance(self.reference, tuple) else (self.reference,)

    def mistake(self, sentence: str) -> Callable[[T], T]:
        def register(obj: T) -> T:
            self.add_mistake(obj.__name__, sentence, obj)
            return obj

        return register

    def alternative(self, obj: T) -> T:
        self.add_alternative(obj.__name__, obj)
        return obj

    def add_mistake(self, name: str, sentence: str, *objects: Any) -> None:
        self.mistakes.append(Mistake(name, sentence, objects))

    def add_alternative(self, name: str, *objects: Any) -> None:
        self.alternatives[name] = objects
