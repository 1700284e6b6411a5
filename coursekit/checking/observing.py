"""Call a learner's objects on cases and write down what happened, without judging it."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import linecache
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from coursekit.checking.calls import Call
from coursekit.checking.contract import Case, Exercise, Outputs
from coursekit.checking.probing import Wrong, returned

PRINT_LIMIT = 2_000  # characters of a learner's prints that a report shows
_OURS = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))


@dataclass(frozen=True)
class Outcome:
    """What one case did: the probe's outputs, or the problem that kept it from giving any.

    `kind` is a short name of the problem by which two equal ones are recognised, `problem` tells the learner.
    """

    outputs: Outputs | None
    kind: str = ""
    problem: str = ""
    changed: tuple[str, ...] = ()
    printed: str = ""

    def on(self, device: torch.device) -> Outcome:
        """The same outcome with its outputs on `device`."""
        if self.outputs is None:
            return self
        return replace(self, outputs={name: value.to(device) for name, value in self.outputs.items()})


def observe(exercise: Exercise, objects: tuple[Any, ...], case: Case) -> Outcome:
    """What `objects` do on one case; the learner's prints and warnings are kept, their errors told."""
    mine = case.copy()
    watched = [_watched(obj, call) for obj, call in zip(objects, exercise.signatures, strict=True)]
    printed = _Capped()
    outputs, kind, problem = None, "", ""
    with _quiet(printed), _reproducible():
        try:
            outputs = {name: _plain(name, value) for name, value in exercise.probe(mine.inputs, *watched).items()}
        except Wrong as wrong:
            kind, problem = f"Wrong: {wrong}", str(wrong)
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever the learner's code raises is told, never passed on
            kind, problem = kind_of(error), told(error)
    return Outcome(outputs, kind, problem, _changed(case, mine), printed.getvalue())


def kind_of(error: BaseException) -> str:
    """The error's type and wording without its numbers: equal for the same slip on other shapes."""
    return f"{type(error).__name__}: {re.sub(r'[0-9]+', '#', str(error))[:80]}"


def told(error: BaseException) -> str:
    """The error and the learner's own lines that led to it; no line of a library or of coursekit."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_OURS)]
    lines = [f"line {f.lineno}, in {f.name}: {linecache.getline(f.filename, f.lineno or 0).strip()}" for f in frames]
    message = str(error).split("\n\n")[0].strip()
    return "\n".join([*lines[-4:], f"{type(error).__name__}: {message}" if message else type(error).__name__])


def _watched(obj: Any, call: Call) -> Any:
    """The learner's function, returning the tensors that the call promises or raising Wrong; else what it was."""
    if inspect.isclass(obj) or call.is_class or call.is_value or {*call.kinds} != {"tensor"}:
        return obj

    @functools.wraps(obj, updated=())
    def watched(*args, **kwargs):
        return returned(obj(*args, **kwargs), *call.returns)

    return watched


def _plain(name: str, value: Any) -> Tensor:
    """The numbers of a probe's output alone: no graph, no subclass, no shared memory."""
    value = returned(value, name).detach()
    if value.layout != torch.strided:
        raise Wrong(f"{name} is a tensor of layout {value.layout}, expected an ordinary dense one")
    return value.as_subclass(Tensor).clone()


def _changed(before: Case, after: Case) -> tuple[str, ...]:
    """Names of the inputs that the call altered in place."""
    pairs = ((name, was, after.inputs.get(name)) for name, was in before.inputs.items())
    return tuple(name for name, was, now in pairs if _differs(was, now))


def _differs(was: Any, now: Any) -> bool:
    if not isinstance(was, Tensor):
        return repr(was) != repr(now)  # a list may by now hold anything, and != on a tensor is no Boolean
    return (
        not isinstance(now, Tensor)
        or was.shape != now.shape
        or was.dtype != now.dtype
        # `equal` is the quicker one, and takes no NaN for another.
        or not (torch.equal(was, now) or torch.isclose(was, now.detach(), rtol=0, atol=0, equal_nan=True).all())
    )


class _Capped(io.StringIO):
    """Keeps the first PRINT_LIMIT characters and forgets the rest, so that endless prints cost no memory."""

    def write(self, text: str) -> int:
        room = PRINT_LIMIT - self.tell()
        super().write(text[: max(room, 0)])
        return len(text)


@contextlib.contextmanager
def _quiet(printed: _Capped) -> Iterator[None]:
    # nbgrader gives no marks to a cell that writes to stderr: warnings and prints go to the report instead.
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


@contextlib.contextmanager
def _reproducible() -> Iterator[None]:
    """Same random numbers, gradients on, full float32 precision; everything is as before afterwards."""
    precision = torch.get_float32_matmul_precision()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(gpus), torch.enable_grad(), torch.backends.cudnn.flags(allow_tf32=False):
        torch.set_float32_matmul_precision("highest")
        # torch.manual_seed costs as much as a small case: where CUDA sleeps, it writes down a stack trace for later.
        torch.default_generator.manual_seed(0)
        if gpus:
            torch.cuda.manual_seed_all(0)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
