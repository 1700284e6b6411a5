"""The environment in which the hub and its users run: a copy of `.venv` that root owns and everybody may read.

A copy, because the checkout may lie in a home folder, and because it holds the answers. It takes no downloads.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

_PACKAGES = ("coursekit", "kernelkit")
_NOT_FOR_LEARNERS = ("__editable__*", "coursekit_grader*", "coursekit.egg-link", *_PACKAGES)


class InstallError(Exception):
    """Why the environment cannot be made, and what to do."""


def closed(folder: Path) -> Path | None:
    """Of this folder and those above it, the nearest that other users cannot enter; None where they can enter all."""
    return next((place for place in (folder, *folder.parents) if not place.stat().st_mode & stat.S_IXOTH), None)


def make(root: Path, target: Path) -> None:
    """Copy the environment that runs this, and coursekit from `root`, to `target`."""
    stamp, packages = target / "packages.txt", _packages()
    if not stamp.exists() or stamp.read_text() != packages:
        shutil.rmtree(target, ignore_errors=True)
        _run(reachable_python(), "-m", "venv", "--without-pip", str(target))
        for part in (_site(Path(sys.prefix)), "share", "etc"):
            _copy(Path(sys.prefix) / part, target / part)
        _copy_scripts(Path(sys.prefix) / "bin", target / "bin")
        for pattern in _NOT_FOR_LEARNERS:
            for path in (target / _site(target)).glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in _PACKAGES:
        _ours(root / name, target / _site(target) / name, target / "bin" / "python")
    _kernels(target)
    _check(target)
    stamp.write_text(packages)


def _ours(source: Path, package: Path, python: Path) -> None:
    """Bring a package of ours up to date: whole, because learners may be working with it, and only where it changed."""
    if _contents(source) == _contents(package):
        return
    new, old = (package.with_name(f"{package.name}.{age}") for age in ("new", "old"))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(source, new, ignore=shutil.ignore_patterns("__pycache__"))
    if package.exists():
        package.rename(old)
    new.rename(package)
    shutil.rmtree(old, ignore_errors=True)
    _run(str(python), "-m", "compileall", "-q", str(package))


def _contents(package: Path) -> dict[str, bytes]:
    files = (path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(package)): path.read_bytes() for path in files}


def reachable_python() -> str:
    """A Python of this version that every user of the machine can run. Raises InstallError."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for folder in (os.path.join(sys.base_prefix, "bin"), "/usr/local/bin", "/usr/bin"):
        path = Path(os.path.realpath(os.path.join(folder, name)))
        if path.is_file() and not closed(path.parent):
            return str(path)
    raise InstallError(
        f"{sys.base_prefix} is closed to other users, and there is no {name} in /usr/bin: install it "
        f"(apt-get install {name}-venv), or make .venv with a Python that everybody can run (make setup PYTHON=...)"
    )


def _packages() -> str:
    from importlib.metadata import distributions

    return "\n".join(sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}))


def _site(prefix: Path) -> Path:
    """Where packages lie below an environment's folder."""
    return Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


def _copy(source: Path, target: Path) -> None:
    """Copy a folder. As hard links where all of it is root's already: nobody else could change it behind our back."""
    target.parent.mkdir(parents=True, exist_ok=True)
    foreign = subprocess.run(["find", source, "!", "-uid", "0", "-print", "-quit"], capture_output=True).stdout
    same = source.stat().st_dev == target.parent.stat().st_dev
    how = "-l" if same and not foreign else "--reflink=auto"
    _run("cp", "-r", how, "--preserve=mode,timestamps", "-T", str(source), str(target))


def _copy_scripts(source: Path, target: Path) -> None:
    """Console scripts, with the new environment's Python in their first line."""
    old, new = f"#!{sys.prefix}/bin/python".encode(), f"#!{target}/python".encode()
    for path in source.iterdir():
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        first, _, rest = data.partition(b"\n")
        if first.startswith(old):
            (target / path.name).write_bytes(new + b"\n" + rest)
            (target / path.name).chmod(0o755)


def _kernels(target: Path) -> None:
    """`python3`, which the chapters name, is the warm kernel here; `python3-fresh` starts an ordinary one."""
    from coursekit.kernel import NAME
    from kernelkit.kernelspec import spec

    folder = target / "share" / "jupyter" / "kernels"
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(target / "bin" / "python"), *spec("", "")["argv"][1:]]
    warm = spec("Python 3 (ipykernel)", "coursekit.kernel") | {"argv": command}
    fresh = {"argv": command, "display_name": "Python 3 (fresh)", "language": "python", "metadata": {}}
    # No debugger: it listens on a port of the machine, where whoever comes first is served, as the learner.
    warm["metadata"] = warm["metadata"] | {"debugger": False}
    for name, content in (("python3", warm), (NAME, warm), ("python3-fresh", fresh)):
        (folder / name).mkdir(parents=True)
        (folder / name / "kernel.json").write_text(json.dumps(content, indent=1))


def _check(target: Path) -> None:
    """Nothing in it may be changed by others, and it must hold no answer."""
    open_to_others = ["find", str(target), "!", "-type", "l", "-perm", "/022", "-print", "-quit"]
    if found := subprocess.run(open_to_others, capture_output=True, text=True).stdout.strip():
        _run("chmod", "-R", "go-w", str(target))
        if subprocess.run(open_to_others, capture_output=True, text=True).stdout.strip():
            raise InstallError(f"{found} can be changed by other users")
    code = "import importlib.util as u, sys; sys.exit(bool(u.find_spec('grader')))"
    if subprocess.run([str(target / "bin" / "python"), "-I", "-c", code], cwd="/").returncode:
        raise InstallError(f"`grader` can be imported in {target}: learners would find the references")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InstallError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
