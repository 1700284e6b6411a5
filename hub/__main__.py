"""`python -m hub COMMAND`: put a class on this machine, run its hub, run a command as the course account."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from hub import installing, settings
from hub.accounts import AccountError
from hub.environment import InstallError


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hub", description=__doc__)
    parser.add_argument("--class", dest="file", type=Path, default=Path("class.toml"), help="(default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="users, environment, course folder and exchange; changes only what is new")
    run = commands.add_parser("run", help="install, then run the hub until it is interrupted")
    run.add_argument("--containers", action="store_true", help="a container for each learner (hub/docker)")
    grader = commands.add_parser("nbgrader", help="run nbgrader as the course account: collect, autograde, export")
    grader.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    try:
        return _command(args)
    except (settings.ClassError, AccountError, InstallError) as error:
        print(error, file=sys.stderr)
        return 2


def _command(args: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        raise InstallError("the hub starts each learner's server as that learner, and so must be started by root: sudo")
    containers = args.command == "run" and args.containers
    if args.command != "nbgrader" and not containers:  # a container cannot write to the class's folder
        _first_files(args.file)
    the = settings.read(args.file)

    if args.command == "nbgrader":
        said = installing.as_account(the, "-m", "nbgrader", *args.arguments)
        print("".join(c if c.isprintable() or c == "\n" else "?" for c in said), end="")  # names come from learners
        return 0
    if made := installing.install(the, shared=not containers):
        print(f"new users: {', '.join(made)}; their first passwords: {the.places.state / 'passwords.csv'}")
    return _run(the, args.file, "docker/" if containers else "") if args.command == "run" else 0


def _first_files(path: Path) -> None:
    """A class of nobody but its instructor, to start from."""
    if path.exists():
        return
    path.write_text(settings.FIRST, encoding="utf-8")
    roster = path.with_name("roster.csv")
    if not roster.exists():
        roster.write_text(settings.FIRST_ROSTER, encoding="utf-8")
    print(f"wrote {path} and {roster}: name your class there, then run this again")


def _leave_the_terminal() -> None:
    """Learners' servers inherit these three files: none of them may be root's terminal, which could be read."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if not (os.isatty(1) or os.isatty(2)):
        return
    source, sink = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the last who writes
        os.dup2(source, 0)
        os.close(sink)
        os.execvp("cat", ["cat", "-v"])  # -v: nor may they send it control sequences
    os.close(source)
    os.dup2(sink, 1)
    os.dup2(sink, 2)


def _run(the: settings.Class, file: Path, kind: str) -> int:
    """Become the hub, from root's own copy of everything."""
    places = the.places
    env = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "HOME") if name in os.environ}
    env["PATH"] = f"{places.prefix}/env/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env["PYTHONPATH"] = str(places.prefix)
    env["COURSEKIT_CLASS"] = str(file.resolve())
    os.chdir(places.state)
    os.umask(0o022)
    # Started in the background, a shell lets it ignore interrupts, and with it the services that it stops by them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"the hub is at {the.address}", flush=True)
    if (urlsplit(the.address).port or 80) >= 1024:
        print("on such a port a learner's program can stand in for the hub while it is down: below 1024 only root can")
    _leave_the_terminal()
    config = str(places.prefix / "hub" / f"{kind}jupyterhub_config.py")
    os.execve(places.python, [str(places.python), "-P", "-m", "jupyterhub", "-f", config], env)


if __name__ == "__main__":
    sys.exit(main())
