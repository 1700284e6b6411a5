"""What several exercises do, in steps: a mistake is written once, as the one step in which it differs."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=type)


def slip(sentence: str) -> Callable[[T], T]:
    """Give the decorated class of steps the sentence that helps whoever makes its mistake."""

    def told(steps: T) -> T:
        steps.sentence = sentence  # type: ignore[attr-defined]  # what `Trusted.add_slips` reads
        return steps

    return told
