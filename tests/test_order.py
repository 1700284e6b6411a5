"""What takes longest comes first; a notebook's cells stay together, in their order."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import NOTEBOOK, minutes, pytest_collection_modifyitems


def item(name, *marks, path="test_any.py"):
    found = {mark.name: mark for mark in marks}
    groups = []
    return SimpleNamespace(
        name=name, path=Path(path), get_closest_marker=found.get, add_marker=groups.append, groups=groups
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (item("quick"), 0),
        (item("slow", pytest.mark.slow.mark), 1),
        (item("slower", pytest.mark.slow(5).mark), 5),
        (item("Cell 0", path="03_bert.ipynb"), NOTEBOOK),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_mark_says_how_many_minutes(made, expected):
    assert minutes(made) == expected


def test_the_longest_come_first_and_equals_stay_in_order():
    items = [item("a"), item("b", pytest.mark.slow(2).mark), item("c"), item("d", pytest.mark.slow(9).mark)]
    items += [item("Cell 0", path="x.ipynb"), item("Cell 1", path="x.ipynb")]
    pytest_collection_modifyitems(items)
    assert [each.name for each in items] == ["d", "Cell 0", "Cell 1", "b", "a", "c"]


def test_a_notebooks_cells_are_one_group():
    cells = [item("Cell 0", path="solutions/x/x.ipynb"), item("Cell 1", path="solutions/x/x.ipynb")]
    pytest_collection_modifyitems(cells)
    assert [each.groups[0].args for each in cells] == [("x",), ("x",)]
