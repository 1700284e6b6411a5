"""What the checks of a notebook need: which statements of demonstration cells, and which names come too late.

A learner may call what the chapter's own cells have made (`split`, `merge`). Who grades runs those statements too, and
what they need in turn, and nothing else of the demonstrations: they may take minutes. Light, as `names` is.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from coursekit.checking.names import Names, Statement


@dataclass(frozen=True)
class Cell:
    """One code cell, in its notebook's order. One that `runs` is run as a whole; of others what is needed.

    `checks` are the names that it hands to a check, where it is a check cell.
    """

    names: Names
    runs: bool
    checks: tuple[str, ...] = ()


@dataclass
class Needs:
    """`provided`: statements to be run in a cell's place, by its number.

    By the number of a check cell, `late` are the names that are bound further down only, and where; `reached` are the
    cells that run of which something is needed.
    """

    provided: dict[int, tuple[Statement, ...]] = field(default_factory=dict)
    late: dict[int, dict[str, int]] = field(default_factory=dict)
    reached: dict[int, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Item:
    """A cell that runs, or one statement of another."""

    cell: int
    binds: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]
    surely: bool
    statement: Statement | None


def needs(cells: Sequence[Cell]) -> Needs:
    """What the checks among `cells` need of those that do not run, and what they read that is defined further down."""
    search = _Search(cells)
    found = Needs()
    for number, cell in enumerate(cells):
        if cell.checks:
            late, opened = search.check(cell.checks, search.first[number])
            if late:
                found.late[number] = late
            found.reached[number] = frozenset(search.items[place].cell for place in opened)
    provided: dict[int, list[Statement]] = defaultdict(list)
    for place in sorted(search.wanted):
        item = search.items[place]
        if item.statement:
            provided[item.cell].append(item.statement)
    found.provided = {number: tuple(statements) for number, statements in provided.items()}
    return found


class _Search:
    """From a check backwards to who bound each name last, and to what that reads."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.items: list[_Item] = []
        self.first: list[int] = []  # a cell's first item
        for number, cell in enumerate(cells):
            self.first.append(len(self.items))
            if cell.runs:
                self.items.append(_Item(number, cell.names.binds, cell.names.now, cell.names.later, True, None))
            else:
                self.items += [
                    _Item(number, s.binds | s.alters, s.now, s.later, s.surely, s) for s in cell.names.statements
                ]
        self._binders: dict[str, list[int]] = defaultdict(list)
        modules = {name for cell in cells for s in cell.names.statements for name in _imported(s)}
        for place, item in enumerate(self.items):
            for name in item.binds:
                if name not in modules or not item.statement or name in item.statement.binds:
                    self._binders[name].append(place)
        self.wanted: set[int] = set()

    def check(self, handed: Sequence[str], call: int) -> tuple[dict[str, int], set[int]]:
        """Want what the call at `call` needs; the names that are bound below only, and the items that it reaches."""
        late: dict[str, int] = {}
        seen: set[tuple[str, int]] = set()
        opened: set[int] = set()
        ahead = [(name, call) for name in handed]
        while ahead:
            name, before = pair = ahead.pop()
            if pair in seen:
                continue
            seen.add(pair)
            places = self._binders.get(name, ())
            above = bisect.bisect_left(places, before)
            if not above and places and before == call:
                late[name] = self.items[places[0]].cell
            for place in self._last(name, places, above):
                if place in opened:
                    continue
                opened.add(place)
                self.wanted.add(place)
                item = self.items[place]
                ahead += [(other, place) for other in item.now]
                ahead += [(other, call) for other in item.later]
        return late, opened

    def _last(self, name: str, places: Sequence[int], above: int) -> list[int]:
        """The last item that surely binds the name, and those after it that may bind or change it."""
        chosen = []
        for place in reversed(places[:above]):
            chosen.append(place)
            item = self.items[place]
            if item.surely and (item.statement is None or name in item.statement.binds):
                break
        return chosen


def _imported(statement: Statement) -> frozenset[str]:
    """A module that is called is not thereby changed."""
    return statement.binds if statement.source.startswith(("import ", "from ")) else frozenset()
