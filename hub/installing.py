"""Put a class on this machine: environment, course folder, exchange. Run again after a change, it changes only that."""

from __future__ import annotations

import csv
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from hub import accounts, environment
from hub.environment import InstallError, closed
from hub.settings import Class

ROOT = Path(__file__).parents[1]
_COURSE_PARTS = ("solutions", "course", "nbgrader_config.py")


def install(the: Class, shared: bool = True) -> list[str]:
    """Everything that a hub for this class needs; the names of the users that were made.

    `shared` says that learners are users of this machine, and do not have containers.
    """
    os.umask(0o022)
    places = the.places
    if shared and not the.open_checkout:
        _closed_checkout()
    for folder in (places.prefix, places.course.parent, places.exchange.parent, places.run):
        _open_folder(folder)
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    accounts.ensure_course(the)
    made = accounts.ensure_people(the) if shared else []
    environment.make(ROOT, places.prefix / "env")
    _programs(the)
    _course(the)
    _exchange(the)
    (places.run / "warm").mkdir(mode=0o755, exist_ok=True)
    _gradebook(the)
    return made


def _closed_checkout() -> None:
    """Raises InstallError where learners could read the answers in the checkout from which this is run."""
    if not closed(ROOT):
        raise InstallError(f"learners can read {ROOT}, which holds the answers: chmod o-rwx {ROOT}")


def _open_folder(folder: Path) -> None:
    """Make a folder of root's that everybody can enter. Raises InstallError where a parent is closed."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if place := closed(folder):
        raise InstallError(f"{place} is closed to other users (chmod o+x it, or choose another place)")


def _programs(the: Class) -> None:
    """What the hub runs, what each kind of user is configured with, and the grader, which only the account reads."""
    prefix = the.places.prefix
    for name in ("hub", "etc"):
        shutil.rmtree(prefix / name, ignore_errors=True)
    shutil.copytree(ROOT / "hub", prefix / "hub", ignore=shutil.ignore_patterns("proxy", "etc", "__pycache__"))
    shutil.copytree(ROOT / "hub" / "etc", prefix / "etc")
    extension = prefix / "env" / "share" / "jupyter" / "labextensions" / "coursekit-home"
    shutil.rmtree(extension, ignore_errors=True)
    shutil.copytree(ROOT / "coursekit" / "home" / "labextension", extension)
    if not (prefix / "proxy" / "node_modules").exists() or _newer(ROOT / "hub/proxy/package-lock.json", prefix):
        shutil.rmtree(prefix / "proxy", ignore_errors=True)
        shutil.copytree(ROOT / "hub" / "proxy", prefix / "proxy", symlinks=True)
    instructor = prefix / "instructor"
    shutil.rmtree(instructor, ignore_errors=True)
    instructor.mkdir(mode=0o750)
    os.chown(instructor, 0, pwd.getpwnam(the.account).pw_gid)
    shutil.copytree(ROOT / "grader", instructor / "grader", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))


def _newer(lock: Path, prefix: Path) -> bool:
    installed = prefix / "proxy" / "package-lock.json"
    return not installed.exists() or installed.read_bytes() != lock.read_bytes()


def _course(the: Class) -> None:
    """The course account's folder. Sources and releases are brought up to date; submissions and grades stay.

    Root makes the folders in its own; what goes into them, the account puts there: it could have left links.
    """
    course, owner = the.places.course, pwd.getpwnam(the.account)
    for folder, mode in ((course, 0o750), (course.parent / "home", 0o700)):
        folder.mkdir(exist_ok=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        folder.chmod(mode)
    pack = ["tar", "-C", str(ROOT), "-c", "--exclude=.ipynb_checkpoints", *_COURSE_PARTS]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
        _run_as(the, "tar", "-C", str(course), "-x", "--no-same-owner", stdin=packed.stdout or subprocess.DEVNULL)
    if packed.returncode:
        raise InstallError(f"{ROOT} cannot be read")


def _exchange(the: Class) -> None:
    """nbgrader's folders, with sticky bits: in a folder that all can write to, nobody can move another's things.

    Submissions lie in `inbound`, which learners can enter and write to, but not list.
    """
    exchange, owner = the.places.exchange, pwd.getpwnam(the.account)
    exchange.mkdir(exist_ok=True)
    os.chown(exchange, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    exchange.chmod(0o1777)
    course = exchange / the.course
    if os.path.lexists(course) and course.lstat().st_uid != owner.pw_uid:
        raise InstallError(f"{course} belongs to user {course.lstat().st_uid}, expected {the.account}: move it away")
    for folder, mode in ((course, "755"), ("outbound", "755"), ("inbound", "3733"), ("feedback", "711")):
        _run_as(the, "mkdir", "-p", str(course / folder))
        _run_as(the, "chmod", mode, str(course / folder))


def _gradebook(the: Class) -> None:
    """Enter the roster in the gradebook, by nbgrader's own import, as the course account."""
    stamp = the.places.state / "roster"
    roster = repr((the.learners, (the.places.course / "gradebook.db").exists()))
    if not the.learners or (stamp.exists() and stamp.read_text() == roster):
        return
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "first_name", "last_name", "email"])
        writer.writerows((who.username, who.first_name, who.last_name, who.email) for who in the.learners)
        file.flush()
        os.chmod(file.name, 0o644)
        as_account(the, "-m", "nbgrader", "db", "student", "import", file.name)
    stamp.write_text(repr((the.learners, True)))


def as_account(the: Class, *arguments: str) -> str:
    """Run Python as the course account, in the course's folder; what it printed. Raises InstallError."""
    owner = pwd.getpwnam(the.account)
    places = the.places
    env = {
        "HOME": owner.pw_dir,
        "PATH": f"{places.prefix}/env/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{places.prefix}/instructor",
        "JUPYTER_CONFIG_PATH": f"{places.prefix}/etc/instructor",
        "NBGRADER_EXCHANGE": str(places.exchange),
        "NBGRADER_COURSE": the.course,
        "OMP_NUM_THREADS": "1",
    }
    return _run_as(the, str(places.python), "-P", *arguments, cwd=places.course, env=env)


def _run_as(
    the: Class,
    *command: str,
    stdin: int | IO = subprocess.DEVNULL,
    cwd: str | Path = "/",
    env: dict[str, str] | None = None,
) -> str:
    """Run a command as the course account, away from root's terminal; what it printed. Raises InstallError."""
    owner = pwd.getpwnam(the.account)
    done = subprocess.run(
        command,
        stdin=stdin,
        capture_output=True,
        text=True,
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        start_new_session=True,
        cwd=cwd,
        env=env,
    )
    if done.returncode:
        raise InstallError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
