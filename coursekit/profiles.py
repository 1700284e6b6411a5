"""How much a chapter computes: "smoke" for seconds, "fast" for a laptop, "full" for a GPU and models from the hub."""

from __future__ import annotations

import os

PROFILES = ("smoke", "fast", "full")
DEFAULT = "fast"
VARIABLE = "COURSEKIT_PROFILE"


def profile(name: str = DEFAULT) -> str:
    """The profile to run in: `name`, or the one that COURSEKIT_PROFILE names where `name` is the default, "fast".

    So whoever executes many notebooks sets their default, and a notebook in which somebody chose another one, by hand
    or as papermill's parameter, keeps it. Raises ValueError for a profile that is not known.
    """
    return known(os.environ.get(VARIABLE) or name if name == DEFAULT else name)


def known(name: str) -> str:
    """`name`. Raises ValueError where it is no profile, and says which there are."""
    if name not in PROFILES:
        raise ValueError(f"the profile {name!r} is not known; choose one of {', '.join(map(repr, PROFILES))}")
    return name
