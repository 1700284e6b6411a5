"""How a learner's objects are called, and the probe that follows from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from coursekit.checking import probing
from coursekit.checking.probing import Wrong

CHOSEN = "call"  # the input that names the object that a case calls, where its other inputs do not tell
_FORM = re.compile(r"\s*(\w+)(?:\(([^()]*)\))?(?:\(([^()]*)\))?\s*(?:->\s*(.+)|:\s*(\w+))?\s*")
# What a returned value may be besides a tensor: how it becomes one or more.
_KINDS: dict[str, Callable[[Any, str, Tensor | None], dict[str, Tensor]]] = {
    "tensor": lambda value, name, like: {name: probing.returned(value, name)},
    "number": lambda value, name, like: {name: probing.number(value, name, like)},
    "integers": lambda value, name, like: {name: probing.whole_numbers(value, name, like)},
    "text": lambda value, name, like: probing.text(value, name),
    "texts": lambda value, name, like: probing.texts(value, name),
    "bytes": lambda value, name, like: probing.octets(value, name),
}


@dataclass(frozen=True)
class Call:
    """One learner's object as an exercise calls it.

    - "attend(Q, K, V) -> Y": a function; "-> Q_rotated, K_rotated" for several results.
    - "words(text) -> found: texts": a result that is no tensor, but a number, integers, text, texts or bytes.
    - "rotate(Q, positions, base?)": an argument that is given where the case has it.
    - "BertEmbeddings(V, D)(ids, segments) -> X": a module, as it is made and as it is called.
    - "EarlyStopping(model, patience)": a class that the exercise's own probe uses.
    - "answer: number": a value that a learner has worked out.
    """

    name: str
    parameters: tuple[str, ...]
    returns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    forward: tuple[str, ...] | None = None
    optional: frozenset[str] = frozenset()
    is_value: bool = False

    @property
    def is_class(self) -> bool:
        return self.name[0].isupper() and not self.is_value

    @property
    def signature(self) -> str:
        """The call without its results: `softmax(x, dim)`; a value's name."""
        if self.is_value:
            return self.name
        return f"{self.name}({', '.join(self.parameters)})"

    @property
    def written(self) -> list[tuple[str, str]]:
        """Names and kinds of the results that are text, texts or bytes."""
        pairs = zip(self.returns, self.kinds, strict=True)
        return [(name, kind) for name, kind in pairs if kind in ("text", "texts", "bytes")]

    @classmethod
    def parse(cls, text: str) -> Call:
        """The call that `text` describes. Raises ValueError."""
        match = _FORM.fullmatch(text)
        name, first, second, results, value = match.groups() if match else (None,) * 5
        if not name or (first is None) != (value is not None) or (second is not None and not name[0].isupper()):
            raise ValueError(
                f"a call is written 'name(a, b) -> x', 'Name(a)(x) -> y' or 'answer: number'; found {text!r}"
            )
        if value is not None:
            return cls(name, (), (name,), _known_kinds((value,), text), is_value=True)
        given = [_names(part or "") for part in (first, second)]
        optional = frozenset(n.rstrip("?") for names in given for n in names if n.endswith("?"))
        made, called = (tuple(n.rstrip("?") for n in names) for names in given)
        pairs = [result.partition(":") for result in _names(results or "")]
        kinds = _known_kinds(tuple(kind.strip() or "tensor" for _, _, kind in pairs), text)
        returns = tuple(n.strip() for n, _, _ in pairs)
        return cls(name, made, returns, kinds, called if second is not None else None, optional)


def by_hand(calls: Sequence[str], name: str) -> Callable[..., dict[str, Tensor]]:
    """The probe of these calls, in which the function called `name` may not ask torch's reverse mode for its result."""
    probe, names = probe_of([Call.parse(text) for text in calls]), [Call.parse(text).name for text in calls]

    def watched(case: dict[str, Any], *objects: Any) -> dict[str, Tensor]:
        if case["call"] != name:
            return probe(case, *objects)
        with probing.no_reverse_mode(f"what {name} gives", objects[names.index(name)]):
            return probe(case, *objects)

    return watched


def probe_of(calls: Sequence[Call]) -> Callable[..., dict[str, Tensor]]:
    """What an exercise's probe does where it has none of its own: call one object with the inputs of its parameters.

    A module is first given the case's other tensors as weights. Where the case holds `dY` for a result `Y`, the
    gradients of sum(Y * dY) with respect to every floating argument and weight come too.
    """

    def probe(case: dict[str, Any], *objects: Any) -> dict[str, Tensor]:
        i = _chosen(calls, case)
        call, obj = calls[i], objects[i]
        if call.is_value:
            return _converted(call, obj, case)
        upstream = case.get(f"d{call.returns[0]}") if call.returns else None
        given = {n: case[n] for n in call.forward or call.parameters if n in case}
        sources: dict[str, Tensor] = {}
        if upstream is not None:
            sources = {n: x for n, x in given.items() if isinstance(x, Tensor) and x.is_floating_point()}
            sources = dict(zip(sources, probing.leaves(*sources.values()), strict=True))
        if call.forward is not None:
            obj = _built(call, obj, case)
            weights = _weights(call, case) if upstream is not None else ()
            sources |= {n: probing.trained(obj, n) for n in weights}
        found = _converted(call, obj(*(given | {n: sources[n] for n in given if n in sources}).values()), case)
        if len(calls) > 1 and len(found) == 1 and upstream is None:
            found = dict(zip((call.signature,), found.values(), strict=True))
        if upstream is None:
            return found
        return found | probing.gradients(found[call.returns[0]], sources, upstream)

    return probe


def _chosen(calls: Sequence[Call], case: dict[str, Any]) -> int:
    """Which object the case calls: the one that it names, or the only one whose arguments it has."""
    names = [call.name for call in calls]
    if CHOSEN in case:
        return names.index(case[CHOSEN])
    fitting = [
        i for i, call in enumerate(calls) if {*call.parameters, *(call.forward or ())} - call.optional <= {*case}
    ]
    if len(fitting) != 1:
        raise ValueError(
            f"a case with {', '.join(case)} fits {len(fitting)} of {', '.join(names)}: name one as {CHOSEN!r}"
        )
    return fitting[0]


def _weights(call: Call, case: dict[str, Any]) -> dict[str, Tensor]:
    """The case's tensors that are neither arguments nor gradients from above."""
    others = {*call.parameters, *(call.forward or ()), *(f"d{name}" for name in call.returns)}
    return {n: x for n, x in case.items() if isinstance(x, Tensor) and n not in others}


def _built(call: Call, make: Any, case: dict[str, Any]) -> nn.Module:
    module = probing.load(make(*(case[n] for n in call.parameters if n in case)), _weights(call, case))
    if type(module).forward is nn.Module.forward:
        raise Wrong(f"the class has no method forward(self, {', '.join(call.forward or ())})")
    return module


def _converted(call: Call, value: Any, case: dict[str, Any]) -> dict[str, Tensor]:
    if len(call.returns) > 1:
        value = probing.several(value, *call.returns)
    values = value if len(call.returns) > 1 else (value,)
    like = next((x for x in case.values() if isinstance(x, Tensor) and x.is_floating_point()), None)
    like = like if like is not None else next((x for x in case.values() if isinstance(x, Tensor)), None)
    found: dict[str, Tensor] = {}
    for one, name, kind in zip(values, call.returns, call.kinds, strict=True):
        found |= _KINDS[kind](one, name, like)
    return found


def _known_kinds(kinds: tuple[str, ...], text: str) -> tuple[str, ...]:
    if unknown := [kind for kind in kinds if kind not in _KINDS]:
        raise ValueError(f"{text!r}: found a result of kind {unknown[0]!r}, expected one of {', '.join(_KINDS)}")
    return kinds


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
