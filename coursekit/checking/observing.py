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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.checking import surroundings
from coursekit.checking.calls import Call
from coursekit.checking.contract import Case, Exercise, Outputs, dtype_name
from coursekit.checking.explaining import explained
from coursekit.checking.probing import Wrong, returned

PRINT_LIMIT = 2_000  # characters of a learner's prints that a report shows
_OURS = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))

# Kinds of numbers that torch can store and turn into no other.
_DTYPES = {name: x for name, x in vars(torch).items() if isinstance(x, torch.dtype)}
_BITS = {x for name, x in _DTYPES.items() if re.match(r"bits|float4|u?int[1-7]$", name)}


@dataclass(frozen=True)
class Outcome:
    """What one case did: the probe's outputs, or the problem that kept it from giving any.

    `kind` is a short name of the problem by which two equal ones are recognised, `problem` tells the learner.
    `changed` names inputs that were altered in place, `left` what else is not as it was before: names of LEFT_BEHIND in
    `surroundings`.
    """

    outputs: Outputs | None
    kind: str = ""
    problem: str = ""
    changed: tuple[str, ...] = ()
    printed: str = ""
    left: tuple[str, ...] = ()

    def on(self, device: torch.device) -> Outcome:
        """The same outcome with its outputs on `device`."""
        if self.outputs is None:
            return self
        return replace(self, outputs={name: value.to(device) for name, value in self.outputs.items()})


def observe_all(exercise: Exercise, objects: tuple[Any, ...], cases: Sequence[Case]) -> list[Outcome]:
    """What `objects` do on the cases, one after another, each with random numbers of its own.

    A module that a case makes is first called as another case calls it, and not the only one of its class: what it
    keeps from one call to the next, or shares with others, shows. Where the first case comes again its module is alone:
    then the two differ.
    """
    with surroundings.many():
        return [observe(exercise, objects, case, i, () if case.again else cases) for i, case in enumerate(cases)]


def observe(
    exercise: Exercise, objects: tuple[Any, ...], case: Case, seed: int = 0, others: Sequence[Case] = ()
) -> Outcome:
    """What `objects` do on one case; the learner's prints and warnings are kept, their errors told."""
    mine = case.copy()
    watched = [_watched(obj, call, case, others) for obj, call in zip(objects, exercise.signatures, strict=True)]
    printed = _Capped()
    outputs, kind, problem = None, "", ""
    left: list[str] = []
    with _quiet(printed), surroundings.watched(seed, left):
        try:
            outputs = {name: _plain(name, value) for name, value in exercise.probe(mine.inputs, *watched).items()}
        except Wrong as wrong:
            kind, problem = f"Wrong: {wrong}", str(wrong)
        except KeyboardInterrupt:
            raise  # whoever waits gives up
        except BaseException as error:  # whatever the learner's code raises is told, never passed on
            kind, problem = kind_of(error), told(error)
    return Outcome(outputs, kind, problem, _changed(case, mine), printed.getvalue(), tuple(left))


def kind_of(error: BaseException) -> str:
    """The error's type and wording, without addresses in memory: equal for the same slip on the same case."""
    return f"{type(error).__name__}: {re.sub(r'0x[0-9a-fA-F]+', '0x', str(error))[:200]}"


def told(error: BaseException) -> str:
    """The error, the learner's own lines that led to it, and what their names held; no line of a library.

    Where the error is a common one, what it means is told first.
    """
    # Not extract_tb, which also finds the columns: stubs raise in each of some hundred cases.
    walked = ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    theirs = [(code, line) for code, line in walked if not code.co_filename.startswith(_OURS)]
    lines = [f"line {n}, in {c.co_name!s}: {linecache.getline(c.co_filename, n).strip()!s}" for c, n in theirs]
    message = str(error).split("\n\n")[0].strip()
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return "\n".join([*lines[-4:], *explained(error, _OURS), said])


def _watched(obj: Any, call: Call, case: Case, others: Sequence[Case]) -> Any:
    """The learner's function, returning the tensors that the call promises or raising Wrong; else what it was.

    In place of a class of modules, what makes its modules and has called them once.
    """
    if call.forward and callable(obj):
        return _Made(obj, call, case, others)
    if inspect.isclass(obj) or call.is_class or call.is_value or {*call.kinds} != {"tensor"}:
        return obj

    @functools.wraps(obj, updated=())
    def watched(*args, **kwargs):
        return returned(obj(*args, **kwargs), *call.returns)

    return watched


class _Made:
    """Makes a learner's module, and before its first call another module and a call of another case."""

    def __init__(self, make: Any, call: Call, case: Case, others: Sequence[Case]) -> None:
        self.make, self.call = make, call
        made, called = self._given(case, call.parameters), self._given(case, call.forward or ())
        alike = [other for other in others if repr(self._given(other, call.parameters)) == repr(made)]
        self.unlike = next((other for other in others if other not in alike), None)
        needed = {*(call.forward or ())} - call.optional
        self.earlier = max(
            (
                other
                for other in alike
                if needed <= {*other.inputs}
                and any(_differs(called.get(n), other.inputs.get(n)) for n in call.forward or ())
            ),
            # With other shapes, or with a mask in place of none, if there is such a case.
            key=lambda other: sum(_shape(called.get(n)) != _shape(other.inputs.get(n)) for n in call.forward or ()),
            default=None,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module = self.make(*args, **kwargs)
        if not isinstance(module, nn.Module):
            return module  # the probe says what is wrong with it
        if self.unlike and {*self.call.parameters} - self.call.optional <= {*self.unlike.inputs}:
            with _left_to_its_own_case():
                self.make(*self._given(self.unlike, self.call.parameters).values())
        if self.earlier:

            def first(module: nn.Module, _: Any) -> None:
                handle.remove()
                self._first(module)

            handle = module.register_forward_pre_hook(first)
        return module

    def _first(self, module: nn.Module) -> None:
        assert self.earlier
        weight = next((p for p in module.parameters() if p.is_floating_point()), None)
        earlier = self.earlier.cast(torch.float32 if weight is None else weight.dtype).copy()
        modes = [part.training for part in module.modules()]
        with torch.no_grad(), _left_to_its_own_case():
            module(*self._given(earlier, self.call.forward or ()).values())
        if modes != [part.training for part in module.modules()]:
            raise Wrong("a call switches the module to another mode (train or eval): that is for its user to choose")

    @staticmethod
    def _given(case: Case, names: Sequence[str]) -> dict[str, Any]:
        return {n: case.inputs[n] for n in names if n in case.inputs}


def _shape(x: Any) -> Any:
    return tuple(x.shape) if isinstance(x, Tensor) else x


def _plain(name: str, value: Any) -> Tensor:
    """The numbers of a probe's output alone: no graph, no subclass, no shared memory."""
    value = returned(value, name).detach()
    if value.layout != torch.strided:
        raise Wrong(f"{name} is a tensor of layout {value.layout}, expected an ordinary dense one")
    if value.is_meta or value.is_quantized or value.dtype in _BITS:
        raise Wrong(f"{name} holds no numbers that can be read ({value.device}, {dtype_name(value.dtype)})")
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


def _left_to_its_own_case() -> contextlib.AbstractContextManager[None]:
    """What goes wrong with another case's arguments is told on that case, and costs its part alone."""
    return contextlib.suppress(Exception, SystemExit)


@contextlib.contextmanager
def _quiet(printed: _Capped) -> Iterator[None]:
    # nbgrader gives no marks to a cell that writes to stderr: warnings and prints go to the report instead.
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("default")
        yield
