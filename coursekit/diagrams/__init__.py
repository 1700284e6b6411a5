"""Diagrams of the chapters: `diagram("attention.head")` is the function `head` of `diagrams/attention.py`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from coursekit.beside import unknown
from coursekit.diagrams.drawing import Diagram


def diagram(diagram_id: str) -> Diagram:
    """The diagram with this id, which a notebook draws. Raises UnknownText."""
    known = all_diagrams()
    if diagram_id not in known:
        raise unknown(diagram_id, known, "diagram")
    return known[diagram_id]()


def all_diagrams() -> dict[str, Callable[[], Diagram]]:
    """What draws each diagram, by id."""
    found: dict[str, Callable[[], Diagram]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "drawing":
            continue
        names = vars(importlib.import_module(f"{__name__}.{module.name}"))
        makers = (value for value in names.values() if getattr(value, "__module__", "") == f"{__name__}.{module.name}")
        found |= {f"{module.name}.{make.__name__}": make for make in makers if callable(make)}
    return found
