"""Results and the integrity log: nothing is half there, damage is noticed."""

import nbformat
import pytest

from grader.grading import integrity
from grader.grading.store import Graded, Store

KEY = "ab" * 32
GRADED = Graded(KEY, nbformat.v4.new_notebook(), {"one-check": 2.0}, flags=("a flag",), mistakes={"one": "slip"})


def test_a_result_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    assert store.get(KEY) is None
    store.put(GRADED)
    assert store.get(KEY) == GRADED


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b.replace(b"2.0", b"9.0"), lambda b: b"", lambda b: b"x\ny"]
)
def test_a_damaged_entry_is_noticed_and_removed(tmp_path, damage):
    store = Store(tmp_path)
    store.put(GRADED)
    [path] = tmp_path.rglob("*.json")
    path.write_bytes(damage(path.read_bytes()))
    assert store.get(KEY) is None
    assert not path.exists()


def test_an_entry_under_another_key_does_not_count(tmp_path):
    store = Store(tmp_path)
    store.put(GRADED)
    [path] = tmp_path.rglob("*.json")
    other = "cd" * 32
    (tmp_path / "cd").mkdir()
    path.rename(tmp_path / "cd" / f"{other}.json")
    assert store.get(other) is None


def test_the_log_keeps_one_entry_for_each_attempt(tmp_path):
    integrity.write(tmp_path, "a", "s", "k1", ("tried this",))
    integrity.write(tmp_path, "a", "s", "k1", ("tried this",))
    integrity.write(tmp_path, "a", "s", "k2", ())
    integrity.write(tmp_path, "a", "s", "k3", ("tried that",))
    assert [entry["key"] for entry in integrity.read(tmp_path)] == ["k1", "k3"]


def test_half_a_line_spoils_no_other(tmp_path):
    integrity.write(tmp_path, "a", "s", "k1", ("one",))
    with integrity.path(tmp_path).open("a") as file:
        file.write('{"time": "20')
    integrity.write(tmp_path, "a", "s", "k2", ("two",))
    assert [entry["key"] for entry in integrity.read(tmp_path)] == ["k1", "k2"]
