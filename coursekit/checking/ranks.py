"""What exercises on several ranks have in common: their results, and what they send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from coursekit.checking.contract import Law, Outputs
from coursekit.checking.laws import Count, as_measurements, none
from coursekit.checking.probing import Wrong, returned
from coursekit.world import World

WATCHED = "watched"  # the input of a case in which costs count
FLOAT32 = 4  # bytes
_ALIKE = 0.02  # two answers send alike where they send nearly as much


def on_each(results: Sequence[Any], name: str) -> Outputs:
    """`{"y on rank 0": ..., ...}` of what each rank returned. Raises Wrong where one is no tensor."""
    found = {}
    for rank, value in enumerate(results):
        try:
            found[f"{name} on rank {rank}"] = returned(value, name)
        except Wrong as wrong:
            raise Wrong(f"on rank {rank} {wrong}") from wrong
    return found


def apart(results: Sequence[Tensor]) -> int:
    """How many ranks hold other bits than rank 0; NaN is NaN."""
    first = results[0]
    return sum(not _equal(x, first) for x in results[1:])


def _equal(one: Tensor, other: Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and bool(((one == other) | (one.isnan() & other.isnan())).all())


def one_by_one(call: Callable[[Any], Any], given: Iterable[Any]) -> list[Any]:
    """What each call returns. Raises Wrong where a later one changes what an earlier one returned."""
    results, copies = [], []
    for x in given:
        results.append(call(x))
        copies.append(tree_map_only(Tensor, torch.clone, results[-1]))
    pairs = zip(tree_leaves(results), tree_leaves(copies), strict=True)
    if any(isinstance(a, Tensor) and not _equal(a, b) for a, b in pairs):
        raise Wrong("the second call changes what the first one returned: give each call a result of its own")
    return results


def traffic(
    world: World, enough: float | Sequence[float], messages: float | None = None, least: float = 0.0
) -> dict[str, float]:
    """What `SENDS`, `MESSAGES`, `TOO_LITTLE` and `READ` look at.

    Of the rank that is furthest above what is `enough` for it (one number for all, or one for each): what it sends, and
    what is enough. And what all send together, of which `least` is needed. Numbers are counted and not bytes, so that
    the dtype has no part in it. A message or a collective counts that has no number, too.
    """
    mine = [[m for m in world.messages if m.sender == rank] for rank in range(world.size)]
    numbers = [sum(m.numbers for m in sent) for sent in mine]
    limits = enough if isinstance(enough, Sequence) else [enough] * world.size
    sent, limit = max(zip(numbers, limits, strict=True), key=lambda pair: pair[0] - pair[1])
    return {
        "sent": sent,
        "enough": limit,
        "evenness": min(numbers) / max(*numbers, 1),
        # Two numbers may travel as one of twice their width.
        "all_sent": sum(max(m.numbers, m.bytes // FLOAT32) for sent in mine for m in sent),
        "least": least,
        "unread": world.unread,
        # A measurement is finite: where messages are not limited there is none.
        **({} if messages is None else {"messages": max(map(len, mine)), "messages_enough": messages}),
    }


def at_most(name: str, of: str, says: str, when: str = WATCHED, beside: tuple[str, ...] = ()) -> Law:
    """A cost: the measurement `name` is at most the measurement `of`. It explains no wrong value."""
    return Count(
        *(name, says, when),
        lambda n, limit, p: n > limit,
        lambda one, other: abs(one[0] - other[0]) <= _ALIKE * max(one[0], other[0]),
        of,
        beside=beside,
        of_costs=True,
    )


# Where a case is WATCHED.
SENDS = at_most("sent", "enough", "a rank sends {n:.0f} numbers in all, and {of:.0f} are enough", beside=("evenness",))
MESSAGES = at_most("messages", "messages_enough", "a rank sends {n:.0f} messages, and {of:.0f} are enough")
TOO_LITTLE = Count(
    "all_sent",
    "all ranks together send {n:.0f} numbers, and without {of:.0f} nobody can know the result: messages are the only "
    "way from one rank's memory to another's",
    WATCHED,
    lambda n, least, p: n < least,
    lambda one, other: abs(one[0] - other[0]) <= _ALIKE * max(one[0], other[0]),
    "least",
    of_costs=True,
)
SAME_BITS = Count(
    "apart",
    "{n:.0f} ranks hold other bits than rank 0: work each number out on one rank, and send it on",
    WATCHED,
    lambda n, of, p: n > 0,
    lambda one, other: one == other,
    of_costs=True,
)
# In each case.
READ = none("unread", "{n:.0f} messages were sent that nobody received")


def measured(like: Tensor, **numbers: float) -> Outputs:
    """`as_measurements`, on the device of `like`."""
    return as_measurements(numbers, like.device)
