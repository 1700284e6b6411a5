"""docs/exercises.md shows one whole exercise of each kind: every block passes the gate."""

import re
from pathlib import Path

import pytest
import torch

from coursekit.checking import store
from coursekit.checking.checks import verdict_on
from grader.drawing import draw, known_mistakes
from grader.proving.proof import stubs
from grader.proving.seeds import PUBLIC, SECRET

TEXT = (Path(__file__).parents[2] / "docs" / "exercises.md").read_text(encoding="utf-8")
KINDS = {
    title: block
    for title, block in re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", TEXT, re.M | re.S)
    if "EXERCISE" in block
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    space = {"__name__": "example"}
    exec(compile(KINDS[request.param], request.param, "exec"), space)
    return space["EXERCISE"], space["TRUSTED"]


@pytest.fixture(params=[PUBLIC, *SECRET[:2]], ids=["public", "secret", "another"])
def known(request, kind):
    exercise, trusted = kind
    drawn = draw(exercise, trusted, request.param)
    return store.Known(drawn.cases, drawn.expected, tuple(known_mistakes(exercise, trusted, drawn.cases)))


def test_every_kind_is_shown():
    assert len(KINDS) == TEXT.count("\n## ") == 13


def test_right_answers_get_full_marks(kind, known):
    exercise, trusted = kind
    for objects in (trusted.reference, *trusted.alternatives.values(), exercise.library):
        verdict = verdict_on(exercise, objects, known, CPU)
        assert verdict.full, verdict.text()


def test_mistakes_lose_marks_and_are_named(kind, known):
    exercise, trusted = kind
    verdicts = {m.name: verdict_on(exercise, m.objects, known, CPU) for m in trusted.mistakes}
    assert not [name for name, verdict in verdicts.items() if verdict.full]
    assert {name: verdict.mistake for name, verdict in verdicts.items()} == {name: name for name in verdicts}


def test_the_stub_is_told_as_such(kind, known):
    exercise, _ = kind
    if exercise.signatures[0].is_value:
        pytest.skip("a value has no stub that raises")
    verdict = verdict_on(exercise, stubs(exercise), known, CPU)
    assert verdict.not_started
    assert not verdict.earned


def test_what_is_known_is_kept_in_a_file(kind, known, tmp_path, monkeypatch):
    exercise, _ = kind
    (tmp_path / "00_example.safetensors").write_bytes(store.dump({exercise.id: known}))
    monkeypatch.setattr(store, "chapter_of", lambda id: type("Chapter", (), {"slug": "00_example"}))
    again = store.load(exercise.id, tmp_path)
    assert [case.label for case in again.cases] == [case.label for case in known.cases]
    assert verdict_on(exercise, exercise.library, again, CPU).full
