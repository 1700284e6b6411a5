"""The authoring commands of `python -m grader`: new, build, bundle, leaks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add new, build, bundle and leaks to the command line's subcommands."""
    new = commands.add_parser("new", help="begin an exercise: both halves, its test, its cells")
    new.add_argument("exercise", metavar="CHAPTER.EXERCISE", help="the id, as attention.heads")
    new.set_defaults(run=_new)
    build = commands.add_parser("build", help="make solutions/ and course/ from chapters/")
    build.add_argument("--check", action="store_true", help="write nothing; fail when a build would change a file")
    build.add_argument("--fresh", action="store_true", help="execute every chapter even when nothing has changed")
    build.set_defaults(run=_build)
    bundle = commands.add_parser("bundle", help="write the learner's tree, to be published")
    bundle.add_argument("out", nargs="?", type=Path, default=Path("dist/bundle"), help="folder (default: %(default)s)")
    bundle.set_defaults(run=_bundle)
    leaks = commands.add_parser("leaks", help="search what learners get for answers")
    leaks.add_argument("folders", nargs="*", type=Path, help="default: course/ and coursekit/")
    leaks.set_defaults(run=_leaks)


def _new(args: argparse.Namespace) -> int:
    from grader.authoring.starting import StartError, start

    root, id = Path.cwd(), args.exercise
    try:
        started = start(root, id)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    for path in started.files:
        print(f"{path.relative_to(root).as_posix()}: written")
    print(f"Put the cells below into {started.chapter.relative_to(root).as_posix()}, and the id at the same place in")
    print(f"the chapter's list. Write both halves, then `make tensors gate IDS={id}` and `make build`.\n")
    print(started.cells, end="")
    return 0


def _build(args: argparse.Namespace) -> int:
    from grader.authoring.building import build
    from grader.authoring.chapter import BuildError

    try:
        notes = build(Path.cwd(), check=args.check, fresh=args.fresh)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(notes or ["build: everything is up to date"]))
    if args.check and notes:
        print("run `make build` and commit solutions/ and course/", file=sys.stderr)
    return 1 if args.check and notes else 0


def _bundle(args: argparse.Namespace) -> int:
    from grader.authoring.bundling import BundleError, bundle

    try:
        files = bundle(Path.cwd(), args.out)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"bundle: {len(files)} files in {args.out}")
    return 0


def _leaks(args: argparse.Namespace) -> int:
    from grader.authoring.leaks import search

    root = Path.cwd()
    found = search(root, args.folders or [root / "course", root / "coursekit"])
    print("\n".join(map(str, found)) or "leaks: none")
    return 1 if found else 0
