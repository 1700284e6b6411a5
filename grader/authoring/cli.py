"""The authoring commands of `python -m grader`: new, build, texts, bundle, leaks."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add new, build, texts, bundle and leaks to the command line's subcommands."""
    new = commands.add_parser("new", help="begin an exercise: both halves, its test, its cells")
    new.add_argument("exercise", metavar="CHAPTER.EXERCISE", help="the id, as attention.heads")
    new.set_defaults(run=_new)
    build = commands.add_parser("build", help="make solutions/ and course/ from chapters/")
    build.add_argument("--check", action="store_true", help="write nothing; fail when a build would change a file")
    build.add_argument("--fresh", action="store_true", help="execute every chapter even when nothing has changed")
    build.add_argument("--language", metavar="XX", help="make editions/XX/, with catalogues XX.po")
    build.set_defaults(run=_build)
    texts = commands.add_parser("texts", help="take out every text that a learner reads, for a translation")
    texts.add_argument("out", nargs="?", type=Path, default=Path("build/texts"), help="folder (default: %(default)s)")
    texts.set_defaults(run=_texts)
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
    from coursekit.language import CHOICE, NoCatalogue
    from grader.authoring.building import build
    from grader.authoring.chapter import BuildError

    if args.language:
        os.environ[CHOICE] = args.language  # for the kernels too
    try:
        notes = build(Path.cwd(), check=args.check, fresh=args.fresh)
    except (BuildError, NoCatalogue) as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(notes or ["build: everything is up to date"]))
    if args.check and notes:
        print("run `make build` and commit solutions/ and course/", file=sys.stderr)
    return 1 if args.check and notes else 0


def _texts(args: argparse.Namespace) -> int:
    from grader.authoring.texts import extract, write

    for name, found in extract(Path.cwd()).items():
        write(found, args.out / f"{name}.pot")
        print(f"texts: {len(found)} in {args.out / name}.pot")
    return 0


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
