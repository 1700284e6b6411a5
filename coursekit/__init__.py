"""What a learner's notebook imports: checks that explain, progress, figures, quizzes, pretrained models.

Each function is loaded when it is first asked for: a learner's Jupyter server finds its kernels and its home page in
this package, and must not import torch for that.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.check import check, use
    from coursekit.device import device
    from coursekit.models import load_encoder
    from coursekit.progress import progress
    from coursekit.quiz import quiz
    from coursekit.show import show

__all__ = ["check", "device", "load_encoder", "progress", "quiz", "show", "use"]
__version__ = "0.1.0"
_MODULES = {name: name for name in __all__} | {"use": "check", "load_encoder": "models"}


class _Package(ModuleType):
    """A function keeps its name when the submodule of the same name is imported."""

    def __getattr__(self, name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'coursekit' has no attribute {name!r}")
        function = getattr(importlib.import_module(f"coursekit.{_MODULES[name]}"), name)
        self.__dict__[name] = function
        return function

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in __all__ or not isinstance(value, ModuleType):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
