"""Which names a cell binds and reads, found without running it."""

import pytest

from coursekit.checking.names import LIMIT, MOST, called, names_of, ours


@pytest.mark.parametrize(
    ("source", "binds", "now", "later"),
    [
        ("def f(x: T):\n    return x + g", {"f"}, {"T"}, {"g"}),
        ("class A(B):\n    w = 3\n    v = w\n    def f(self): return h(w)", {"A"}, {"B"}, {"h", "w"}),
        ("split, merge = use('a.b', f, g)", {"split", "merge"}, {"use", "f", "g"}, set()),
        ("x = x + 1", {"x"}, {"x"}, set()),
        ("x = 1\ny = x", {"x", "y"}, set(), set()),
        ("for i in range(3):\n    total += i", {"i", "total"}, set(), set()),
        ("[k * c for k in row]", set(), {"c", "row"}, set()),
        ("import math as m\nfrom a import b", {"m", "b"}, set(), set()),
        ("def f():\n    global n\n    n = 1", {"f", "n"}, set(), set()),
        ("%matplotlib inline\nfiles = !ls\nprint(len(data))", {"files"}, {"data"}, set()),
        ("%%timeit\ny = f(x)", {"y"}, {"f", "x"}, set()),
        ("await asyncio.sleep(0)", set(), {"asyncio"}, set()),
    ],
)
def test_names_are_told_apart_by_when_they_are_read(source, binds, now, later):
    found = names_of(source)
    assert (found.binds, found.now, found.later, found.problem) == (binds, now, later, "")


def test_a_cell_that_is_no_python_says_why_and_what_it_means_to_define():
    found = names_of("def softmax(x, dim)\n    return x\nclass B:\n    pass\ny = 1")
    assert found.problem.startswith("SyntaxError in line 1")
    assert found.binds == {"softmax", "B", "y"}


@pytest.mark.parametrize(
    "text", ["(" * LIMIT, "-" * LIMIT + "1", "x=1\n" * (MOST + 1), "{" * LIMIT, "x = 1\n" + " " * LIMIT]
)
def test_a_cell_that_is_too_large_or_too_deep_is_not_taken_apart(text):
    assert names_of(text).statements == ()


def test_a_released_call_means_coursekits_function_whatever_a_variable_is_called():
    scope = {"check": 3, "coursekit": None, "f": len}
    with pytest.raises(TypeError, match="not callable"):
        exec('check("attention.softmax", f)', dict(scope))
    verdict = eval(ours('check("no.exercise", f)'), dict(scope))
    assert "no exercise is called" in verdict.refused


def test_the_names_that_a_check_is_given_are_found():
    assert called('import x\ncheck("attention.heads", split_heads, merge_heads)', "check") == (
        "attention.heads",
        ("split_heads", "merge_heads"),
    )
    assert called("print(1)", "check") == ("", ())
