"""`python -m grader COMMAND`: what authors and instructors run."""

from __future__ import annotations

import argparse
import os
import sys

from grader.authoring.cli import add_commands
from grader.grading.cli import add_commands as add_grading_commands


def _gate(args: argparse.Namespace) -> int:
    from grader.proving import gate

    tally = gate.run(args.exercises or None, gate.SECRET[: args.seeds], args.device, args.jobs)
    for failure in tally.failures:
        print(failure)
    print(tally.line())
    return 1 if tally.failures else 0


def _tensors(args: argparse.Namespace) -> int:
    from grader.proving import tensors

    for path in tensors.write():
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m grader", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    gate = commands.add_parser("gate", help="prove that every mistake is rejected and every right answer accepted")
    gate.add_argument("exercises", nargs="*", metavar="ID", help="exercise ids; all of them by default")
    gate.add_argument("--seeds", type=int, default=20, help="how many secret seeds (default: %(default)s)")
    gate.add_argument("--device", default="cpu", help="where the learner's code runs (default: %(default)s)")
    gate.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    gate.set_defaults(run=_gate)
    tensors = commands.add_parser("tensors", help="write the public reference tensors")
    tensors.set_defaults(run=_tensors)
    add_commands(commands)
    add_grading_commands(commands)
    args = parser.parse_args(argv)
    return args.run(args) or 0


if __name__ == "__main__":
    sys.exit(main())
