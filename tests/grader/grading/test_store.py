"""Results and the integrity log: nothing is half there, damage is noticed."""

import hashlib
import json
from dataclasses import replace

import nbformat
import pytest

from grader.grading import integrity
from grader.grading.store import KEY as SHOWN
from grader.grading.store import Graded, Outline, Store, shown_key

KEY = "ab" * 32
GRADED = Graded(KEY, nbformat.v4.new_notebook(), {"one-check": 2.0}, flags=("a flag",), mistakes={"one": "slip"})
OUTLINED = {
    "one": Outline(1.0, 2.0, "slip", "Do not slip.", (("values", "out differs"), ("gradients", "dx is missing"))),
    "two": Outline(0.0, 3.0, not_started=True),
}


def test_a_result_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    assert store.get(KEY) is None
    store.put(GRADED)
    assert store.get(KEY) == GRADED


def test_outlines_come_back_as_they_were(tmp_path):
    store, graded = Store(tmp_path), replace(GRADED, exercises=OUTLINED)
    store.put(graded)
    assert store.get(KEY) == graded
    assert store.brief(KEY) == replace(graded, notebook={})


def test_a_result_of_before_outlines_were_kept_is_read(tmp_path):
    store = Store(tmp_path)
    store.put(GRADED)
    [path] = tmp_path.rglob("*.json")
    fields = json.loads(path.read_bytes().split(b"\n", 1)[1])
    del fields["exercises"]
    body = json.dumps(fields).encode()
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert store.get(KEY) == GRADED
    assert store.brief(KEY).mistakes == GRADED.mistakes


def test_a_damaged_entry_is_left_to_the_grader_by_who_only_looks(tmp_path):
    store = Store(tmp_path)
    store.put(GRADED)
    [path] = tmp_path.rglob("*.json")
    path.write_bytes(path.read_bytes()[:-9])
    assert store.brief(KEY) is None
    assert path.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"metadata": {}}', f'{{"metadata": {{"{SHOWN}": 3}}}}'])
def test_a_notebook_that_shows_no_result_has_no_key(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    assert shown_key(tmp_path / "a.ipynb") is None
    assert shown_key(tmp_path / "missing.ipynb") is None


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
