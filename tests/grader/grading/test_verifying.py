"""Bytes from a kernel that may lie become a verdict; secret cases decide and tell nothing of themselves."""

import json
from dataclasses import replace

import pytest
import torch

from coursekit.checking.handover import Handed, dump
from coursekit.checking.observing import Outcome, observe
from coursekit.exercises import find
from grader.exercises import trusted
from grader.grading import secret, verifying
from grader.grading.verifying import Broken, known, verify

ID = "attention.softmax"
SECRET = secret.drawn(ID, 7)
RIGHT = trusted(ID).reference[0]


def handed(function):
    """What a check cell would hand over for `function`."""
    cases = [*known(ID).cases, *SECRET.cases]
    return dump(Handed(tuple(observe(find(ID), (function,), case) for case in cases)))


def knows(x):
    """Whether `x` is one of the public inputs."""
    tensors = [case.inputs["x"] for case in known(ID).cases]
    return any(value.shape == x.shape and torch.equal(value.to(x.dtype), x) for value in tensors)


def told(verdict):
    return verdict.text() + verdict._repr_html_()


def test_the_right_answer_earns_everything_on_more_cases_than_the_notebook_has():
    verified = verify(ID, SECRET, handed(RIGHT))
    assert verified.verdict.full
    assert verified.flag == ""
    assert sum(part.cases for part in verified.verdict.parts) == len(known(ID).cases) + len(SECRET.cases)


def test_an_answer_from_a_table_earns_nothing_and_learns_which_case_it_was():
    verdict = verify(ID, SECRET, handed(lambda x, dim: RIGHT(x, dim) if knows(x) else torch.zeros_like(x))).verdict
    assert verdict.earned == 0
    assert "hidden case" in told(verdict)


def test_what_the_learners_code_says_on_secret_inputs_is_not_shown():
    def spies(x, dim):
        if knows(x):
            return RIGHT(x, dim)
        print("input", x)
        raise ValueError(f"the sum is {x.double().sum().item()!r}")

    verdict = verify(ID, SECRET, handed(spies)).verdict
    assert "it raises ValueError" in told(verdict)
    assert "the sum is" not in told(verdict)
    assert "input" not in told(verdict)


@pytest.mark.parametrize(
    "spell",
    [
        lambda y, n: torch.zeros(n),
        lambda y, n: y.flatten().index_fill(0, torch.tensor(n % y.numel()), 9.0).view_as(y),
        lambda y, n: y.flatten().index_fill(0, torch.arange(n % y.numel() + 1), torch.nan).view_as(y),
    ],
    ids=["the shape", "the place", "how many"],
)
def test_what_differs_on_secret_inputs_spells_none_of_them(spell):
    """Two answers that err in ways of their own, by an amount that depends on the input, hear the same."""

    def spies(more):
        def softmax(x, dim):
            return RIGHT(x, dim) if knows(x) else spell(RIGHT(x, dim), int(x.double().abs().sum()) % 50 + more)

        return softmax

    one, other = (verify(ID, SECRET, handed(spies(more))).verdict for more in (2, 3))
    assert not one.full
    assert told(one) == told(other)


def secretly(id, right, spell, more):
    """What is told of an answer that breaks a law on the hidden cases, by an amount that depends on the input."""
    drawn = secret.drawn(id, 7)
    public = len(known(id).cases)
    exercise = find(id)
    outcomes = [observe(exercise, (right,), case) for case in (*known(id).cases, *drawn.cases)]
    for i, case in enumerate(drawn.cases, public):
        first = next(x for x in case.inputs.values() if isinstance(x, torch.Tensor))
        outputs = outcomes[i].outputs
        assert outputs
        spell(outputs, case.inputs, int(first.double().nan_to_num(0, 0, 0).abs().sum()) % 50 + more)
    return verify(id, drawn, dump(Handed(tuple(outcomes)))).verdict


def weights_at_minus_infinity(outputs, inputs, n):
    outputs["A"][inputs["x"] == -torch.inf] = n * 1e-9


def values_of_empty_rows(outputs, inputs, n):
    outputs["Y"][~inputs["allowed"].any(-1).expand(outputs["Y"].shape[:-1])] = n * 1e-9


def largest_tensor(outputs, inputs, n):
    if inputs.get("watched") == "tensors":
        outputs["_largest"] += n * 10**9


def bytes_of_arrays(outputs, inputs, n):
    if inputs.get("watched") == "arrays":
        outputs["_bytes"] += n * 10**9


@pytest.mark.parametrize(
    ("id", "spell"),
    [
        ("attention.softmax", weights_at_minus_infinity),
        ("attention.empty_rows", values_of_empty_rows),
        ("attention.blockwise", largest_tensor),
        ("attention.blockwise", bytes_of_arrays),
    ],
)
def test_a_law_that_is_broken_on_secret_inputs_spells_none_of_them(id, spell):
    one, other = (secretly(id, trusted(id).reference[0], spell, more) for more in (2, 3))
    assert not one.full
    assert told(one) == told(other)
    assert "..." in told(one)


def test_expected_values_of_secret_cases_are_not_shown():
    verdict = verify(ID, SECRET, handed(lambda x, dim: RIGHT(x, dim) if knows(x) else RIGHT(x, dim) * 1.5)).verdict
    right = [RIGHT(case.inputs["x"], case.inputs["dim"]) for case in SECRET.cases]
    numbers = {f"{value:.3f}" for tensor in right for value in tensor.flatten()[:50].tolist()}
    findings = [finding for part in verdict.parts for finding in part.findings if finding.startswith("hidden")]
    assert findings
    assert not [number for number in numbers if number in " ".join(findings) and number not in ("0.000", "1.000")]


@pytest.mark.parametrize(
    "data",
    [b"", b"x" * 100, (1 << 60).to_bytes(8, "little") + b"{}", b"\x80\x04" + b"." * 90, handed(RIGHT)[:-10]],
    ids=["empty", "noise", "size", "pickle", "cut"],
)
def test_what_is_not_a_result_earns_nothing_and_is_flagged(data):
    verified = verify(ID, SECRET, data)
    assert verified.verdict.earned == 0
    assert ID in verified.flag


@pytest.mark.parametrize("entry", [{"dtype": "F32", "shape": [1 << 50], "data_offsets": [0, 8]}, {"dtype": "X"}, 3])
def test_a_header_that_lies_is_refused_before_anything_is_allocated(entry):
    header = {"0/out": entry, "__metadata__": {"coursekit": json.dumps({"outcomes": [], "refused": ""})}}
    head = json.dumps(header).encode()
    assert verify(ID, SECRET, len(head).to_bytes(8, "little") + head + bytes(8)).flag


def test_a_result_that_never_came_says_why():
    verdict = verify(ID, SECRET, None, "the kernel was killed").verdict
    assert (verdict.earned, verdict.refused) == (0, "the kernel was killed")


def test_other_submissions_get_other_inputs():
    first, second = (secret.drawn(ID, seed).cases[0].inputs["x"] for seed in (1, 2))
    assert first.shape != second.shape or not torch.equal(first, second)


def test_the_secret_is_made_once_and_is_its_owners(tmp_path):
    made = secret.course_secret(tmp_path)
    path = tmp_path / secret.STATE / "secret"
    assert secret.course_secret(tmp_path) == made == path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(b"short")
    with pytest.raises(RuntimeError, match="5 bytes, expected 32"):
        secret.course_secret(tmp_path)


CASES = (*known(ID).cases, *SECRET.cases)


def right_with(**notes):
    """The right answer's file, with other notes on every case."""
    outcomes = [replace(observe(find(ID), (RIGHT,), case), **notes) for case in CASES]
    return dump(Handed(tuple(outcomes)))


def failed_with(kind):
    """A file in which every case failed with a problem of that kind."""
    return dump(Handed(tuple(Outcome(None, f"{kind}: text", "a problem") for _ in CASES)))


def test_an_answer_that_cannot_be_compared_costs_that_exercise_and_is_flagged(monkeypatch):
    def fails(*_):
        raise RuntimeError("Promotion for Float8 Types is not supported")

    monkeypatch.setattr(verifying, "judge", fails)
    verified = verify(ID, SECRET, handed(RIGHT))
    assert (verified.verdict.earned, verified.verdict.refused) == (0, "what was handed over cannot be judged")
    assert (
        verified.flag == f"{ID}: {verified.verdict.refused}: RuntimeError: Promotion for Float8 Types is not supported"
    )


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu, torch.bool])
def test_an_answer_of_any_dtype_is_a_verdict(dtype):
    verdict = verify(ID, SECRET, handed(lambda x, dim: RIGHT(x, dim).to(dtype))).verdict
    assert verdict.earned == 0
    assert len(told(verdict)) < 20_000


def test_a_reference_that_fails_costs_no_learner_anything(monkeypatch):
    class Faulty:
        exercise, cases = SECRET.exercise, SECRET.cases

        @property
        def outputs(self):
            raise RuntimeError("the reference fails")

    with pytest.raises(Broken, match=f"{ID} cannot be graded: RuntimeError: the reference fails"):
        verify(ID, Faulty(), handed(RIGHT))


def test_only_inputs_of_the_case_can_have_been_changed():
    names = ("dim", *(f"{'x' * 50}{i}" for i in range(200)))
    assert "dim in place" in told(verify(ID, SECRET, right_with(changed=names)).verdict)
    assert "xxx" not in told(verify(ID, SECRET, right_with(changed=names)).verdict)
    assert verify(ID, SECRET, right_with(changed=names[1:])).verdict.full


def test_a_thousand_long_names_make_no_long_report():
    names = tuple(f"{i}{chr(39) * 2_000}" for i in range(20))
    assert len(verify(ID, SECRET, right_with(changed=names)).verdict._repr_html_()) < 20_000


@pytest.mark.parametrize("kind", ["X12345", "sum_is_seventeen", "x" * 3_000])
def test_an_exception_of_a_hidden_case_has_no_name_that_the_learner_made_up(kind):
    said = [f for part in verify(ID, SECRET, failed_with(kind)).verdict.parts for f in part.findings]
    hidden = [finding for finding in said if finding.startswith("hidden")]
    assert hidden
    assert not [finding for finding in hidden if kind[:6] in finding]


@pytest.mark.parametrize("kind", ["ValueError", "KeyError", "OutOfMemoryError"])
def test_an_exception_of_pythons_or_torchs_is_told_by_its_name(kind):
    said = [f for part in verify(ID, SECRET, failed_with(kind)).verdict.parts for f in part.findings]
    assert [f for f in said if f.startswith("hidden") and f.endswith(f"it raises {kind}")]
