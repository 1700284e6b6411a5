"""What the checks of a notebook need of its demonstration cells."""

import nbformat
import pytest

from coursekit.checking.names import called, names_of
from coursekit.checking.needing import Cell, needs


def cells(*rows):
    """Rows are (source, whether it runs); a check cell is one that calls check."""
    return [Cell(names_of(source), runs, called(source, "check")[1]) for source, runs in rows]


def provided(*rows):
    return {i: [s.source for s in statements] for i, statements in needs(cells(*rows)).provided.items()}


CHECK = ('check("a.f", f)', True)


def test_a_demonstration_that_nobody_reads_does_not_run():
    assert provided(("x = 1", False), ("def f(): return 2", True), CHECK) == {}


def test_what_an_answer_reads_runs_and_what_that_needs_and_nothing_else():
    demonstration = "width = 3\nprint(width)\ng = make(width)\nother = slow()"
    assert provided((demonstration, False), ("def f(): return g", True), CHECK) == {0: ["width = 3", "g = make(width)"]}


def test_the_last_binding_above_the_check_counts():
    rows = (("g = 1", False), ("g = 2", False), ("def f(): return g", True), CHECK, ("g = 3", False))
    assert provided(*rows) == {1: ["g = 2"]}


def test_changes_in_place_come_along():
    assert provided(("g = []\ng.append(1)\ng[0] = 2\nh = g", False), ("def f(): return g", True), CHECK) == {
        0: ["g = []", "g.append(1)", "g[0] = 2"]
    }


def test_a_helper_of_the_learners_brings_what_it_reads():
    rows = (("g = 1", False), ("def helper(): return g", True), ("def f(): return helper()", True), CHECK)
    assert provided(*rows) == {0: ["g = 1"]}


def test_a_binding_of_the_learners_own_needs_no_demonstration():
    assert provided(("g = 1", False), ("g = 2", True), ("def f(): return g", True), CHECK) == {}


def test_a_name_that_is_bound_below_only_is_told():
    found = needs(cells(("def f(): return g", True), CHECK, ("g = 1", False)))
    assert found.late == {1: {"g": 2}}


def test_a_module_that_is_called_is_not_thereby_changed():
    rows = (("import torch", True), ("torch.manual_seed(0)", False), ("def f(): return torch", True), CHECK)
    assert provided(*rows) == {}


@pytest.mark.parametrize("slug", ["02_attention", "03_bert"])
def test_released_stubs_and_solutions_need_no_demonstration(root, slug):
    for folder in ("course", "solutions"):
        notebook = nbformat.read(root / folder / slug / f"{slug}.ipynb", as_version=4)
        rows = []
        for cell in notebook.cells:
            graded = "nbgrader" in cell.metadata or {"setup", "parameters"} & set(cell.metadata.get("tags", ()))
            if cell.cell_type == "code":
                rows.append((cell.source, bool(graded)))
        assert provided(*rows) == {}
