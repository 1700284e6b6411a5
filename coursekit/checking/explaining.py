"""What an error in a learner's code means, in their own names and shapes."""

from __future__ import annotations

import ast
import functools
import linecache
import re
import textwrap
from collections.abc import Iterator
from types import FrameType
from typing import Any

from torch import Tensor

from coursekit.checking.elsewhere import UNMOVED

# What beginners meet, by the error's text, and what it means.
_MEANINGS = {
    r"torch\.return_types\.(max|min|median|mode)|'(max|min|median|mode)' object": (
        "`{0}` along a dimension gives two tensors, values and indices: take `.values`"
    ),
    r"[Bb]oolean value of Tensor with more than one value": (
        "`if`, `and`, `or` and `not` want one truth value, and a tensor has many: use `&`, `|`, `~` or torch.where"
    ),
    r"only one element tensors can be converted|a Tensor with \d+ elements cannot be converted to Scalar": (
        "a tensor of several numbers stands where one number is expected"
    ),
    r"leaf Variable that requires grad is being used in an in-place operation": (
        "an input or a weight is changed in place while gradients are recorded: work on a copy of an input (h = h + "
        "...), "
        "and change a weight under torch.no_grad()"
    ),
    r"one of the variables needed for gradient computation has been modified by an inplace": (
        "a tensor that the backward pass needs was changed in place (as optimizer.step() does): make a new one"
    ),
    r"'Tensor' object is not callable|'\w+' object is not callable": (
        "something that is no function is called: is there a bracket too many, or a name used twice?"
    ),
    r"super\(\)\.__init__|cannot assign (parameters|module) before Module\.__init__": (
        "nn.Module has to be set up first: call super().__init__() in the first line of __init__"
    ),
    r"[Ee]xpected .*scalar type (\w+) but found (\w+)|must have the same dtype|expected m1 and m2": (
        "two tensors of different dtypes meet: make new tensors with the dtype of the inputs"
    ),
    r"^index out of range in self": "an nn.Embedding was asked for a row that its table does not have",
    r"all tensors to be on the same device": (
        "two tensors on different devices meet: make new tensors with device=x.device"
    ),
    r"unsupported operand type.*'(?:Tensor' and 'tuple|tuple' and 'Tensor|tuple' and 'float)'": (
        "several results stand where one is expected (nn.MultiheadAttention gives a pair): take the one, with [0]"
    ),
    r"'(?:bool|NotImplementedType)' object has no attribute '(\w+)'": (
        "`==`, `<` or the like gave one True or False, which has no .{0}: one side is no tensor (a list, or the pair "
        "of values and indices that max along a dimension gives)"
    ),
    r"'(?:int|float)' object has no attribute 'backward'": (
        "backward() is called on a plain number: .item() or float() has already cut it off from the graph"
    ),
    r"^sort\(\) takes from 1 to 0 positional": (
        "with `stable` sort takes its dimension by its name: sort(dim=-1, stable=True)"
    ),
    r"name '(\w+)' is not defined": "`{0}` is bound nowhere in this function, nor in a cell that an exercise may read",
}
_SIZES = ("shape", "size", "dimension", "Dimension", "broadcast", "multiplied", "to unpack")
_REDUCTIONS = {"sum", "mean", "amax", "amin", "max", "min", "any", "all", "logsumexp", "norm", "std", "var"}


def explained(error: BaseException, skipped: tuple[str, ...]) -> list[str]:
    """One or two lines that say what `error` means; none where nothing is known.

    `skipped` are the beginnings of file names that are not the learner's. Shapes are those of the names in the
    learner's last line, at the time of the error.
    """
    text = str(error)
    told = [_meaning(text)] if UNMOVED not in text else []  # which says itself what to do
    if any(word in text for word in _SIZES) and (frame := _last_frame(error, skipped)):
        line = linecache.getline(frame.f_code.co_filename, _line_of(error, frame)).strip()
        named = dict(_tensors_in(line, frame))
        told.append(", ".join(f"{name} is {tuple(x.shape)}" for name, x in named.items()))
        told.append(_product(line, frame))
        told.append(_not_kept(line) if "must match the size" in text else "")
    return [line for line in told if line]


@functools.lru_cache(256)
def _meaning(text: str) -> str:
    for pattern, meaning in _MEANINGS.items():
        if match := re.search(pattern, text):
            groups = [group for group in match.groups() if group] or [""]
            return meaning.format(*groups)
    return ""


def _last_frame(error: BaseException, skipped: tuple[str, ...]) -> FrameType | None:
    frame, at = None, error.__traceback__
    while at:
        if not at.tb_frame.f_code.co_filename.startswith(skipped):
            frame = at.tb_frame
        at = at.tb_next
    return frame


def _line_of(error: BaseException, frame: FrameType) -> int:
    """Where `frame` was when the error came: its own f_lineno may be further on."""
    at, line = error.__traceback__, frame.f_lineno
    while at:
        if at.tb_frame is frame:
            line = at.tb_lineno
        at = at.tb_next
    return line


def _tensors_in(line: str, frame: FrameType) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a line names, attributes such as `self.W` among them, in order."""
    seen = set()
    for name in re.findall(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", line):
        for i in range(1, name.count(".") + 2):  # of K.mT or X.shape, it is K and X that are told
            part = ".".join(name.split(".")[:i])
            if part not in seen and isinstance(value := _value(part, frame), Tensor):
                seen.add(part)
                yield part, value


def _value(name: str, frame: FrameType) -> Any:
    """What a dotted name stands for; nothing is called, and only modules' and instances' own attributes are read."""
    first, *rest = name.split(".")
    value = frame.f_locals.get(first, frame.f_globals.get(first))
    for part in rest:
        own = getattr(value, "__dict__", {})
        parameters = own.get("_parameters", {}) | own.get("_buffers", {}) | own.get("_modules", {}) | own
        value = parameters.get(part)
    return value


def _product(line: str, frame: FrameType) -> str:
    """What is wrong with the first `A @ B` of a line whose sizes do not fit."""
    for A, B in _products(line):
        left, right, base = ast.unparse(A), ast.unparse(B), ast.unparse(_without_transpose(B))
        a, b, b_base = _size(A, frame), _size(B, frame), _size(_without_transpose(B), frame)
        if min(len(a), len(b), len(b_base)) >= 2 and a[-1] != b[-2]:
            fits = f"; `{left} @ {base}.mT` would fit" if a[-1] == b_base[-1] else ""
            return (
                f"`{left} @ {right}` needs the last size of {left} ({a[-1]}) to be the last but one of {right} "
                f"({b[-2]}){fits}"
            )
    if match := re.search(r"([A-Za-z_]\w*)\.T\b", line):
        x = _value(match[1], frame)
        if isinstance(x, Tensor) and x.dim() > 2:
            return f"`{match[1]}.T` reverses all {x.dim()} dimensions: `{match[1]}.mT` exchanges the last two alone"
    return ""


def _products(line: str) -> Iterator[tuple[ast.expr, ast.expr]]:
    for node in _nodes(line):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.left, node.right


def _nodes(line: str) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(ast.parse(textwrap.dedent(line)))
    except SyntaxError:  # one line of several
        return


def _without_transpose(node: ast.expr) -> ast.expr:
    """`K` of `K.transpose(1, 2)`; anything else as it is."""
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr="transpose")):
            return inner
    return node


def _size(node: ast.expr, frame: FrameType) -> tuple[int, ...]:
    """The shape of a named tensor, or of its `transpose(i, j)`; () where it is not known. Nothing is called."""
    value = _value(ast.unparse(_without_transpose(node)), frame)
    if not isinstance(value, Tensor):
        return ()
    shape = [*value.shape]
    if isinstance(node, ast.Call):
        try:
            i, j = (ast.literal_eval(argument) for argument in node.args)
            shape[i], shape[j] = shape[j], shape[i]
        except (ValueError, TypeError, IndexError):  # not two numbers, or no such dimensions
            return ()
    return tuple(shape)


def _not_kept(line: str) -> str:
    """A sum or maximum along a dimension that does not keep it, where sizes have to match."""
    operands = (side for node in _nodes(line) if isinstance(node, ast.BinOp) for side in (node.left, node.right))
    for node in operands:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
                continue  # a module of the learner's, such as self.norm
            case ast.Call(func=ast.Attribute(attr=name), args=[_], keywords=[]) if name in _REDUCTIONS:
                return f"`{name}` takes the dimension away; with keepdim=True it stays, with size 1, and broadcasts"
    return ""
