"""`python -m grader gate` and `python -m grader tensors`: what an author runs after changing an exercise."""

from __future__ import annotations

import argparse
import os
import sys


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add gate and tensors to the command line's subcommands."""
    gate = commands.add_parser("gate", help="prove that every mistake is rejected and every right answer accepted")
    gate.add_argument("--all", action="store_true", help="mistakes on all secret seeds, and nothing is remembered")
    gate.add_argument("--turn", type=int, choices=range(1, 5), help="the mistakes' seeds of this turn, not of the day")
    gate.add_argument("--device", default="cpu", help="where right answers run (default: %(default)s)")
    gate.set_defaults(run=_gate)
    tensors = commands.add_parser("tensors", help="write the public reference tensors")
    tensors.set_defaults(run=_tensors)
    for command in (gate, tensors):
        command.add_argument("exercises", nargs="*", metavar="ID", help="exercise ids; all of them by default")
        command.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")


def _gate(args: argparse.Namespace) -> int:
    from coursekit.checking.store import StoreError
    from coursekit.exercises import UnknownExercise
    from grader.proving import gate, memory

    seeds, where = (gate.EVERY, None) if args.all else (gate.seeds_of(args.turn), memory.folder())
    try:
        found = gate.run(args.exercises, seeds, args.device, args.jobs, where, lambda line: print(line, flush=True))
    except (UnknownExercise, gate.Unready, StoreError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join([*found.tally.failures, *(f"warning: {told}" for told in found.warnings()), found.line()]))
    return 1 if found.tally.failures else 0


def _tensors(args: argparse.Namespace) -> int:
    from coursekit.checking.store import StoreError
    from coursekit.exercises import UnknownExercise
    from grader.proving import tensors

    try:
        written = tensors.write(args.exercises, jobs=args.jobs)
    except (UnknownExercise, StoreError, RuntimeError) as error:  # the last: a reference that fails, with its line
        print("; ".join(str(error).splitlines()), file=sys.stderr)
        return 2
    for path in written:
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return 0
