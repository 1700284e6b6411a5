"""What a learner's notebook imports: checks that explain, progress, figures, quizzes, pretrained models.

Names are loaded on first use, so `import coursekit` costs nothing.
"""

from __future__ import annotations

import importlib

_HOME = {
    "check": "coursekit.check",
    "use": "coursekit.check",
    "progress": "coursekit.progress",
    "device": "coursekit.device",
    "show": "coursekit.show",
    "quiz": "coursekit.quiz",
    "load_encoder": "coursekit.models",
}

__all__ = list(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'coursekit' has no attribute {name!r}; it offers {', '.join(_HOME)}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    # Importing coursekit.check binds the submodule under the function's own name: put the function there instead.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
