"""Pipeline player: what each stage does when, how long it idles, and how many micro-batches it keeps, plan by plan.

The plans are the course's own, and so they are not here while an answer is graded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from coursekit.figures import COLOURS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole
from coursekit.world.schedules import BACKWARD, FORWARD, HALVES, WEIGHTS, WHOLE, Span, Timetable, timetable

MOST_STAGES, MOST_MICRO_BATCHES = 8, 16
CHUNKS = 2
ALL_FORWARD, ONE_ONE, INTERLEAVED, ZERO = "all forward first", "1F1B", "interleaved, two chunks", "zero bubble"
# The function that makes each plan, and how long its steps take: a chunk is half of a stage.
SCHEDULES: dict[str, tuple[str, Mapping[str, float]]] = {
    ALL_FORWARD: ("all_forward", WHOLE),
    ONE_ONE: ("one_f_one_b", WHOLE),
    INTERLEAVED: ("interleaved", {kind: time / CHUNKS for kind, time in WHOLE.items()}),
    ZERO: ("zero_bubble", HALVES),
}
# By the kind of step and the chunk: what is behind the number, and the number. Light, dark and middle in greyscale too.
LOOKS = {
    (FORWARD, 0): ("#FDE737", "black"),
    (FORWARD, 1): ("#FFF8C4", "black"),
    (BACKWARD, 0): ("#00224E", "white"),
    (BACKWARD, 1): ("#41618F", "white"),
    (WEIGHTS, 0): ("#A6A49C", "black"),
}
AHEAD = "#F1F1F1"  # what is not done yet
WIDE, DIGIT = 600, 7  # CSS pixels of the chart, and of a digit
LANE, BELOW = 0.34, 2.9  # inches


def play_the_pipeline() -> None:
    """Display a pipeline at work, with controls for stages, micro-batches, schedule and time."""
    stages = ipywidgets.IntSlider(4, 1, MOST_STAGES, **labelled("stages p"))
    micro_batches = ipywidgets.IntSlider(8, 1, MOST_MICRO_BATCHES, **labelled("micro-batches m"))
    options = [(translated(name), name) for name in SCHEDULES]
    schedule = ipywidgets.RadioButtons(options=options, value=ONE_ONE, **labelled("schedule"))
    ends = _ends(stages.value, micro_batches.value, schedule.value)
    position = ipywidgets.IntSlider(ends, 0, ends, **labelled("time"))

    def reach(_: Any) -> None:
        at_the_end = position.value == position.max
        position.max = _ends(stages.value, micro_batches.value, schedule.value)
        position.value = position.max if at_the_end else position.value

    for control in (stages, micro_batches, schedule):
        control.observe(reach, names="value")  # before the picture is drawn again
    live(
        draw_pipeline,
        {"stages": stages, "micro_batches": micro_batches, "schedule": schedule, "position": position},
    )


def draw_pipeline(stages: Any, micro_batches: Any, schedule: Any, position: Any) -> Page | Notice:
    """Who does what until the time `position`, idle shares and what is kept; a Notice for bad values.

    Behind the end it is the whole run.
    """
    if wrong := _wrong(stages, micro_batches, schedule, position):
        return Notice(wrong)
    try:
        tables = {name: run(int(stages), int(micro_batches), name) for name in SCHEDULES}
    except ImportError:
        return Notice("The plans come from the course's own pipeline, which is not here while an answer is graded.")
    return _page(Played(schedule, tables, int(micro_batches), min(float(position), tables[schedule].makespan)))


@functools.cache
def run(stages: int, micro_batches: int, schedule: str) -> Timetable:
    """The schedule on a clock on which F takes 1, B takes 2, or B and W take 1 each, and messages take no time.

    Raises ImportError where the plans are hidden.
    """
    name, seconds = SCHEDULES[schedule]
    make = getattr(importlib.import_module("coursekit.library.distributed.pipeline"), name)
    return timetable([make(stage, stages, micro_batches) for stage in range(stages)], seconds)


def _ends(stages: int, micro_batches: int, schedule: str) -> int:
    """The first whole number of units after which all is done."""
    with contextlib.suppress(ImportError):
        return math.ceil(run(stages, micro_batches, schedule).makespan)
    return 1


@dataclass(frozen=True)
class Played:
    """A schedule until the time `now`, beside the others."""

    schedule: str
    tables: dict[str, Timetable]
    m: int
    now: float

    @property
    def table(self) -> Timetable:
        return self.tables[self.schedule]

    @property
    def stages(self) -> range:
        return range(len(self.table.alive))

    @property
    def ended(self) -> bool:
        return self.now >= self.table.makespan

    @property
    def chunks(self) -> int:
        return 1 + max(span.chunk for span in self.table.spans)

    def of(self, stage: int) -> list[Span]:
        return [span for span in self.table.spans if span.stage == stage]

    def kept(self, stage: int) -> float:
        """How many micro-batches the stage keeps now: F has begun, and B, or W where there is one, has not ended."""
        mine = self.of(stage)
        last = WEIGHTS if any(span.kind == WEIGHTS for span in mine) else BACKWARD
        begun = sum(span.kind == FORWARD and span.began <= self.now for span in mine)
        return (begun - sum(span.kind == last and span.ended <= self.now for span in mine)) / self.chunks

    def doing(self, stage: int) -> str:
        """The step in which the stage is now; empty where it idles."""
        return next((_step(span) for span in self.of(stage) if span.began <= self.now < span.ended), "")


def _step(span: Span) -> str:
    return f"{span.kind}{span.micro_batch}" + "′" * span.chunk


def _page(played: Played) -> Page:
    title, told = _title(played), [_told_now(played), _told_beside(played)]
    drawn = picture(_drawn(played, title), " ".join([f"{title}.", *_described(played), *told]))
    below = "".join(f'<p style="margin:6px 0">{escape(sentence)}</p>' for sentence in told) + _table(played)
    return Page(f'<div style="max-width:800px">{drawn.html}{below}</div>', drawn.alt)


def _title(played: Played) -> str:
    table = played.table
    name = translated(played.schedule)
    return translated(
        f"{name!s}: all stages end after {table.makespan:g} units of time, and idle {table.idle:.0%} of it"
    )


def _told_now(played: Played) -> str:
    """What each stage is doing, or that all is done."""
    if played.ended:
        return translated(f"After {played.now:g} units all stages have ended. Move the time back to see them at work.")
    each = []
    for stage in played.stages:
        doing, kept = played.doing(stage), played.kept(stage)
        told = translated(f"stage {stage:d} does {doing!s}, keeps {kept:g}") if doing else ""
        each.append(told or translated(f"stage {stage:d} idles, keeps {kept:g}"))
    return translated(f"After {played.now:g} units: {'; '.join(each)!s}.")


def _told_beside(played: Played) -> str:
    """What 1F1B saves, and what it does not."""
    kept = max(played.tables[ONE_ONE].alive)
    if kept == played.m:
        return translated(
            f"1F1B idles as much as all forward first, and its first stage keeps all of {played.m:d} as well, since "
            f"there are no more micro-batches than stages."
        )
    return translated(
        f"1F1B idles as much as all forward first, and keeps at most {kept:g} micro-batches on a stage in place of "
        f"{played.m:d}. It saves memory, not time."
    )


def _described(played: Played) -> list[str]:
    """The chart and both panels below it in words."""
    plans = "; ".join(
        translated(f"stage {stage:d}: {' '.join(map(_step, played.of(stage)))!s}") for stage in played.stages
    )
    alive = ", ".join(f"{most:g}" for most in played.table.alive)
    others = "; ".join(
        translated(f"{translated(name)!s} idles {table.idle:.0%}, keeps at most {max(table.alive):g}")
        for name, table in played.tables.items()
    )
    return [
        translated(f"The order of each stage: {plans!s}."),
        translated(f"The most micro-batches kept, by stage: {alive!s}."),
        translated(f"All schedules: {others!s}."),
    ]


def _table(played: Played) -> str:
    """Every schedule with its time, its idle share and what its fullest stage keeps; the one that is drawn is bold."""
    cell = "padding:1px 14px;text-align:left"
    names = ("schedule", "units of time", "idle", "most micro-batches kept on a stage")
    head = "".join(f'<th scope="col" style="{cell}">{escape(translated(name))}</th>' for name in names)
    rows = ""
    for name, table in played.tables.items():
        weight = ";font-weight:bold" if name == played.schedule else ""
        numbers = (f"{table.makespan:g}", f"{table.idle:.0%}", f"{max(table.alive):g}")
        first = f'<th scope="row" style="{cell}{weight or ";font-weight:normal"}">{escape(translated(name))}</th>'
        rows += f"<tr>{first}" + "".join(f'<td style="{cell}{weight}">{one}</td>' for one in numbers) + "</tr>"
    return f'<table style="border-collapse:collapse;font-size:inherit"><tr>{head}</tr>{rows}</table>'


def _drawn(played: Played, title: str) -> Figure:
    """Time from left, stages from above; below the idle share of each schedule, and what each stage keeps."""
    lanes = LANE * max(len(played.stages), 2)
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, lanes + BELOW), layout="constrained")
        panels: Any = [["chart", "chart"], ["idle", "alive"]]
        axes = fig.subplot_mosaic(panels, height_ratios=(lanes + 0.4, 1.35))
        _draw_chart(axes["chart"], played)
        axes["chart"].set_title(title)
        _draw_idle(axes["idle"], played)
        _draw_alive(axes["alive"], played)
        handles = _handles(played)
        fig.legend(handles=handles, loc="outside lower center", ncols=3 if len(handles) > 4 else 4)
    return fig


def _draw_chart(ax: Any, played: Played) -> None:
    for stage in played.stages:
        mine = played.of(stage)
        lane = (stage - 0.42, 0.84)
        ahead = [(span.began, span.ended - span.began) for span in mine if span.ended > played.now]
        ax.broken_barh(ahead, lane, facecolors=AHEAD, edgecolors="white", linewidth=0.7)
        for (kind, chunk), (back, letters) in LOOKS.items():
            begun = [s for s in mine if (s.kind, s.chunk) == (kind, chunk) and s.began < played.now]
            done = [(span.began, min(span.ended, played.now) - span.began) for span in begun]
            ax.broken_barh(done, lane, facecolors=back, edgecolors="#5F5F5F", linewidth=0.5)
            for span, (began, time) in zip(begun, done, strict=True):
                if WIDE * time / played.table.makespan >= DIGIT * len(str(played.m - 1)) + 2:  # room for any number
                    look: Any = {"ha": "center", "va": "center", "fontsize": 8, "color": letters}
                    ax.text(began + time / 2, stage, str(span.micro_batch), **look)
    if not played.ended:
        ax.axvline(played.now, color=COLOURS[2], linewidth=2)
    ax.set(xlim=(0, played.table.makespan), ylim=(len(played.stages) - 0.5, -0.5), xlabel="units of time")
    ax.set_yticks(played.stages, labels=[translated(f"stage {stage:d}") for stage in played.stages])
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)


def _draw_idle(ax: Any, played: Played) -> None:
    """The schedules' idle shares, on one scale for all numbers of stages and micro-batches."""
    for row, (name, table) in enumerate(played.tables.items()):
        ax.barh(row, table.idle, 0.7, color=_weight(name, played))
        ax.text(table.idle + 0.02, row, f"{table.idle:.0%}", va="center", fontsize=9)
    ax.set(xlim=(0, 1.12), ylim=(len(played.tables) - 0.5, -0.5), title="idle share of the time")
    ax.set_yticks(range(len(played.tables)), labels=[translated(name) for name in played.tables])
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)


def _draw_alive(ax: Any, played: Played) -> None:
    """The most that each stage keeps, what it keeps now, and all m, which is what all forward first keeps."""
    ax.bar(played.stages, played.table.alive, 0.7, color=COLOURS[1])
    for stage, most in enumerate(played.table.alive):
        ax.text(
            stage, most + (0.03 if played.ended else 0.1) * played.m, f"{most:g}", ha="center", va="bottom", fontsize=9
        )
    ax.axhline(played.m, color=COLOURS[0], linestyle="--", linewidth=1)
    if not played.ended:
        kept = [played.kept(stage) for stage in played.stages]
        ax.plot(played.stages, kept, **_NOW)
    ax.set(xlim=(-0.6, len(played.stages) - 0.4), ylim=(0, 1.4 * played.m), xlabel="stage")
    ax.set_title("most micro-batches kept")
    ax.set_xticks(played.stages)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.grid(axis="x", visible=False)


_NOW: dict[str, Any] = {
    "marker": "D",
    "linestyle": "",
    "color": COLOURS[2],
    "markeredgecolor": "white",
    "markersize": 7,
    "clip_on": False,
}


def _weight(name: str, played: Played) -> str:
    return COLOURS[1] if name == played.schedule else "#BBBBBB"


def _handles(played: Played) -> Sequence[Any]:
    """The kinds of steps that this schedule has, and the lines below."""
    halves = any(span.kind == WEIGHTS for span in played.table.spans)
    names = {(FORWARD, 0): "F forward", (BACKWARD, 0): "B backward"}
    if halves:
        names |= {(BACKWARD, 0): "B gradient of the input", (WEIGHTS, 0): "W gradients of the weights"}
    if played.chunks > 1:
        names = {
            (FORWARD, 0): "F forward, first chunk",
            (FORWARD, 1): "F forward, second chunk",
            (BACKWARD, 0): "B backward, first chunk",
            (BACKWARD, 1): "B backward, second chunk",
        }
    patches: list[Any] = [
        Patch(facecolor=LOOKS[key][0], edgecolor="#5F5F5F", label=translated(name)) for key, name in names.items()
    ]
    every = Line2D([], [], color=COLOURS[0], linestyle="--", linewidth=1, label=translated("all m micro-batches"))
    now = [] if played.ended else [Line2D([], [], **_NOW, label=translated("kept now"))]
    return [*patches, every, *now]


def _wrong(stages: Any, micro_batches: Any, schedule: Any, position: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if whole(stages) is None or not 1 <= stages <= MOST_STAGES:
        return f"A pipeline of {stages!r} stages does not work here: choose a whole number from 1 to {MOST_STAGES}."
    if whole(micro_batches) is None or not 1 <= micro_batches <= MOST_MICRO_BATCHES:
        return (
            f"{micro_batches!r} micro-batches do not work here: choose a whole number from 1 to {MOST_MICRO_BATCHES}."
        )
    if not isinstance(schedule, str) or schedule not in SCHEDULES:
        return f"{schedule!r} is no schedule: choose one of {'; '.join(SCHEDULES)}."
    if not number(position, 0, math.inf):
        return f"The time {position!r} does not work here: choose a number from 0."
    return ""
