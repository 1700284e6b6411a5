"""Inside the kernel that executes a chapter: write down of what type each cell's names are."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

from coursekit.checking.names import names_of

PLACE = "COURSEKIT_TYPES"  # in the kernel's environment: the file
START = f"__import__('{__name__}', fromlist=['watch']).watch(get_ipython())"


def watch(shell: Any) -> None:
    """From now on, write the types of a cell's names by the cell's text, after each cell."""
    known: dict[str, dict[str, str]] = {}

    def ended(result: Any) -> None:
        source = result.info.raw_cell
        found = {name: shell.user_ns.get(name) for name in names_of(source).binds}
        known[source] = {name: kind(value) for name, value in found.items() if value is not None}
        Path(os.environ[PLACE]).write_text(json.dumps(known), encoding="utf-8")

    shell.events.register("post_run_cell", ended)


def kind(value: Any) -> str:
    """A value's type as it matters to a reader: all numbers are one, lists are told apart by what they hold.

    Empty where it cannot be told.
    """
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, list | tuple | set):
        first = next(iter(value), None)
        return "" if first is None else f"{type(value).__name__} of {type(first).__name__}"
    if inspect.isclass(value):
        return "class"
    return "function" if callable(value) and not hasattr(value, "forward") else type(value).__name__
