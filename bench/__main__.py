"""`make bench`: what learners wait for. Prints one table; nothing here passes or fails."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import sys
import time
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


def main() -> None:
    os.environ["COURSEKIT_PROGRESS"] = "off"
    sys.stdout.reconfigure(line_buffering=True)
    with contextlib.redirect_stdout(io.StringIO()):  # the reports of the checks
        rows = check_latency()
    print(f"{'check of the right answer':<32} {'median ms':>10}")
    for exercise_id, ms in rows:
        print(f"{exercise_id:<32} {ms:>10.1f}")
    print(f"{'median over exercises':<32} {statistics.median(ms for _, ms in rows):>10.1f}")
    print(f"{'worst':<32} {max(ms for _, ms in rows):>10.1f}")
    from coursekit.exercises import chapters

    print(f"\n{'chapter':<20} {'profile':<8} {'seconds':>8} {'budget':>8} {'kernel peak MiB':>16}")
    for chapter in chapters():
        for profile in ("smoke", "fast"):
            seconds, memory = chapter_run(chapter.slug, profile)
            print(f"{chapter.slug:<20} {profile:<8} {seconds:>8.1f} {budget(chapter.slug, profile):>8} {memory:>16.0f}")
    from bench import bert, grading

    bert.main()
    grading.main()


if __name__ == "__main__":
    main()
