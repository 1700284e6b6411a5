"""Put a class on this machine: environment, course folder, exchange. Run again after a change, it changes only that."""

from __future__ import annotations

import csv
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from hub import accounts, environment
from hub.environment import InstallError
from hub.settings import Class

ROOT = Path(__file__).parents[1]
_COURSE_PARTS = ("solutions", "course", "nbgrader_config.py")


def install(the: Class) -> list[str]:
    """Everything that a hub for this class needs; the names of the users that were made."""
    os.umask(0o022)
    places = the.places
    for folder in (places.prefix, places.course.parent, places.exchange.parent, places.run):
        _open_folder(folder)
    places.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = accounts.ensure(the)
    environment.make(ROOT, places.prefix / "env")
    _programs(the)
    _course(the)
    _exchange(the)
    (places.run / "warm").mkdir(mode=0o755, exist_ok=True)
    _gradebook(the)
    return made


def _open_folder(folder: Path) -> None:
    """Make a folder of root's that everybody can enter. Raises InstallError where a parent is closed."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise InstallError(f"{parent} is closed to other users (chmod o+x it, or choose another place)")


def _programs(the: Class) -> None:
    """What the hub runs, what each kind of user is configured with, and the grader, which only the account reads."""
    prefix = the.places.prefix
    for name in ("hub", "etc"):
        shutil.rmtree(prefix / name, ignore_errors=True)
    shutil.copytree(
        ROOT / "hub", prefix / "hub", ignore=shutil.ignore_patterns("proxy", "etc", "labextension", "__pycache__")
    )
    shutil.copytree(ROOT / "hub" / "etc", prefix / "etc")
    extension = prefix / "env" / "share" / "jupyter" / "labextensions" / "coursekit-home"
    shutil.rmtree(extension, ignore_errors=True)
    shutil.copytree(ROOT / "hub" / "labextension", extension)
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
    """The course account's folder. Sources and releases are brought up to date; submissions and grades stay."""
    course, owner = the.places.course, pwd.getpwnam(the.account)
    course.mkdir(mode=0o750, parents=True, exist_ok=True)
    for name in _COURSE_PARTS:
        source, target = ROOT / name, course / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        else:
            shutil.copy(source, target)
    home = course.parent / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    for path in (course, home, *(p for name in _COURSE_PARTS for p in [course / name, *(course / name).rglob("*")])):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    course.chmod(0o750)


def _exchange(the: Class) -> None:
    """nbgrader's folders, with sticky bits: in a folder that all can write to, nobody can move another's things.

    Submissions lie in `inbound`, which learners can enter and write to, but not list.
    """
    owner = pwd.getpwnam(the.account)
    course = the.places.exchange / the.course
    modes = {
        the.places.exchange: 0o1777,
        course: 0o755,
        course / "outbound": 0o755,
        course / "inbound": 0o3733,
        course / "feedback": 0o711,
    }
    for folder, mode in modes.items():
        folder.mkdir(exist_ok=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.chmod(mode)


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
    done = subprocess.run(
        [str(places.python), "-P", *arguments],
        cwd=places.course,
        env=env,
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise InstallError(f"{' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
