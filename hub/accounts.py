"""System users of a class: made where they are missing, never changed where they exist."""

from __future__ import annotations

import csv
import grp
import os
import pwd
import secrets
import subprocess
from pathlib import Path

from hub.settings import Class

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another


class AccountError(Exception):
    """A system user that cannot be made, and what the operating system said."""


def ensure_course(the: Class) -> None:
    """Make the class's group and the course account where they are missing."""
    if not _group_exists(the.group):
        _run("groupadd", the.group)
    if not _user_exists(the.account):
        course = the.places.course
        options = ["--system", "--user-group", "--shell", "/usr/sbin/nologin"]
        if course.exists() and (owner := course.stat().st_uid):
            options += ["--uid", str(owner)]  # a course that outlived its machine, as a container's does
        _run("useradd", *options, "--home-dir", str(course.parent / "home"), the.account)


def ensure_people(the: Class) -> list[str]:
    """Make every missing instructor and learner, and enter all in the class's group; the names of the new users.

    First passwords of new users are added to `passwords.csv` in the state folder, which only root can read.
    """
    known = {learner.username: learner for learner in the.learners}
    made = []
    for name in (*the.instructors, *the.usernames):
        if not _user_exists(name):
            learner = known.get(name)
            person = f"{learner.first_name} {learner.last_name}".strip() if learner else ""
            _add(the, name, person.replace(":", " ").replace(",", " "))
            made.append(name)
        if the.group not in _groups(name):
            _run("usermod", "--append", "--groups", the.group, name)
    if words := first_passwords(made, the.places.state):
        _run("chpasswd", given="".join(f"{name}:{word}\n" for name, word in words.items()))
    return made


def _add(the: Class, name: str, person: str) -> None:
    homes = the.places.homes
    homes.mkdir(mode=0o755, parents=True, exist_ok=True)
    options = ["--create-home", "--user-group", "--key", "HOME_MODE=0700", "--shell", "/bin/bash"]
    _run("useradd", *options, "--base-dir", str(homes), "--comment", person, name)


def first_passwords(names: list[str], state: Path) -> dict[str, str]:
    """A new password for each name, written down in `state` before anybody sets it.

    So a run that is interrupted leaves no user whose password nobody knows.
    """
    words = {name: "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(3)) for name in names}
    if words:
        opened = os.open(state / "passwords.csv", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "a", newline="") as file:
            csv.writer(file).writerows(words.items())
    return words


def _run(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        raise AccountError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _user_exists(name: str) -> bool:
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def _group_exists(name: str) -> bool:
    try:
        return bool(grp.getgrnam(name))
    except KeyError:
        return False


def _groups(name: str) -> set[str]:
    return {group.gr_name for group in grp.getgrall() if name in group.gr_mem}
