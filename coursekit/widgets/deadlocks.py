"""Find the deadlock: small programs on three ranks; say what will happen, run them, and read the world's diagnosis."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import torch
from torch import Tensor

from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, whole
from coursekit.world import Deadlock, World
from coursekit.world.simulated import OutOfStep

GIVEN = (2.0, 3.0, -1.0)  # x of each rank
RIGHT, WRONG, WAITS, APART = "ends right", "ends wrong", "waits for ever", "out of step"


def outcomes() -> dict[str, str]:
    """What a program can do, as a learner reads it."""
    return {
        RIGHT: translated("it ends with the right values"),
        WRONG: translated("it ends with wrong values"),
        WAITS: translated("some rank waits for ever: a deadlock"),
        APART: translated("ranks call different collectives: out of step"),
    }


def first_send(comm, x):
    right, left = (comm.rank + 1) % 3, (comm.rank - 1) % 3
    comm.send(x, to=right)
    y = comm.recv(left)
    return y


def first_receive(comm, x):
    right, left = (comm.rank + 1) % 3, (comm.rank - 1) % 3
    y = comm.recv(left)
    comm.send(x, to=right)
    return y


def two_sums(comm, x):
    sums = {"a": x, "b": 10 * x}
    backwards = comm.rank == 1
    for name in sorted(sums, reverse=backwards):
        sums[name] = comm.all_reduce(sums[name])
    return sums["a"]


def only_for_the_log(comm, x):
    total = x
    if comm.rank == 0:
        total = comm.all_reduce(x)
        print(total)
    return total


def rows_and_sum(comm, x):
    if comm.rank == 2:
        rows = comm.all_gather(x)
        total = comm.all_reduce(x)
    else:
        total = comm.all_reduce(x)
        rows = comm.all_gather(x)
    return total + rows.sum()


def only_if_positive(comm, x):
    if x.sum() > 0:
        x = comm.all_reduce(x)
    return x


@dataclass(frozen=True)
class Program:
    """A program, what it is meant to return on each rank, and why it does what it does."""

    run: Callable[..., Tensor]
    meant: str
    values: Sequence[float]
    why: str

    @property
    def source(self) -> str:
        return inspect.getsource(self.run).rstrip()


_TOTAL = sum(GIVEN)
PROGRAMS = (
    Program(
        first_send,
        "Each rank wants the x of its left neighbour.",
        (GIVEN[-1], *GIVEN[:-1]),
        "A send puts its message down and goes on, so each message is there when somebody comes to fetch it. A library "
        "whose send waits for the receiver would hang here.",
    ),
    Program(
        first_receive,
        "Each rank wants the x of its left neighbour.",
        (GIVEN[-1], *GIVEN[:-1]),
        "Each rank waits for a message that its neighbour sends only afterwards, and the neighbours stand in a ring. "
        "Send first, or let one rank begin.",
    ),
    Program(
        two_sums,
        "Each rank wants the sum of all x.",
        (_TOTAL,) * 3,
        "Rank 1 goes through the names in another order, and so its b is added to the others' a. Calls and shapes fit, "
        "so nobody complains. Let all ranks go through names in one order.",
    ),
    Program(
        only_for_the_log,
        "Rank 0 wants the sum of all x, to print it; the others keep their own.",
        (_TOTAL, *GIVEN[1:]),
        "A collective needs every rank, and two of them never come. Let all ranks call it, and one rank print.",
    ),
    Program(
        rows_and_sum,
        "Each rank wants the sum of all x, twice.",
        (2 * _TOTAL,) * 3,
        "Each rank calls both collectives, but not in one order. Real networks do not compare the calls: they hang, or "
        "mix up the numbers. Call them in the same order everywhere.",
    ),
    Program(
        only_if_positive,
        "Each rank wants the sum of all x.",
        (_TOTAL,) * 3,
        "Whether a rank calls the collective hangs on its own x, and on one rank that is negative. With other data it "
        "would end. Decide by what is equal on all ranks, or sum first.",
    ),
)


def find_the_deadlock() -> None:
    """Display small programs on three ranks, with controls to choose one, to say what it will do, and to run it."""
    numbers = [(str(k), k) for k in range(1, len(PROGRAMS) + 1)]
    beside = {"description_width": "12em", "button_width": "3em"}
    program = ipywidgets.ToggleButtons(options=numbers, **labelled("program", style=beside))
    choices = [(told, name) for name, told in outcomes().items()]
    guess = ipywidgets.RadioButtons(options=choices, value=None, **labelled("what will happen"))
    run = ipywidgets.ToggleButton(False, description=translated("Run it"))

    def forget(_: Any) -> None:
        run.value = False

    def anew(_: Any) -> None:
        guess.value = None
        run.value = False

    program.observe(anew, names="value")  # before the page is drawn again
    guess.observe(forget, names="value")
    live(draw_program, {"program": program, "guess": guess, "run": run})


def draw_program(program: Any, guess: Any = None, run: Any = False) -> Page | Notice:
    """A program's source; once it is run, what it did beside the guess, the diagnosis and why. A Notice for bad values.

    Programs are numbered from 1, a guess is one of `outcomes`.
    """
    if whole(program) is None or not 1 <= program <= len(PROGRAMS):
        return Notice(f"There is no program {program!r}: choose a whole number from 1 to {len(PROGRAMS):d}.")
    if guess is not None and (not isinstance(guess, str) or guess not in outcomes()):
        return Notice(f"{guess!r} is nothing that a program can do here: choose one of {', '.join(outcomes())}.")
    chosen = PROGRAMS[int(program) - 1]
    data = ", ".join(f"{x:g}" for x in GIVEN)
    asked = [translated(f"x on ranks 0, 1 and 2: {data!s}."), translated(chosen.meant)]
    if not run:
        below = [translated("Choose what will happen, then run it.")]
        return _page(chosen.source, asked, [], "", below)
    if guess is None:
        return _page(chosen.source, asked, [], "", [translated("Choose first what will happen, then run it again.")])
    found, said, values = happens(chosen)
    told = outcomes()[found]
    verdict = translated(f"You were right: {told!s}." if guess == found else f"Not what you said: {told!s}.")
    return _page(chosen.source, asked, [verdict, *_returned(chosen, values)], said, [translated(chosen.why)])


def happens(program: Program) -> tuple[str, str, list[float]]:
    """What a program does on three ranks, the world's diagnosis, and what each rank returned."""
    try:
        results = World(len(GIVEN)).run(program.run, [torch.tensor(x) for x in GIVEN])
    except Deadlock as error:
        return WAITS, f"Deadlock: {error}", []
    except OutOfStep as error:
        return APART, f"OutOfStep: {error}", []
    values = [float(result) for result in results]
    return (RIGHT if values == list(program.values) else WRONG), "", values


def _returned(program: Program, values: list[float]) -> list[str]:
    """What each rank returned, beside what was meant."""
    if not values:
        return []
    found, right = (", ".join(f"{value:g}" for value in each) for each in (values, program.values))
    return [translated(f"Ranks 0, 1 and 2 return {found!s}; right would be {right!s}.")]


def _page(source: str, asked: list[str], verdict: list[str], said: str, below: list[str]) -> Page:
    """The program between what it is for and what became of it."""
    paragraphs = [
        "".join(f'<p style="margin:6px 0">{escape(one)}</p>' for one in part) for part in (asked, verdict, below)
    ]
    code, words = (_code(one) if one else "" for one in (source, said))
    html = f'<div style="max-width:800px">{paragraphs[0]}{code}{paragraphs[1]}{words}{paragraphs[2]}</div>'
    quoted = [f"`{one}`" for one in (source, said) if one]
    alt = "\n".join([*asked, *quoted[:1], *verdict, *quoted[1:], *below])
    return Page(html, alt)


def _code(text: str) -> str:
    look = "white-space:pre-wrap;margin:4px 0;padding:6px 10px;border-left:4px solid #0072B2"
    return f'<pre style="{look}"><code>{escape(text)}</code></pre>'
