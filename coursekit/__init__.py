"""What a learner's notebook imports: checks that explain, progress, figures, quizzes, pretrained models.

Each function is loaded when it is first asked for: a learner's Jupyter server finds its home page in this package, and
must not import torch for that. No module or folder here has the name of one of these functions, for importing it would
put it in the function's place.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.checking.checks import check, use
    from coursekit.devices import device
    from coursekit.diagrams import diagram
    from coursekit.figures import show
    from coursekit.material.models import load_encoder
    from coursekit.predictions import came_out, predict
    from coursekit.profiles import profile
    from coursekit.quizzes import quiz
    from coursekit.record.scores import progress
    from coursekit.tracking import track

_HOMES = {
    "came_out": "predictions",
    "check": "checking.checks",
    "device": "devices",
    "diagram": "diagrams",
    "load_encoder": "material.models",
    "predict": "predictions",
    "profile": "profiles",
    "progress": "record.scores",
    "quiz": "quizzes",
    "show": "figures",
    "track": "tracking",
    "use": "checking.checks",
}
__all__ = [
    "came_out",
    "check",
    "device",
    "diagram",
    "load_encoder",
    "predict",
    "profile",
    "progress",
    "quiz",
    "show",
    "track",
    "use",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'coursekit' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"coursekit.{_HOMES[name]}"), name)
    if name in ("check", "use"):  # asked for in each kernel anew, also in one whose parent has imported all
        importlib.import_module("coursekit.checking.session").attend()
    else:
        globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
