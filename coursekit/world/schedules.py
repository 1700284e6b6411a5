"""Plans of a pipeline, run on a clock: when each stage does what, how long it idles, and what it keeps alive.

A plan is a stage's own list of steps, in order: `("F", i)` is the forward pass of micro-batch i, `("B", i)` its
backward pass. Where that is cut in two, `("B", i)` is the half for the gradient of the stage's input, and `("W", i)`
the one for the gradients of its weights. Where a stage holds several chunks of the model a step names its chunk,
`("F", i, chunk)`, and the model goes through chunk 0 of all stages, then through chunk 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from coursekit.world.baton import Deadlock

Plan = Sequence[Sequence[Any]]
FORWARD, BACKWARD, WEIGHTS = KINDS = ("F", "B", "W")
# Units of time: a backward pass is twice a forward one, and its halves are as long as one.
WHOLE = {FORWARD: 1.0, BACKWARD: 2.0}
HALVES = {FORWARD: 1.0, BACKWARD: 1.0, WEIGHTS: 1.0}


@dataclass(frozen=True)
class Span:
    """What a stage did on the clock, and when."""

    stage: int
    kind: str
    micro_batch: int
    began: float
    ended: float
    chunk: int = 0


@dataclass(frozen=True)
class Timetable:
    """All plans on one clock: what was done when, and when the last stage ended.

    `idle` is the share of the stages' time, from 0 to `makespan`, in which they did nothing. `alive` has, for each
    stage, the most micro-batches of which it kept something at one time (see `most_alive`).
    """

    spans: tuple[Span, ...]
    makespan: float
    idle: float
    alive: tuple[float, ...]


class Piece(NamedTuple):
    """One step by its place in the whole model: `part` counts the chunks of all stages in the model's order."""

    kind: str
    micro_batch: int
    part: int

    @property
    def named(self) -> str:
        return f"{self.kind}{self.micro_batch}"


def timetable(plans: Sequence[Plan], seconds: Mapping[str, float], message: float = 0.0) -> Timetable:
    """What happens when each stage does the steps of its plan, one after another, as soon as it can.

    `seconds` has the time of each kind of step, `message` is the time from one stage to the next. Raises Deadlock, with
    who waits for what, where stages wait for ever, and ValueError where the plans do not do the same work in orders
    that fit.
    """
    stages = [_pieces(plan, stage, len(plans)) for stage, plan in enumerate(plans)]
    last = _same_work(stages)
    if len(stages) > 1:
        _same_order(stages)
    spans = _run(stages, last, seconds, message)
    makespan, busy = max(span.ended for span in spans), sum(span.ended - span.began for span in spans)
    idle = 1 - busy / (makespan * len(plans)) if makespan else 0.0
    return Timetable(tuple(spans), makespan, idle, tuple(map(most_alive, plans)))


def most_alive(plan: Plan) -> float:
    """The most micro-batches that are between their F and their W, or their B where the plan has no W.

    A micro-batch in one of c chunks counts as 1/c.
    """
    steps = [_read(step) for step in plan]
    kinds, chunks = [kind for kind, *_ in steps], len({chunk for *_, chunk in steps})
    ends = WEIGHTS if WEIGHTS in kinds else BACKWARD
    now = most = 0
    for kind in kinds:
        now += (kind == FORWARD) - (kind == ends)
        most = max(most, now)
    return most / max(chunks, 1)


def _run(stages: Sequence[Sequence[Piece]], last: int, seconds: Mapping[str, float], message: float) -> list[Span]:
    """What is done when, stage by stage as far as each can go on. Raises Deadlock where none can."""
    n = len(stages)
    ended: dict[Piece, float] = {}
    spans: list[Span] = []
    clocks, places = [0.0] * n, [0] * n
    before = -1
    while len(spans) > before:
        before = len(spans)
        for stage, pieces in enumerate(stages):
            for piece in pieces[places[stage] :]:
                needed = _needs(piece, last)
                if not all(one in ended for one in needed):
                    break
                arrived = [ended[one] + (message if one.part % n != stage else 0.0) for one in needed]
                began = max(clocks[stage], *arrived, 0.0)
                clocks[stage] = ended[piece] = began + seconds[piece.kind]
                places[stage] += 1
                spans.append(Span(stage, piece.kind, piece.micro_batch, began, clocks[stage], piece.part // n))
    if len(spans) < sum(map(len, stages)):
        ahead = [pieces[place] if place < len(pieces) else None for pieces, place in zip(stages, places, strict=True)]
        raise Deadlock("; ".join(f"stage {stage} {_waits(piece, ended, last, n)}" for stage, piece in enumerate(ahead)))
    return spans


def _read(step: Sequence[Any]) -> tuple[str, int, int]:
    kind, micro_batch, *chunk = step
    return kind, micro_batch, chunk[0] if chunk else 0


def _pieces(plan: Plan, stage: int, stages: int) -> list[Piece]:
    """The steps of a stage. Raises ValueError for a kind that there is not, and for a step that comes twice."""
    found: dict[Piece, None] = {}
    for kind, micro_batch, chunk in map(_read, plan):
        piece = Piece(kind, micro_batch, chunk * stages + stage)
        if kind not in KINDS:
            raise ValueError(f"stage {stage} has a step of the kind {kind!r}, expected one of {', '.join(KINDS)}")
        if piece in found:
            raise ValueError(f"stage {stage} does {piece.named} twice")
        found[piece] = None
    return list(found)


def _same_work(stages: Sequence[Sequence[Piece]]) -> int:
    """The model's last part. Raises ValueError where a part leaves out what another one does."""
    done = {piece for pieces in stages for piece in pieces}
    if not done:
        raise ValueError("there is nothing to do: all plans are empty")
    n = len(stages)
    parts = n * (1 + max(piece.part for piece in done) // n)
    kinds = [kind for kind in KINDS if kind != WEIGHTS or any(piece.kind == WEIGHTS for piece in done)]
    for i in sorted({piece.micro_batch for piece in done}):
        for part in range(parts):
            if left := [kind for kind in kinds if (kind, i, part) not in done]:
                chunk = f" in chunk {part // n}" if parts > n else ""
                raise ValueError(f"stage {part % n} leaves out {left[0]}{i}{chunk}")
    return parts - 1


def _same_order(stages: Sequence[Sequence[Piece]]) -> None:
    """Raises ValueError where messages do not come in the order in which the next stage takes them."""
    orders: dict[tuple[str, int], list[int]] = {}
    for kind, i, part in (piece for pieces in stages for piece in pieces):
        orders.setdefault((kind, part), []).append(i)
    n = len(stages)
    for (kind, part), order in orders.items():
        before = orders.get((kind, part - 1), order)
        if kind != WEIGHTS and order != before:
            one, other = next(pair for pair in zip(before, order, strict=True) if pair[0] != pair[1])
            raise ValueError(
                f"stage {(part - 1) % n} does {kind}{one} where stage {part % n} does {kind}{other}: messages come in "
                "the order in which they are sent, so both have to take the micro-batches in one order"
            )


def _needs(piece: Piece, last: int) -> list[Piece]:
    """What has to be done before."""
    kind, i, part = piece
    if kind == FORWARD:
        return [Piece(FORWARD, i, part - 1)] if part > 0 else []
    if kind == BACKWARD:
        return [Piece(FORWARD, i, part), *([Piece(BACKWARD, i, part + 1)] if part < last else [])]
    return [Piece(BACKWARD, i, part)]


def _waits(piece: Piece | None, ended: Mapping[Piece, float], last: int, n: int) -> str:
    if piece is None:
        return "has ended"
    missing = next(one for one in _needs(piece, last) if one not in ended)
    if missing.part == piece.part:
        return f"cannot do {piece.named}, since its own {missing.named} comes later in its plan"
    return f"waits with {piece.named} for {missing.named} of stage {missing.part % n}"
