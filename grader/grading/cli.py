"""`python -m grader grade` and `python -m grader integrity`: what an instructor runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grader.grading import integrity
from grader.grading.names import printable
from kernelkit import sandbox

if TYPE_CHECKING:
    from grader.grading.batch import Line
    from grader.grading.running import Runner


def add_commands(commands: argparse._SubParsersAction) -> None:
    grade = commands.add_parser("grade", help="grade submissions, several at once, and write the gradebook")
    grade.add_argument("assignment", metavar="ASSIGNMENT")
    grade.add_argument("--student", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    grade.add_argument("--jobs", type=_positive, default=1, help="submissions at once (default: %(default)s)")
    grade.add_argument("--scheduler", default="", metavar="ADDRESS", help="a Dask scheduler, tls://HOST:PORT")
    for name in ("ca", "cert", "key"):
        grade.add_argument(f"--tls-{name}", default="", metavar="FILE", help="for tls://; else Dask's configuration")
    grade.add_argument("--force", action="store_true", help="grade again what has been graded")
    grade.add_argument("--unprotected", action="store_true", help="without a sandbox; every result is marked so")
    grade.set_defaults(run=_grade)
    log = commands.add_parser("integrity", help="what was tried, in plain words")
    log.add_argument("assignment", nargs="?", metavar="ASSIGNMENT")
    log.add_argument("--student", metavar="NAME")
    log.set_defaults(run=_integrity)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"found {number}, expected 1 or more")
    return number


def _grade(args: argparse.Namespace) -> int:
    unprotected = args.unprotected or bool(os.environ.get("NBGRADER_UNPROTECTED"))
    if not unprotected and (why := sandbox.missing()):
        return _stop(f"{why}. To grade without protection all the same: --unprotected")
    from grader.grading.running import Runner, other_copy

    with Runner(unprotected) as runner:
        if not args.scheduler:
            runner.start()  # it imports for seconds, and so does this process
            if why := other_copy():
                return _stop(why)
        return _graded(args, runner)


def _graded(args: argparse.Namespace, runner: Runner) -> int:
    from traitlets import TraitError

    from grader.grading import batch
    from grader.grading.cluster import Scheduler
    from grader.grading.course import Course

    scheduler = Scheduler(args.scheduler, args.tls_ca, args.tls_cert, args.tls_key) if args.scheduler else None
    if scheduler and scheduler.warning:
        print(scheduler.warning, file=sys.stderr)
    try:
        course = Course.here(runner.unprotected)
        folders = course.submissions(args.assignment, args.student)
        if not folders:
            return _stop(f"no submission of {args.assignment} in {course.root}: run `nbgrader collect` first")
        work = course.batch(args.assignment, args.force)
        with contextlib.closing(course), _Progress(len(folders)) as progress:
            lines = batch.run(work, folders, runner, args.jobs, scheduler, progress.advance)
    except (LookupError, OSError, ValueError, RuntimeError, TraitError) as error:
        return _stop(str(error))
    except KeyboardInterrupt:
        return _stop("stopped: nothing is lost, the same command goes on from here", 130)
    _table(lines, integrity.path(course.root))
    return 1 if any(line.status == "failed" for line in lines) else 0


def _stop(sentence: str, status: int = 2) -> int:
    print(sentence, file=sys.stderr)
    return status


class _Progress:
    """A bar with the time that is left; plain lines where there is no terminal."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console()
        columns = (
            TextColumn("grading"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}", markup=False),  # a name from outside
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("", total=total, last="")
        self._total, self._done = total, 0

    def __enter__(self) -> _Progress:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.__exit__(*error)

    def advance(self, line: Line) -> None:
        self._done += 1
        name = printable(line.student)
        self._bar.update(self._task, advance=1, last=f"{name}: {line.status}")
        if not self._console.is_terminal:
            print(f"{self._done}/{self._total} {name}: {line.status}, {line.points:g} points", flush=True)


def _table(lines: list[Line], log: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"graded": "green", "flagged": "yellow", "failed": "red"}
    table = Table("student", "points", "status", "reason")
    for line in sorted(lines, key=lambda line: line.student):
        points = "" if line.status == "failed" else f"{line.points:g} of {line.possible:g}"
        # Text, not markup: names and reasons come from outside.
        told = printable(line.told[:200])
        table.add_row(Text(printable(line.student)), points, Text(line.status, colours[line.status]), Text(told))
    count = {status: sum(line.status == status for line in lines) for status in colours}
    console = Console()
    console.print(table)
    console.print(", ".join(f"{n} {status}" for status, n in count.items()), highlight=False)
    if count["flagged"]:
        console.print(f"what was tried: {log}, or `python -m grader integrity`", highlight=False, soft_wrap=True)


def _integrity(args: argparse.Namespace) -> int:
    entries = integrity.read(Path.cwd())
    for entry in entries:
        if args.assignment in (None, entry["assignment"]) and args.student in (None, entry["student"]):
            print(f"{entry['time']}  {printable(entry['assignment'])}  {printable(entry['student'])}")
            for flag in entry["flags"]:
                print(f"    {printable(flag)}")
    return 0
