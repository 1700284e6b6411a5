"""The public half of an exercise: what is asked, on which inputs, and what must hold. Never an answer."""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from coursekit.checking.calls import Call, probe_of

Outputs = dict[str, Tensor]
# How an output differs from the expected one, where both are of one shape and kind: a sentence, empty if it may.
Said = Callable[[Tensor, Tensor], str]
# A law looks at one case and returns a sentence when it is broken, None when it holds.
Law = Callable[[dict[str, Any], Outputs], str | None]
_ELSEWHERE: tuple[Any, ...] = (object(),)  # a library that was not given with its exercise


@dataclass(frozen=True)
class Case:
    """One set of inputs on which the learner's object is called.

    `part` is the part of the exercise whose points the case decides, `label` is told to the learner when it
    fails ("T=5, S=7, float64"), `inputs` holds tensors and plain Python values by name. Of a `hidden` case, which only
    grading knows, a report tells the label and no number. One that comes `again` is the first case once more, after
    all others.
    """

    part: str
    label: str
    inputs: dict[str, Any]
    hidden: bool = False
    again: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the inputs: the first floating tensor's, float32 where there is none."""
        floats = (v.dtype for v in self.inputs.values() if isinstance(v, Tensor) and v.is_floating_point())
        return next(floats, torch.float32)

    def device(self, wanted: torch.device) -> torch.device:
        """Where the results belong: on `wanted` with the tensors of the inputs, on the CPU where there are none."""
        return wanted if any(isinstance(v, Tensor) for v in self.inputs.values()) else torch.device("cpu")

    def cast(self, dtype: torch.dtype) -> Case:
        """The same case with every floating or complex tensor in the precision of `dtype`; layout and the rest stay."""
        inputs = {n: as_dtype(v, dtype) if isinstance(v, Tensor) else v for n, v in self.inputs.items()}
        return dataclasses.replace(self, inputs=inputs)

    def on(self, device: torch.device) -> Case:
        """The same case with every tensor on `device`."""
        inputs = {n: v.to(device) if isinstance(v, Tensor) else v for n, v in self.inputs.items()}
        return dataclasses.replace(self, inputs=inputs)

    def copy(self) -> Case:
        """The same case with inputs of its own: tensors laid out in memory as the originals, lists down to the last."""
        inputs = {n: v.clone() if isinstance(v, Tensor) else copy.deepcopy(v) for n, v in self.inputs.items()}
        return dataclasses.replace(self, inputs=inputs)


@dataclass(frozen=True)
class Exercise:
    """What a learner writes and how it is looked at.

    `parts` maps each part to its points, in order: a part earns its points when it and every part before it
    pass. `calls` says how the learner's objects are called, see `calls.Call`. `cases(generator)` draws the inputs.
    `probe(inputs, *objects)` calls the objects and returns named tensors, the same names whatever the objects
    do; a name with a leading underscore is not compared but there for the `laws`. Where it only calls, loads weights
    or takes gradients it is left out, and follows from `calls`. Where a right answer is random,
    `measure(inputs, outputs)` turns what the probe gives into what the laws look at; while grading it runs outside of
    the learner's process. `library` holds objects from public libraries that stand in for an unsolved exercise. A
    course's exercise leaves it out: it is `LIBRARY` of `coursekit.library.attention.sdpa`, which is not there while
    grading. `tolerance` overrides `torch.testing`'s (rtol, atol) for a dtype. `ordered=False` where the parts are
    skills of their own, each paid for by itself. `importance` goes from 1, a curiosity, to 5, without which nothing
    after it can be understood. `said` has the sentence for outputs whose difference is not told by their numbers, an
    empty one where so much may differ (4 names of 40); it may tell no input. `trained` where inputs come out of
    training: on another processor rounding makes others of them. Raises ValueError where a call cannot be read.
    """

    id: str
    title: str
    parts: dict[str, int]
    minutes: int
    difficulty: str
    calls: tuple[str, ...]
    cases: Callable[[torch.Generator], list[Case]]
    library: tuple[Any, ...] = field(default_factory=lambda: _ELSEWHERE)
    importance: int = 3
    probe: Callable[..., Outputs] = None  # type: ignore[assignment]  # set below where it is left out
    laws: tuple[Law, ...] = ()
    measure: Callable[[dict[str, Any], Outputs], Outputs] | None = None
    ordered: bool = True
    tolerance: dict[torch.dtype, tuple[float, float]] = field(default_factory=dict)
    said: dict[str, Said] = field(default_factory=dict)
    trained: bool = False
    signatures: tuple[Call, ...] = field(init=False)
    written: dict[str, str] = field(init=False)  # results that are text, texts or bytes: names among the outputs, kinds

    def __post_init__(self) -> None:
        if self.importance not in range(1, 6):
            raise ValueError(f"{self.id}: found importance {self.importance!r}, expected 1 to 5")
        object.__setattr__(self, "signatures", tuple(Call.parse(text) for text in self.calls))
        kinds = ((call, name, kind) for call in self.signatures for name, kind in call.written)
        object.__setattr__(self, "written", {key: kind for call, n, kind in kinds for key in (n, call.signature)})
        if self.probe is None:
            object.__setattr__(self, "probe", probe_of(self.signatures))
        if self.library is _ELSEWHERE:
            object.__delattr__(self, "library")  # asked for below, when somebody needs it

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The library, imported when it is first asked for. Raises ModuleNotFoundError where it is hidden."""
            if name != "library":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return importlib.import_module(f"coursekit.library.{self.id}").LIBRARY

    @property
    def points(self) -> int:
        return sum(self.parts.values())

    def drawn(self, g: torch.Generator) -> list[Case]:
        """The cases, and the first one a second time: what a call leaves behind, and what is random, shows there.

        Not so where the answer is random, for its probe calls it many times, nor for a number that is worked out of
        nothing that is handed in.
        """
        cases = list(self.cases(g))
        if self.measure is not None or not any(case.inputs for case in cases):
            return cases
        again = (dataclasses.replace(c.copy(), label=f"{c.label}, called again", again=True) for c in cases[:1])
        return [*cases, *again]


@dataclass(frozen=True)
class Question:
    """A question that a person marks; its marking scheme stands in the solution notebook."""

    id: str
    title: str
    points: int


@dataclass(frozen=True)
class Chapter:
    """A chapter's name in every folder (`02_attention`), its title, its exercises and questions in order.

    `preload` names modules that take long to import, for kernels that start warm.
    """

    slug: str
    title: str
    exercises: tuple[str, ...]
    questions: tuple[Question, ...] = ()
    preload: tuple[str, ...] = ()


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def as_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """`x` as the floating `dtype` where it is floating, as its complex partner where it is complex, else as it is."""
    if x.is_complex():
        return x.to(dtype.to_complex())
    return x.to(dtype) if x.is_floating_point() else x
