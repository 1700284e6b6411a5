"""The public half of an exercise: what is asked, on which inputs, and what must hold. Never an answer."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Outputs = dict[str, Tensor]
# A law looks at one case and returns a sentence when it is broken, None when it holds.
Law = Callable[[dict[str, Any], Outputs], str | None]


@dataclass(frozen=True)
class Case:
    """One set of inputs on which the learner's object is called.

    `part` is the part of the exercise whose points the case decides, `label` is told to the learner when it
    fails ("T=5, S=7, float64"), `inputs` holds tensors and plain Python values by name.
    """

    part: str
    label: str
    inputs: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the inputs: the first floating tensor's, float32 where there is none."""
        floats = (v.dtype for v in self.inputs.values() if isinstance(v, Tensor) and v.is_floating_point())
        return next(floats, torch.float32)

    def device(self, wanted: torch.device) -> torch.device:
        """Where the results belong: on `wanted` with the tensors of the inputs, on the CPU where there are none."""
        return wanted if any(isinstance(v, Tensor) for v in self.inputs.values()) else torch.device("cpu")

    def cast(self, dtype: torch.dtype) -> Case:
        """The same case with every floating tensor as `dtype`; layout and other values stay."""
        inputs = {n: v.to(dtype) if _is_float(v) else v for n, v in self.inputs.items()}
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
class Call:
    """One learner's object as the exercise calls it, read from "name(a, b) -> x, y".

    A capital first letter makes it a class; `returns` names the tensors that a call returns.
    """

    name: str
    parameters: tuple[str, ...]
    returns: tuple[str, ...]

    @property
    def is_class(self) -> bool:
        return self.name[0].isupper()

    @classmethod
    def parse(cls, text: str) -> Call:
        match = re.fullmatch(r"\s*(\w+)\((.*?)\)\s*(?:->\s*(.+))?", text)
        if not match:
            raise ValueError(f"a call is written 'name(a, b) -> x'; found {text!r}")
        name, parameters, returns = match.groups()
        return cls(name, _names(parameters), _names(returns or ""))


@dataclass(frozen=True)
class Exercise:
    """What a learner writes and how it is looked at.

    `parts` maps each part to its points, in order: a part earns its points when it and every part before it
    pass. `calls` says how the learner's objects are called. `cases(generator)` draws the inputs.
    `probe(inputs, *objects)` calls the objects and returns named tensors, the same names whatever the objects
    do; a name with a leading underscore is not compared but there for the `laws`. Where a right answer is random,
    `measure(inputs, outputs)` turns what the probe gives into what the laws look at; while grading it runs outside of
    the learner's process. `library` holds objects from public libraries that stand in for an unsolved exercise.
    `tolerance` overrides `torch.testing`'s (rtol, atol) for a dtype. `ordered=False` where the parts are skills of
    their own, each paid for by itself.
    """

    id: str
    title: str
    parts: dict[str, int]
    minutes: int
    difficulty: str
    calls: tuple[str, ...]
    cases: Callable[[torch.Generator], list[Case]]
    probe: Callable[..., Outputs]
    library: tuple[Any, ...]
    laws: tuple[Law, ...] = ()
    measure: Callable[[dict[str, Any], Outputs], Outputs] | None = None
    ordered: bool = True
    tolerance: dict[torch.dtype, tuple[float, float]] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(self.parts.values())

    @property
    def signatures(self) -> tuple[Call, ...]:
        return tuple(Call.parse(text) for text in self.calls)


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


def normal(g: torch.Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers, drawn in float64 so that every dtype sees the same ones."""
    return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)


def scattered(x: Tensor) -> Tensor:
    """The values of `x` in a non-contiguous layout: its last two dimensions are swapped in memory."""
    return x.mT.contiguous().mT


def shifted(Q: Tensor, K: Tensor, by: float) -> dict[str, Tensor]:
    """`{"Q": ..., "K": ...}` whose scores QK^T / sqrt(d) are all larger by about `by`, which softmax does not see.

    exp without the maximum under- or overflows there, and a finite number in place of -inf is no longer far away.
    """
    Q, K = Q.clone(), K.clone()
    Q[..., 0], K[..., 0] = 1.0, by * K.shape[-1] ** 0.5
    return {"Q": Q, "K": K}


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
