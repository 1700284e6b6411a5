"""Public reference tensors survive the trip to disk and back."""

import pytest
import torch

from coursekit.checking import store
from coursekit.checking.contract import Case
from coursekit.checking.drawing import scattered
from coursekit.checking.judging import KnownMistake
from coursekit.checking.observing import Outcome

ID = "attention.sdpa"


@pytest.fixture
def known():
    x = scattered(torch.arange(6.0).reshape(2, 3))
    case = Case("values", "a case", {"x": x, "dim": -1, "causal": True})
    wrong = KnownMistake(
        "negated", "The sign is wrong.", (Outcome({"Y": -x, "_size": torch.tensor(6)}, changed=("x",)),)
    )
    raising = KnownMistake("raises", "It raises.", (Outcome(None, kind="RuntimeError: no"),))
    blind = KnownMistake("blind", "It is right here.", (Outcome({"Y": x.clone()}),))
    return store.Known((case,), ({"Y": x},), (wrong, raising, blind))


@pytest.fixture
def reloaded(known, tmp_path):
    (tmp_path / "02_attention.safetensors").write_bytes(store.dump({ID: known}))
    return store.load(ID, tmp_path)


def test_inputs_keep_values_order_and_layout(known, reloaded):
    before, after = known.cases[0].inputs, reloaded.cases[0].inputs
    assert list(after) == ["x", "dim", "causal"]
    assert (after["dim"], after["causal"]) == (-1, True)
    assert torch.equal(before["x"], after["x"])
    assert before["x"].stride() == after["x"].stride()


@pytest.mark.parametrize(
    "x",
    [torch.arange(12)[::3], torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[1:], torch.arange(3.0).expand(2, 3)],
    ids=["gaps", "another order, and gaps", "rows that share their memory"],
)
def test_inputs_lie_in_memory_as_they_did(x, known, tmp_path):
    case = Case("values", "a case", {"x": x})
    (tmp_path / "02_attention.safetensors").write_bytes(store.dump({ID: store.Known((case,), ({},), ())}))
    after = store.load(ID, tmp_path).cases[0].inputs["x"]
    assert torch.equal(after, x)
    assert (after.stride(), after.dtype) == (x.stride(), x.dtype)


def test_mistakes_keep_their_outputs(reloaded):
    outcome = reloaded.mistakes[0].outcomes[0]
    assert torch.equal(outcome.outputs["Y"], -reloaded.expected[0]["Y"])
    assert outcome.changed == ("x",)


def test_mistakes_that_raise_keep_their_kind(reloaded):
    outcome = reloaded.mistakes[1].outcomes[0]
    assert outcome.outputs is None
    assert outcome.kind == "RuntimeError: no"


def test_a_mistake_that_raises_where_only_laws_judge_keeps_its_kind(known, tmp_path):
    raising = KnownMistake("raises", "It raises.", (Outcome(None, kind="RuntimeError: no"),))
    only_laws = store.Known(known.cases, ({},), (raising,))
    (tmp_path / "02_attention.safetensors").write_bytes(store.dump({ID: only_laws}))
    assert store.load(ID, tmp_path).mistakes[0].outcomes[0].kind == "RuntimeError: no"


def test_mistakes_that_are_right_on_a_case_give_what_is_right(reloaded):
    outcome = reloaded.mistakes[2].outcomes[0]
    assert list(outcome.outputs) == ["Y"]
    assert torch.equal(outcome.outputs["Y"], reloaded.expected[0]["Y"])
    assert (outcome.kind, outcome.changed) == ("", ())


def test_the_same_content_gives_the_same_bytes(known):
    assert store.dump({ID: known}) == store.dump({ID: known})


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(store.StoreError, match="reinstall coursekit"):
        store.load(ID, tmp_path)


def test_a_damaged_file_is_told(tmp_path, known):
    (tmp_path / "02_attention.safetensors").write_bytes(store.dump({ID: known})[:50])
    with pytest.raises(store.StoreError, match="cannot be read"):
        store.load(ID, tmp_path)


def test_a_file_without_the_exercise_is_told(tmp_path, known):
    (tmp_path / "02_attention.safetensors").write_bytes(store.dump({"attention.other": known}))
    with pytest.raises(store.StoreError, match="make tensors"):
        store.load(ID, tmp_path)
