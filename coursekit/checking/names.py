"""Which names a notebook's cell binds and which it reads from outside: found from its text, which is not run.

Light, for a Jupyter server and a kernel use it too. What is too large to be read in no time is not read.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import re
import warnings
from collections.abc import Container, Iterator
from dataclasses import dataclass
from types import CodeType

LIMIT = 40_000  # characters of one cell
MOST = 1_000  # statements of one cell
_EVERYWHERE = frozenset(dir(builtins)) | {"get_ipython", "display", "exit", "quit", "In", "Out", "_", "__", "___"}
_READ = frozenset({"LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_CLASSDEREF"})
_PYTHON_MAGICS = ("time", "timeit", "capture", "prun")
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True)
class Statement:
    """One statement of a cell's outermost level.

    `now` are the names that it reads when it runs, `later` those that its functions read when they are called.
    `alters` are names whose objects it may change. A statement that binds `surely` does so however it goes on.
    """

    source: str
    binds: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    alters: frozenset[str]
    surely: bool
    is_definition: bool


@dataclass(frozen=True)
class Names:
    """What a whole cell binds and reads. `problem` says why it is no Python; then `binds` is what it means to bind."""

    statements: tuple[Statement, ...] = ()
    binds: frozenset[str] = frozenset()
    now: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    problem: str = ""


@functools.lru_cache(maxsize=512)
def names_of(source: str) -> Names:
    """The names of one cell; never raises for what the cell holds."""
    if len(source) > LIMIT:
        return Names(binds=_meant(source[:LIMIT]))
    tree, problem = _parsed(source)
    if tree is None:
        return Names(binds=_meant(source), problem=problem)
    if len(tree.body) > MOST:
        return Names(binds=_meant(source))
    try:
        statements = tuple(_statement(node) for node in tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Names(binds=_meant(source), problem=_told(error))
    bound: set[str] = set()
    now: set[str] = set()
    for statement in statements:
        now |= statement.now - bound
        bound |= statement.binds
    later = frozenset().union(*(statement.later for statement in statements))
    return Names(statements, frozenset(bound), frozenset(now), later - bound)


@functools.lru_cache(maxsize=512)
def called(source: str, function: str) -> tuple[str, tuple[str, ...]]:
    """The first `function("id", a, b)` in a released cell: the id and the names of the other arguments.

    ("", ()) where there is none.
    """
    tree, _ = _parsed(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return first.value, tuple(arg.id for arg in node.args[1:] if isinstance(arg, ast.Name))
    return "", ()


def reads(code: CodeType) -> Iterator[str]:
    """The names that a function's code, with all that it defines inside, reads from its module."""
    for part in _codes(code):
        yield from (i.argval for i in dis.get_instructions(part) if i.opname in _READ and i.argval not in _EVERYWHERE)


class Ours(ast.NodeTransformer):
    """Calls of coursekit's functions with an exercise's id, `check("attention.sdpa", ...)`, by no variable's name.

    A learner may call a variable `check`, `use` or `coursekit`.
    """

    def __init__(self, ids: Container[str] | None = None) -> None:
        self._ids = ids  # a learner's own cells may have a function `check` that takes another text

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        first = node.args[0] if node.args else None
        named = isinstance(first, ast.Constant) and isinstance(first.value, str) and self._is_id(first.value)
        if named and isinstance(node.func, ast.Name) and node.func.id in ("check", "use"):
            module = ast.Call(ast.Name("__import__", ast.Load()), [ast.Constant("coursekit")], [])
            node.func = ast.copy_location(ast.Attribute(module, node.func.id, ast.Load()), node.func)
            ast.fix_missing_locations(node)
        return node

    def _is_id(self, text: str) -> bool:
        return "." in text if self._ids is None else text in self._ids


def ours(source: str) -> str:
    """A released cell's text with such calls; as it is where it is no Python."""
    tree, _ = _parsed(source)
    return ast.unparse(Ours().visit(tree)) if tree else source


def _parsed(source: str) -> tuple[ast.Module | None, str]:
    """The cell's tree, without what only IPython understands; or None and what is wrong."""
    try:
        return _tree(source), ""
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = _told(error)
    try:
        return _tree(_python(source)), ""
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, problem


def _tree(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = compile(source, "<cell>", "exec", _AWAIT | ast.PyCF_ONLY_AST, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def _python(source: str) -> str:
    """The lines of a cell that are Python; magics, shell commands and questions do nothing that is looked at here."""
    lines = source.lstrip().splitlines()
    if lines and (magic := re.match(r"%%(\w+)", lines[0])):
        lines = lines[1:] if magic[1] in _PYTHON_MAGICS else []
    return "\n".join(map(_python_line, lines))


def _python_line(line: str) -> str:
    code = line.lstrip()
    if code[:1] in ("%", "!", "?") or code.rstrip().endswith("?"):
        return line[: len(line) - len(code)] + "pass"
    return re.sub(r"^(\s*[\w, ]{1,200}=)\s*[%!].*", r"\1 None", line)


def _statement(node: ast.stmt) -> Statement:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(ast.Module([node], []), "<cell>", "exec", _AWAIT, dont_inherit=True)
    now, later, binds = set[str](), set[str](), set[str]()
    for part, deferred in _parts(code):
        stored, everywhere, read = set[str](), set[str](), set[str]()
        for step in dis.get_instructions(part):
            if step.opname == "STORE_NAME":
                stored.add(step.argval)
            elif step.opname == "STORE_GLOBAL":
                everywhere.add(step.argval)
            elif step.opname in _READ and step.argval not in _EVERYWHERE:
                read.add(step.argval)
        binds |= everywhere | (stored if part is code else set())
        (later if deferred else now).update(read if part is code else read - stored)  # a class's own names are its own
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    surely = isinstance(node, (*kinds, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom))
    definition = isinstance(node, (*kinds, ast.Import, ast.ImportFrom))
    simple = isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr))  # `x = x + 1` reads another x
    return Statement(
        ast.unparse(node),
        frozenset(binds),
        frozenset(now if simple else now - binds),
        frozenset(later),
        frozenset(_altered(node)) - binds,
        surely,
        definition,
    )


def _parts(code: CodeType, deferred: bool = False) -> Iterator[tuple[CodeType, bool]]:
    """The code and all code within, each with whether it runs only when a function is called."""
    yield code, deferred
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            comprehension = inner.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
            is_function = bool(inner.co_flags & inspect.CO_OPTIMIZED) and not comprehension
            yield from _parts(inner, deferred or is_function)


def _codes(code: CodeType) -> Iterator[CodeType]:
    return (part for part, _ in _parts(code))


def _altered(statement: ast.stmt) -> Iterator[str]:
    """Names whose objects a statement may change: `x[0] = 1`, `x.y = 1`, `x.add(1)`, `fill(x)`; not in functions."""
    ahead: list[ast.AST] = [statement]
    while ahead:
        node = ahead.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.AugAssign) and (name := _base(node.target)):
            yield name
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield from filter(None, [_base(node)])
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            call = node.value
            yield from filter(None, [_base(call.func)] if isinstance(call.func, ast.Attribute) else [])
            if not (isinstance(call.func, ast.Name) and call.func.id in ("print", "show", "display")):
                yield from (arg.id for arg in call.args if isinstance(arg, ast.Name))
        ahead += ast.iter_child_nodes(node)


def _base(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _meant(source: str) -> frozenset[str]:
    """What a text that is no Python seems to define, at the beginning of a line."""
    found = re.findall(r"^(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)|^(\w+)[ \t]*=[^=]", source, re.MULTILINE)
    return frozenset(name for pair in found for name in pair if name)


def _told(error: BaseException) -> str:
    """The error as a sentence, with its line."""
    if isinstance(error, SyntaxError):
        where = f" in line {error.lineno}" if error.lineno else ""
        return f"{type(error).__name__}{where}: {error.msg}"
    return "it is nested too deeply" if isinstance(error, RecursionError | MemoryError) else str(error)
