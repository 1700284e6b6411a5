"""The course's warm kernel. `python -m coursekit.kernel install [--sys-prefix | --user]` registers its kernelspec.

Importing this module imports nothing; a warm parent calls `preload`.
"""

from __future__ import annotations

import argparse
import importlib
import sys

NAME = "coursekit-warm"
_LIBRARIES = (
    "ipywidgets",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "safetensors.torch",
    "torch._dynamo",  # by the first TorchDispatchMode, with sympy
    "torch.fx.experimental.symbolic_shapes",  # by the first torch.autograd.grad
    "torch.nn.functional",
)


def preload() -> None:
    """Import what takes seconds in a fresh kernel of any chapter.

    No tensor operation: it would start threads, which a fork loses.
    """
    import transformers

    import coursekit.exercises

    for name in _LIBRARIES:
        importlib.import_module(name)
    for name in coursekit.__all__:
        getattr(coursekit, name)
    # Loaded on first use otherwise, in every kernel again.
    for name in ("AutoModel", "AutoTokenizer"):
        getattr(transformers, name)
    for chapter in coursekit.exercises.chapters():
        for name in chapter.preload:
            importlib.import_module(name)
        for id in chapter.exercises:
            coursekit.exercises.find(id)


def main(argv: list[str] | None = None) -> int:
    """Register the kernelspec; returns the exit status."""
    from kernelkit.kernelspec import install, spec

    parser = argparse.ArgumentParser(prog="python -m coursekit.kernel", description=__doc__)
    parser.add_argument("command", choices=["install"])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sys-prefix", action="store_true", help="into this Python environment (the default)")
    where.add_argument("--user", action="store_true", help="into the home folder")
    args = parser.parse_args(argv)
    folder = install(NAME, spec("Python 3 (warm)", __spec__.name if __spec__ else __name__), args.user)
    print(f"installed the kernel {NAME} in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
