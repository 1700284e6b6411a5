"""What a chapter depends on: builds, grades and proofs share this one rule of what makes them stale.

Files are found by who imports or names them, never by listing a folder: a stray file beside them changes nothing,
and a new one counts from the first import on, before it is committed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import coursekit
import grader
import kernelkit
from coursekit.exercises import chapters

# Where our packages lie. Not one checkout: on a hub the grader is a folder away from the environment with coursekit.
PACKAGES = {package.__name__: Path(str(package.__file__)).parent for package in (coursekit, grader, kernelkit)}

_MODULE = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+")

Files = dict[str, Path]  # by a name that is the same on every machine: "coursekit/checking/checks.py"

OUTPUTS, GRADES, PROOFS = "outputs", "grades", "proofs"
# The grader's modules that make each, with all that they import.
_MAKERS = {OUTPUTS: (), GRADES: ("grading.pipeline",), PROOFS: ("proving.proof",)}


def depends_on(slug: str, purpose: str, cells: Iterable[str] = (), exercises: Iterable[str] | None = None) -> Files:
    """Every file that can change the chapter's OUTPUTS, the GRADES of its submissions or the PROOFS of its exercises.

    These are the public halves of its exercises (all of them, or those given), for grades and proofs the trusted
    halves, what `cells` import, what all of these import in turn, the data that they name; and for outputs the
    chapter's texts and diagrams, for outputs and grades its tensors. The cells' own text is the caller's to compare,
    and so is the exercise's part of the tensors for a proof. Raises KeyError for another purpose.
    """
    ids = [id for chapter in chapters() if chapter.slug == slug for id in exercises or chapter.exercises]
    roots = [*(f"grader.{maker}" for maker in _MAKERS[purpose]), *(f"coursekit.exercises.{id}" for id in ids)]
    if purpose != GRADES:  # while grading, nothing stands in
        roots += [f"coursekit.library.{id}" for id in ids]
    if purpose != OUTPUTS:
        roots += [f"grader.exercises.{id}" for id in ids]
    for cell in cells:
        roots += _imported_by_cell(cell)
    found = _followed(roots)
    if purpose == OUTPUTS:  # made by a kernel: of the grader only how it is run counts, not what is imported for that
        found |= _followed([f"coursekit.diagrams.{slug.partition('_')[2]}"])
        found["grader/authoring/executing.py"] = PACKAGES["grader"] / "authoring" / "executing.py"
    data = _data()
    named = {text for path in found.values() for text in _strings(path, path.stat().st_mtime_ns)}
    found |= {name: path for name, path in data.items() if path.name in named}
    found |= {name: path for name, path in data.items() if path.stem == slug and _wanted(path, purpose)}
    return dict(sorted(found.items()))


def digest(files: Files) -> str:
    """A hash of the files' names and bytes."""
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def contents(package: Path) -> dict[str, str]:
    """A hash of each file of a package, by its path in there; caches are no part of it."""
    paths = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(package).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _wanted(path: Path, purpose: str) -> bool:
    return purpose == OUTPUTS or (purpose == GRADES and path.suffix == ".safetensors")


def _followed(modules: Iterable[str]) -> Files:
    """The files of these modules, of the packages that hold them, and of all that they import."""
    found: Files = {}
    ahead, seen = list(modules), set()
    while ahead:
        module = ahead.pop()
        if module in seen:
            continue
        seen.add(module)
        above = module.rpartition(".")[0]
        if above:
            ahead.append(above)
        if path := _file(module):
            found[_name(path)] = path
            package = module if path.name == "__init__.py" else above
            ahead += _imports_of(path, path.stat().st_mtime_ns, package)
    return found


def _file(module: str) -> Path | None:
    """The file of a module of ours; None for others, and for a name that is no module."""
    package, *rest = module.split(".")
    if package not in PACKAGES:
        return None
    path = PACKAGES[package].joinpath(*rest)
    return next((p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()), None)


def _name(path: Path) -> str:
    package = next(name for name, folder in PACKAGES.items() if path.is_relative_to(folder))
    return f"{package}/{path.relative_to(PACKAGES[package]).as_posix()}"


@functools.cache
def _imports_of(path: Path, _changed: int, package: str) -> tuple[str, ...]:
    return tuple(_imported(path.read_text(encoding="utf-8"), package))


@functools.cache
def _strings(path: Path, _changed: int) -> frozenset[str]:
    if path.suffix != ".py":
        return frozenset()
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _imported(source: str, package: str) -> Iterator[str]:
    """Names that a text imports, also inside functions and by name in a string; those for a type checker are not."""
    whole, attributes = set(), []  # what `import coursekit` is called here, and all `name.attribute`
    for node in _executed(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            whole |= {alias.asname or alias.name for alias in node.names if alias.name == "coursekit"}
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (module, *(_home(module, alias.name) for alias in node.names))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.append((node.value.id, node.attr))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.fullmatch(node.value):
            yield node.value
    yield from (_home("coursekit", attribute) for name, attribute in attributes if name in whole)


def _imported_by_cell(source: str) -> list[str]:
    """What a notebook's cell imports. One that does not parse imports nothing: whoever runs it says what is wrong."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return list(_imported(TransformerManager().transform_cell(source), ""))
    except SyntaxError:
        return []


def _home(module: str, name: str) -> str:
    """The module that `from module import name` needs: coursekit loads its functions from elsewhere."""
    if module == "coursekit" and name in coursekit._HOMES:
        return f"coursekit.{coursekit._HOMES[name]}"
    return f"{module}.{name}"


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node of what runs: nothing under `if TYPE_CHECKING`."""
    ahead: list[ast.AST] = [tree]
    while ahead:
        node = ahead.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            ahead += node.orelse
        else:
            ahead += ast.iter_child_nodes(node)


def _data() -> Files:
    """The files of coursekit that are no code; caches and hidden files are none of it."""
    paths = (p for p in PACKAGES["coursekit"].rglob("*") if p.is_file() and p.suffix[1:].isalnum())
    kept = (p for p in paths if p.suffix not in (".py", ".pyc") and not p.name.startswith("."))
    return {_name(p): p for p in kept if p.parent.name != "cells"}  # made of the chapter's own cells
