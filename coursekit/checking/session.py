"""What the cells of this kernel's notebook have done, so that a check looks at the cell as it stands.

A function outlives the cell that defined it: after a syntax error, or a change that was not run, a check would praise
what nobody hands in. And it may read a name that is not there when it is graded. Both are told instead.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from coursekit.checking.contract import Exercise
from coursekit.checking.names import Ours, names_of, reads

NOTEBOOK = "JPY_SESSION_NAME"  # Jupyter's server tells a kernel here whose it is
CELLS = Path(__file__).parents[1] / "generated" / "cells"
_MOST_RUNS = 5_000
_MOST_OBJECTS = 500


@dataclass(frozen=True)
class Released:
    """One code cell of a released chapter: what it binds, which of that is data, and the exercise that it is for."""

    id: str
    kind: str  # setup, answer, check or demonstration
    exercise: str
    source: str  # a hash of it
    binds: frozenset[str]
    data: frozenset[str]


@dataclass
class Run:
    """One cell that was run: what it was to bind, what of that it did not bind, and why."""

    id: str
    source: str
    binds: frozenset[str]
    unbound: frozenset[str] = frozenset()
    problem: str = ""
    time: float = field(default_factory=time.time)


_runs: deque[Run] = deque(maxlen=_MOST_RUNS)
_lent: list[tuple[Any, str]] = []  # what stands in for an answer, and the exercise's title
_shell: Any = None


def attend() -> None:
    """Watch the shell of this kernel from now on, where there is one; released checks then mean coursekit's `check`."""
    global _shell
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    from coursekit.checking.handover import asked

    if shell is None or shell is _shell or asked():
        return
    from coursekit.exercises import chapters

    _shell = shell
    pending: dict[str, Any] = {}
    shell.ast_transformers.append(Ours({id for chapter in chapters() for id in chapter.exercises}))
    shell.events.register("pre_run_cell", functools.partial(_begun, shell, pending))
    shell.events.register("post_run_cell", functools.partial(_ended, shell, pending))


def _begun(shell: Any, pending: dict[str, Any], info: Any) -> None:
    pending.clear()
    pending |= {name: shell.user_ns.get(name) for name in names_of(str(info.raw_cell)).binds}


def _ended(shell: Any, pending: dict[str, Any], result: Any) -> None:
    info, error = result.info, result.error_before_exec or result.error_in_exec
    if info is None:
        return
    found = names_of(str(info.raw_cell))
    run = Run(str(getattr(info, "cell_id", None) or ""), str(info.raw_cell), found.binds)
    if error:
        run.problem = found.problem or f"{type(error).__name__}: {error}".splitlines()[0][:200]
        run.unbound = frozenset(name for name, was in pending.items() if shell.user_ns.get(name) is was)
    _runs.append(run)


def lend(objects: tuple[Any, ...], title: str) -> None:
    """Note what stands in for the answer to an exercise."""
    _lent.extend((obj, title) for obj in objects)


def trouble(exercise: Exercise, objects: tuple[Any, ...], slug: str) -> tuple[str, tuple[str, ...]]:
    """Why the check cannot say what grading will say, empty where it can; and remarks on what the answer reads."""
    shell = _shell
    if shell is None or any(obj is None for obj in objects):
        return "", ()
    cells = released(slug)
    for obj, call in zip(objects, exercise.signatures, strict=False):
        if shell.user_ns.get(call.name) is obj and (why := _outdated(call.name, exercise.id, cells)):
            return why, ()
    return _outside(exercise, objects, shell.user_ns, cells)


@functools.cache
def released(slug: str) -> tuple[Released, ...]:
    """The code cells of a chapter as they were released; none where nobody has built it."""
    try:
        found = json.loads((CELLS / f"{slug}.json").read_bytes())
    except FileNotFoundError:
        return ()
    return tuple(Released(**cell | {n: frozenset(cell[n]) for n in ("binds", "data")}) for cell in found)


def _outdated(name: str, exercise_id: str, cells: tuple[Released, ...]) -> str:
    """Why the object called `name` is not what its cell defines now."""
    own = next((cell.id for cell in cells if cell.kind == "answer" and cell.exercise == exercise_id), "")
    last = next((run for run in reversed(_runs) if run.id == own), None) if own else None
    binding = next((run for run in reversed(_runs) if name in run.binds), None)
    if last is not None and not last.problem and name not in last.binds and binding is not None and binding.id == own:
        return f"the cell does not define {name} any more, which is what will be graded: define it there, and run it"
    if binding and name in binding.unbound:
        return (
            f"the cell that defines {name} ended with {binding.problem}. What it defined before is not what will be "
            "graded: mend the cell, run it, and check again"
        )
    if last is not None and _edited(last):
        return "the cell was changed after it was run: run it, then check again"
    return ""


def _edited(run: Run) -> bool:
    """Whether the notebook was saved after the run with another text in that cell."""
    path = Path(os.environ.get(NOTEBOOK, ""))
    from coursekit.notebook import limits, reading

    try:
        if path.suffix != ".ipynb" or path.stat().st_mtime <= run.time or path.stat().st_size > limits.FILE:
            return False
        saved = reading.cells(reading.parsed(path.read_bytes()))
    except (OSError, reading.Unreadable):
        return False  # whoever moves or renames a notebook while it runs must not lose the check
    return any(cell.get("id") == run.id and reading.source(cell).rstrip() != run.source.rstrip() for cell in saved)


def _outside(
    exercise: Exercise, objects: tuple[Any, ...], known: dict[str, Any], cells: tuple[Released, ...]
) -> tuple[str, tuple[str, ...]]:
    check = next((i for i, c in enumerate(cells) if c.kind == "check" and c.exercise == exercise.id), len(cells))
    above, below, remarks = cells[:check], cells[check:], []
    for name, value in _read(objects, known).items():
        if title := next((title for obj, title in _lent if obj is value), ""):
            return (
                f"the answer calls {name}, for which a library stands in until the check of {title!r} passes. There is "
                "no library when it is graded: solve that exercise first, or do without it"
            ), ()
        if any(name in cell.binds for cell in above):
            last = next(cell for cell in reversed(above) if name in cell.binds)
            if last.kind == "demonstration" and name in last.data:
                remarks.append(f"The answer reads `{name}` from a cell above it, and not from its arguments.")
        elif any(name in cell.binds for cell in below) and not _of_the_learner(name, cells, check):
            return (
                f"the answer reads {name}, which only a cell further down defines: it is not there when this is "
                "graded. Take it from the arguments, or define it in the answer"
            ), ()
    return "", tuple(remarks)


def _of_the_learner(name: str, cells: tuple[Released, ...], check: int) -> bool:
    """Whether a cell of the learner's own has bound the name, or one above the check that they changed."""
    by_id = {cell.id: i for i, cell in enumerate(cells)}
    texts = {cell.source for cell in cells}
    for run in _runs:
        if name in run.binds and name not in run.unbound:
            place = by_id.get(run.id)
            if place is None and digest(run.source) not in texts:
                return True
            if place is not None and place <= check:
                return True
    return False


def digest(source: str) -> str:
    """A short hash of a cell's text, by which a released one is known."""
    import hashlib

    return hashlib.sha256(source.rstrip().encode("utf-8", "replace")).hexdigest()[:16]


def _read(objects: tuple[Any, ...], known: dict[str, Any]) -> dict[str, Any]:
    """The names of the notebook that the objects read, and what is behind each, down to the last function."""
    found: dict[str, Any] = {}
    ahead, seen = list(objects), set[int]()
    while ahead and len(seen) < _MOST_OBJECTS:
        obj = ahead.pop()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        for function in _functions(obj):
            ahead += _held(function)
            if function.__globals__ is known:
                new = {n: known[n] for n in _names_of(function.__code__) if n in known and n not in found}
                found |= new
                ahead += new.values()
    return {name: value for name, value in found.items() if not hasattr(builtins, name)}


@functools.lru_cache(maxsize=512)
def _names_of(code: CodeType) -> frozenset[str]:
    return frozenset(reads(code))


def _functions(obj: Any) -> Iterator[FunctionType]:
    """The Python functions of a function or of a class of the notebook's."""
    if inspect.isclass(obj):
        for part in obj.__mro__:
            if part.__module__ == "__main__":
                for value in vars(part).values():
                    inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
                    yield from [inner] if isinstance(inner, FunctionType) else []
    elif isinstance(obj, FunctionType):
        yield obj


def _held(function: FunctionType) -> list[Any]:
    """What a function holds besides names: what it wraps, and what it closes over."""
    wrapped = [function.__wrapped__] if hasattr(function, "__wrapped__") else []
    closed = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    return [obj for obj in (*wrapped, *closed) if isinstance(obj, FunctionType) or inspect.isclass(obj)]


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
