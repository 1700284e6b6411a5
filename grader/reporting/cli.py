"""`python -m grader report`: what did my class misunderstand?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    report = commands.add_parser("report", help="what a class misunderstood, what has changed, what nobody can name")
    report.add_argument("assignment", metavar="ASSIGNMENT")
    report.add_argument("--html", type=Path, metavar="FILE", help="a page that needs nothing else")
    report.add_argument("--csv", type=Path, metavar="FILE", help="a row for each learner and exercise")
    report.add_argument("--anonymous", action="store_true", help="no name of a learner anywhere")
    report.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from grader.reporting.collecting import NothingGraded, gather

    try:
        gathered = gather(Path.cwd(), args.assignment)
        return _written(args, gathered)
    except NothingGraded as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or args.assignment}: {error.strerror or error}", file=sys.stderr)
    return 2


def _written(args: argparse.Namespace, gathered) -> int:
    from grader.reporting.page import html_text
    from grader.reporting.sheet import csv_text
    from grader.reporting.summarising import summarise
    from kernelkit.files import replace

    summary = summarise(gathered, args.anonymous)
    if args.html:
        replace(args.html, html_text(summary).encode())
    if args.csv:
        # With the mark by which Excel knows UTF-8.
        replace(args.csv, csv_text(gathered, args.anonymous).encode("utf-8-sig"))
    if args.html or args.csv:
        print("written:", *(path for path in (args.html, args.csv) if path))
        return 0
    from rich.console import Console

    from grader.reporting.table import show

    show(summary, Console())
    return 0
