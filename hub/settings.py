"""What an instructor says about a class in `class.toml`, and where everything lies."""

from __future__ import annotations

import codecs
import csv
import io
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FIRST = """\
# One class. `make hub` reads this file; docs/instructors.md explains each line.
course = "large-models"
instructors = ["instructor"]
roster = "roster.csv" # username,first_name,last_name,email; beside this file
address = "http://127.0.0.1:8000" # for more than a trial, a port below 1024: no learner's program can take that

[limits] # for everything that one learner runs, together
memory = "4G"
processes = 300
cpus = 2.0
idle = 3600 # seconds without activity after which a learner's server is stopped
"""
FIRST_ROSTER = "username,first_name,last_name,email\n"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([MG])")


class ClassError(Exception):
    """What is wrong in `class.toml` or the roster, and what to write instead."""


@dataclass(frozen=True)
class Learner:
    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""


@dataclass(frozen=True)
class Limits:
    """What everything that one learner runs may use together; memory in bytes, idle in seconds."""

    memory: int = 4 << 30
    processes: int = 300
    cpus: float = 2.0
    idle: int = 3600


@dataclass(frozen=True)
class Places:
    """Folders; the defaults follow the Filesystem Hierarchy Standard."""

    prefix: Path = Path("/opt/coursekit")  # root's: the environment, and what the hub runs
    course: Path = Path("/srv/coursekit/course")  # the course account's: sources, gradebook, submissions
    exchange: Path = Path("/srv/coursekit/exchange")
    state: Path = Path("/var/lib/coursekit")  # root's: the hub's database, secrets, first passwords
    run: Path = Path("/run/coursekit")
    homes: Path = Path("/home")

    @property
    def python(self) -> Path:
        return self.prefix / "env" / "bin" / "python"


@dataclass(frozen=True)
class Class:
    """A class. `account` is the system user that owns the gradebook and runs formgrader; `group` is the learners'."""

    course: str = "large-models"
    instructors: tuple[str, ...] = ()
    learners: tuple[Learner, ...] = ()
    address: str = "http://127.0.0.1:8000"
    certificate: str = ""
    key: str = ""
    subdomains: str = ""  # "https://hub.example.org": each server gets a name, and so an origin, of its own below it
    # Below 1024: while the hub is down, no learner's program can take them.
    hub_port: int = 881
    proxy_port: int = 882
    formgrader_port: int = 883
    account: str = ""
    open_checkout: bool = False  # for trials: let learners read the checkout, which holds the answers
    limits: Limits = field(default_factory=Limits)
    places: Places = field(default_factory=Places)

    @property
    def group(self) -> str:
        """The Unix group of everybody on the hub: whom the warm parent serves."""
        return f"{self.account}-users"

    @property
    def usernames(self) -> tuple[str, ...]:
        return tuple(learner.username for learner in self.learners)


def read(path: Path) -> Class:
    """The class that `path` describes. Raises ClassError."""
    try:
        told = tomllib.loads(_text(path))
    except FileNotFoundError:
        raise ClassError(f"no {path}: `make hub` writes a first one, docs/instructors.md explains it") from None
    except tomllib.TOMLDecodeError as error:
        raise ClassError(f"{path}: {error}") from None
    roster = told.pop("roster", None)
    learners = read_roster(path.parent / roster) if roster else ()
    limits = _table(told.pop("limits", {}), Limits, f"{path}: [limits]")
    places = _table(told.pop("places", {}), Places, f"{path}: [places]")
    if "memory" in limits:
        limits["memory"] = _bytes(limits["memory"])
    told = _table(told, Class, str(path))
    told["instructors"] = tuple(told.get("instructors", ()))
    told.setdefault("account", f"grader-{told.get('course', Class.course)}")
    made = Class(
        **told,
        learners=learners,
        limits=Limits(**limits),
        places=Places(**{name: Path(value) for name, value in places.items()}),
    )
    _check(made, path)
    return made


def read_roster(path: Path) -> tuple[Learner, ...]:
    """The learners in a CSV file with the columns username, first_name, last_name, email. Raises ClassError."""
    try:
        table = csv.DictReader(io.StringIO(_text(path), newline=""))
        rows, columns = list(table), table.fieldnames or ()
    except FileNotFoundError:
        raise ClassError(f"no roster {path}: a CSV file with the columns {FIRST_ROSTER.strip()}") from None
    except csv.Error as error:
        raise ClassError(f"{path}: {error}: expected a CSV file with the columns {FIRST_ROSTER.strip()}") from None
    if rows and "username" not in columns:
        raise ClassError(f"{path}: found the columns {', '.join(columns)}, expected {FIRST_ROSTER.strip()}")
    names = [field.name for field in fields(Learner)]
    return tuple(Learner(**{name: (row.get(name) or "").strip() for name in names}) for row in rows)


def _text(path: Path) -> str:
    """A file that a person saved, in UTF-8, or in UTF-16 as spreadsheets write it. Raises ClassError for another one.

    Nothing is guessed: every encoding of one byte a letter reads every file, with names that nobody has.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ClassError(
            f"{path}: found byte {data[error.start]:#x} in line {line}, which is no UTF-8: save it as UTF-8 (in Excel: "
            "CSV UTF-8), or convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None


def _table(told: dict[str, Any], kind: type, where: str) -> dict[str, Any]:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(told) - known):
        raise ClassError(f"{where}: {', '.join(unknown)} is not known; expected {', '.join(sorted(known))}")
    return dict(told)


def _bytes(text: Any) -> int:
    match = _SIZE.fullmatch(str(text))
    if not match:
        raise ClassError(f"memory = {text!r}: expected a size like '4G' or '800M'")
    return int(float(match[1]) * (1 << 30 if match[2] == "G" else 1 << 20))


def _check(made: Class, path: Path) -> None:
    if not made.instructors:
        raise ClassError(f'{path}: no instructors; write instructors = ["your-user-name"]')
    names = [*made.instructors, *made.usernames]
    for name in (*names, made.account, made.group, made.course):
        if not _NAME.fullmatch(name):
            raise ClassError(f"{name!r} cannot be a user name: small letters, digits and -, at most 31, a letter first")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ClassError(f"named twice among instructors and learners: {', '.join(twice)}")
    address = urlsplit(made.address)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ClassError(f"address = {made.address!r}: expected for example 'https://0.0.0.0:443'")
    if (address.scheme == "https") != bool(made.certificate and made.key):
        raise ClassError("an https address needs certificate and key, an http address has none")
