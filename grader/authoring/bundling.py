"""The learner's tree: what is published for Binder or pulled into homes on a hub. It holds no answer."""

from __future__ import annotations

import shutil
from pathlib import Path

from grader.authoring import leaks

TAKEN = (
    "course",
    "coursekit",
    "kernelkit",
    "binder",
    "requirements.txt",
    "requirements-models.txt",
    "pyproject.toml",
    "DATA_LICENSES.md",
    "LICENSE",
    "LICENSE-CONTENT",
    "CITATION.cff",
)
README = Path(__file__).with_name("learner_readme.md")
CUT = "\n# authors only"


class BundleError(Exception):
    """The tree cannot be written, or it would hold an answer."""


def bundle(root: Path, out: Path) -> list[Path]:
    """Write the learner's tree to `out`; returns its files. An earlier bundle there is replaced.

    Raises BundleError when `out` holds other things, when something is missing, or when the tree would leak.
    """
    missing = [name for name in TAKEN if not (root / name).exists()]
    if missing:
        raise BundleError(f"nothing to bundle for {', '.join(missing)}; run `make build` in the repository first")
    _make_room(out)
    for name in TAKEN:
        _copy(root / name, out / name)
    shutil.copy(README, out / "README.md")
    project = (out / "pyproject.toml").read_text(encoding="utf-8")
    (out / "pyproject.toml").write_text(project.split(CUT)[0], encoding="utf-8", newline="\n")
    found = leaks.search(root, [out])
    if found:
        raise BundleError("\n".join(["the bundle would give answers away:", *map(str, found)]))
    return [path for path in sorted(out.rglob("*")) if path.is_file() and ".git" not in path.parts]


def _make_room(out: Path) -> None:
    """Remove an earlier bundle. Raises BundleError before touching anything else that lies there."""
    out.mkdir(parents=True, exist_ok=True)
    ours = {*TAKEN, "README.md"}
    others = [p.name for p in out.iterdir() if p.name not in ours and not p.name.startswith(".git")]
    if others:
        raise BundleError(f"{out} holds {', '.join(sorted(others)[:3])}, which no bundle wrote; name an empty folder")
    if out.resolve() == Path.cwd().resolve():
        raise BundleError("the bundle would replace the repository itself; name another folder")
    for path in out.iterdir():
        if path.name in ours:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints", "*.egg-info")
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy(source, target)
