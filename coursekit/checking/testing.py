"""Exercises in which a learner writes a test: it is handed right things and wrong ones, and has to tell them apart."""

from __future__ import annotations

import contextlib
import linecache
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit.checking.contract import Case
from coursekit.checking.drawing import sealed
from coursekit.checking.probing import Wrong, unsealed

ACCEPTED = "accepted"
RIGHT, WRONG = "right ones", "wrong ones"


def tested(name: str) -> Callable[..., dict[str, Tensor]]:
    """The probe of such an exercise: whether the learner's test accepts what a case's source calls `name`."""

    def probe(case: dict[str, Any], test: Any) -> dict[str, Tensor]:
        subject = unsealed(case["source"])[name]
        with _own_random_numbers():
            return {ACCEPTED: torch.tensor(_accepts(test, subject))}

    return probe


def said(found: Tensor, right: Tensor) -> str:
    """What a learner hears of a test that takes a right one for wrong, or a wrong one for right."""
    return "your test refuses it, and it is right" if right else "your test lets it pass, and it is wrong"


SAID = {ACCEPTED: said}


def of_each(right: Mapping[str, str], wrong: Mapping[str, Sequence[str]]) -> Callable[[torch.Generator], list[Case]]:
    """The cases: every right source, and one of each kind of wrong ones. Labels say how one is made, or where wrong."""

    def drawn(g: torch.Generator) -> list[Case]:
        def one(sources: Sequence[str]) -> str:
            return sources[int(torch.randint(len(sources), (), generator=g))]

        rights = [Case(RIGHT, f"a right one ({how})", {"source": sealed(source)}) for how, source in right.items()]
        wrongs = [Case(WRONG, f"a wrong one ({where})", {"source": sealed(one(some))}) for where, some in wrong.items()]
        return rights + wrongs

    return drawn


def _accepts(test: Any, subject: Any) -> bool:
    try:
        test(subject)
    except AssertionError:
        return False
    except NotImplementedError:
        raise  # nothing is written yet
    except KeyboardInterrupt:
        raise  # whoever waits gives up
    except BaseException as error:  # pytest.fail and exit() raise what is no Exception
        raise Wrong(
            f"your test raises {type(error).__name__}{_place(error, test)}: {error}\n"
            "Only an AssertionError says that something is wrong (assert)."
        ) from error
    return True


def _place(error: BaseException, test: Any) -> str:
    """Where in the learner's test it arose."""
    file = getattr(getattr(test, "__code__", None), "co_filename", None)
    lines = [n for frame, n in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return f" in line {lines[-1]}, {linecache.getline(file, lines[-1]).strip()!s}" if file and lines else ""


@contextlib.contextmanager
def _own_random_numbers() -> Iterator[None]:
    """A test may set the seed, as tests do: what others draw afterwards does not depend on it."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the one that everybody shares)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
