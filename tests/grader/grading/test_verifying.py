"""Bytes from a kernel that may lie become a verdict; secret cases decide and tell nothing of themselves."""

import json

import pytest
import torch

from coursekit.checking.handover import Handed, dump
from coursekit.checking.observing import observe
from coursekit.exercises import find
from grader.exercises import trusted
from grader.grading import secret
from grader.grading.verifying import known, verify

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
