"""`make bench`: what learners, authors and instructors wait for. Prints tables; nothing here passes or fails."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATS = 7


def check_latency() -> list[tuple[str, float]]:
    """Median milliseconds of one `check` on the reference answer, by exercise."""
    from coursekit.checking.checks import check
    from coursekit.exercises import chapters
    from grader.exercises import trusted

    rows = []
    for exercise_id in (e for chapter in chapters() for e in chapter.exercises):
        objects = trusted(exercise_id).reference
        check(exercise_id, *objects)  # the first call also loads code
        rows.append(
            (
                exercise_id,
                statistics.median(_milliseconds(check, exercise_id, *objects) for _ in range(REPEATS)),
            )
        )
    return rows


def chapter_run(slug: str, profile: str) -> tuple[float, float]:
    """Seconds to execute a solution notebook, and its kernel's peak memory in MiB."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "solutions" / slug / f"{slug}.ipynb", as_version=4)
    peak = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    notebook.cells.append(nbformat.v4.new_code_cell(peak))
    started = time.perf_counter()
    client = NotebookClient(notebook, timeout=600, kernel_name="python3")
    client.execute(env=os.environ | {"COURSEKIT_PROFILE": profile})
    return time.perf_counter() - started, float(notebook.cells[-1].outputs[0].text)


def budget(slug: str, profile: str) -> int:
    """The seconds that a chapter may take on two quiet cores; in "fast" it may take longer where it trains."""
    trains = "torch.optim" in (ROOT / "chapters" / f"{slug}.py").read_text(encoding="utf-8")
    return 25 if profile == "smoke" else 240 if trains else 120


def _milliseconds(function, *args) -> float:
    started = time.perf_counter()
    function(*args)
    return 1000 * (time.perf_counter() - started)


def checks() -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # the reports of the checks
        rows = check_latency()
    print(f"{'check of the right answer':<32} {'median ms':>10}")
    for exercise_id, ms in rows:
        print(f"{exercise_id:<32} {ms:>10.1f}")
    print(f"{'median over exercises':<32} {statistics.median(ms for _, ms in rows):>10.1f}")
    print(f"{'worst':<32} {max(ms for _, ms in rows):>10.1f}")


def notebooks() -> None:
    from coursekit.exercises import chapters

    print(f"\n{'chapter':<20} {'profile':<8} {'seconds':>8} {'budget':>8} {'kernel peak MiB':>16}")
    for chapter in chapters():
        for profile in ("smoke", "fast"):
            seconds, memory = chapter_run(chapter.slug, profile)
            print(f"{chapter.slug:<20} {profile:<8} {seconds:>8.1f} {budget(chapter.slug, profile):>8} {memory:>16.0f}")


def _module(name: str) -> Callable[[], None]:
    """The bench in a module of this folder, imported when it runs."""
    return lambda: importlib.import_module(f"bench.{name}").main()


# By name: what it measures, and how. Those of `BY_NAME_ONLY` need more than this checkout.
BENCHES = {
    "checks": ("one check of the right answer, by exercise", checks),
    "notebooks": ("a chapter's notebook, in both profiles", notebooks),
    "core": ("chapter 1's epoch, byte pairs and reverse mode beside others'", _module("core")),
    "bert": ("chapter 3's loops beside transformers'", _module("bert")),
    "gpt": ("chapter 4's training and writing beside transformers'", _module("gpt")),
    "distributed": ("chapter 5's data parallelism and shards beside torch's, on two processes", _module("distributed")),
    "grading": ("grading a class, beside stock nbgrader", _module("grading")),
    "hub": ("how many learners a hub serves; as root, after `make hub-setup`", _module("hub")),
}
BY_NAME_ONLY = {"hub"}


def parser() -> argparse.ArgumentParser:
    """The command line: names of benches."""
    told = "\n".join(f"  {name:<12} {what}" for name, (what, _) in BENCHES.items())
    form = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(prog="python -m bench", description=f"{__doc__}\n\n{told}", formatter_class=form)
    by_name = ", ".join(BY_NAME_ONLY)
    made.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure; by default all but {by_name}")
    return made


def main(argv: list[str] | None = None) -> None:
    """Run the benches that are named. Ends with a sentence where a name is unknown."""
    arguments = parser()
    names = arguments.parse_args(argv).names or [name for name in BENCHES if name not in BY_NAME_ONLY]
    if unknown := [name for name in names if name not in BENCHES]:
        arguments.error(f"no bench is called {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    os.environ["COURSEKIT_PROGRESS"] = "off"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for name in names:
        BENCHES[name][1]()


if __name__ == "__main__":
    main()
