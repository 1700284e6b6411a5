"""Data and models that the course carries: each file is compared with the sha256 that is written down for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import coursekit

FOLDER = Path(coursekit.__file__).parent / "generated" / "embedded"


class AssetError(RuntimeError):
    """Data or a model is missing or altered; the message says what mends it."""


@dataclass(frozen=True)
class File:
    """A file committed in `coursekit/generated/embedded`: its name, its sha256, and the script that made it."""

    name: str
    sha256: str
    script: str


def checked_file(file: File, folder: Path = FOLDER) -> Path:
    """The path of the file, with every byte as it was committed. Raises AssetError."""
    path = folder / file.name
    if wrong := altered(path, file.sha256):
        raise AssetError(
            f"{file.name} of coursekit is not as it was published ({wrong}); install coursekit again, "
            f"or in a checkout run `git checkout -- coursekit/generated/embedded/{file.name}`"
        )
    return path


def altered(path: Path, expected: str) -> str:
    """What is wrong with the file at `path`, empty where its sha256 is `expected`."""
    found = sha256(path)
    if found == expected:
        return ""
    return f"sha256 {found[:12]}..., expected {expected[:12]}..." if found else "it is missing"


def sha256(path: Path) -> str:
    """The file's sha256, empty where there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
