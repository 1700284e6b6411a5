"""`python -m grader COMMAND`: what authors and instructors run."""

from __future__ import annotations

import argparse
import sys

from grader.authoring.cli import add_commands as add_authoring
from grader.grading.cli import add_commands as add_grading
from grader.proving.cli import add_commands as add_proving
from grader.reporting.cli import add_commands as add_reporting


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m grader", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for add_commands in (add_proving, add_authoring, add_grading, add_reporting):
        add_commands(commands)
    args = parser.parse_args(argv)
    return args.run(args) or 0


if __name__ == "__main__":
    sys.exit(main())
