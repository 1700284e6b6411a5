"""`check` and `use`: what a learner is told."""

import pytest
import torch
import torch.nn.functional as F

from coursekit.checking import checks
from coursekit.checking.checks import check, use
from coursekit.exercises import find
from coursekit.record.scores import known_scores

ID = "attention.sdpa"


def right(Q, K, V):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1) @ V


def test_a_right_answer_earns_every_point():
    verdict = check(ID, right)
    assert (verdict.earned, verdict.possible, verdict.full) == (2, 2, True)


def test_the_text_form_is_the_points_alone():
    assert repr(check(ID, right)) == "2"


def test_a_known_mistake_is_named():
    verdict = check(ID, lambda Q, K, V: torch.softmax(Q @ K.mT, -1) @ V)
    assert verdict.earned == 0
    assert "not scaled" in verdict.advice


def test_an_unknown_mistake_is_described():
    verdict = check(ID, lambda Q, K, V: right(Q, K, V) + 1)
    assert verdict.mistake == ""
    assert "differs in 90 of 90 entries" in verdict.text()


def test_right_values_with_a_cut_gradient_earn_the_values():
    verdict = check(ID, lambda Q, K, V: right(Q.detach(), K, V))
    assert verdict.earned == 1
    assert "no gradient reaches Q" in verdict.text()


def test_the_untouched_stub_is_told_as_not_started():
    def stub(Q, K, V):
        raise NotImplementedError

    verdict = check(ID, stub)
    assert (verdict.earned, verdict.not_started) == (0, True)
    assert "NotImplementedError" in verdict.text()


def test_prints_and_warnings_cost_no_marks(capfd):
    def noisy(Q, K, V):
        import sys
        import warnings

        print("scores", Q.shape)
        print("careful", file=sys.stderr)
        warnings.warn("slow", stacklevel=1)
        return right(Q, K, V)

    verdict = check(ID, noisy)
    assert verdict.full
    assert "careful" in verdict.printed
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        ((None,), "was given None"),
        ((torch.nn.Linear,), "was given the class Linear, expected the function"),
        ((3,), "was given an object of type int"),
        ((torch.ones(2),), "pass the function itself"),
        ((lambda Q, K: Q,), "is called as scaled_dot_product_attention(Q, K, V)"),
        ((), "was given 0 objects, expected 1"),
        ((right, right), "was given 2 objects, expected 1"),
    ],
)
def test_a_bad_call_is_told_in_one_sentence(objects, told):
    verdict = check(ID, *objects)
    assert told in verdict.refused
    assert verdict.earned == 0


def test_a_function_where_a_class_is_wanted_is_told():
    assert "expected the class MultiHeadAttention(D, H)" in check("attention.multihead", right).refused


@pytest.mark.parametrize(
    ("exercise_id", "near"), [("attention.sdpaa", ID), ("", "core."), (None, "core."), (7, "core.")]
)
def test_an_unknown_id_is_told_with_near_ones_or_the_first(exercise_id, near):
    verdict = check(exercise_id, right)
    assert f"did you mean '{near}" in verdict.refused
    assert repr(verdict) == "0"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda Q, K, V: None, "it returned None (is there a return?)"),
        (lambda Q, K, V: (right(Q, K, V), 0), "it returned a tuple of 2"),
        (lambda Q, K, V: right(Q, K, V).numpy(), "it returned a ndarray"),
        (lambda Q, K, V: right(Q, K, V)[..., :1], "has shape (2, 3, 3, 1), expected (2, 3, 3, 5)"),
        (lambda Q, K, V: right(Q, K, V).half(), "has dtype float16, expected float32"),
        (lambda Q, K, V: right(Q, K, V).long(), "has dtype int64, expected float32"),
        (lambda Q, K, V: right(Q, K, V) / 0 * 0, "is NaN in 90 of 90 entries"),
        (lambda Q, K, V: right(Q, K.mul_(2), V), "changes its input K in place"),
        (lambda Q, K, V: right(Q, K, W), "NameError: name 'W' is not defined"),
    ],
)
def test_a_slip_is_told_as_such(answer, told):
    verdict = check(ID, answer)
    assert told in verdict.text()
    assert verdict.earned == 0


ODD = [
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "bfloat16"),
    *("complex32", "complex64", "uint16", "uint64", "bool"),
]


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental", "ignore:Casting complex values to real")
@pytest.mark.parametrize("dtype", ODD)
def test_an_answer_of_any_dtype_is_a_verdict(dtype):
    verdict = check(ID, lambda Q, K, V: right(Q, K, V).detach().to(getattr(torch, dtype)))
    assert verdict.earned == 0
    assert f"Y has dtype {dtype}, expected float32" in verdict.text()


@pytest.mark.parametrize(
    "made",
    [
        lambda Y: torch.zeros(Y.shape, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        lambda Y: torch.quantize_per_tensor(Y.detach().float(), 0.1, 10, torch.quint8),
        lambda Y: torch.nested.as_nested_tensor([Y.detach(), Y.detach()], layout=torch.jagged),
        lambda Y: Y.detach().to("meta"),
    ],
    ids=["float4", "quantised", "nested", "meta"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_that_is_none_of_the_ordinary_ones_is_a_verdict(made):
    assert check(ID, lambda Q, K, V: made(right(Q, K, V))).earned == 0


class Attends(find("attention.multihead").library[0]):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.batch_first = False


def test_a_module_whose_sequences_look_at_each_other_hears_so():
    assert (
        "the first sequence's Y changes when another sequence of the batch does"
        in check("attention.multihead", Attends).advice
    )


def test_a_module_that_errs_in_each_sequence_by_itself_does_not_hear_so():
    class Errs(find("attention.multihead").library[0]):
        def forward(self, X, allowed=None):
            return super().forward(X, allowed).tanh()

    assert "sequence" not in check("attention.multihead", Errs).advice


def test_a_module_that_keeps_its_first_input_hears_so():
    class Keeps(find("bert.embeddings").library[0]):
        def forward(self, ids, segments):
            self.first = getattr(self, "first", segments)
            return super().forward(ids, self.first.expand_as(ids) if len(self.first) == len(ids) else segments)

    assert "it keeps something from one call to the next" in check("bert.embeddings", Keeps).text()


def test_a_missing_reference_file_is_told_not_raised(monkeypatch, tmp_path):
    monkeypatch.setattr("coursekit.checking.store.FOLDER", tmp_path)
    assert "cannot be read" in check(ID, right).refused


def test_use_gives_the_learners_function_after_a_full_check():
    check(ID, right)
    assert use(ID, right) is right


def test_use_gives_the_library_after_a_failed_check(capsys):
    check(ID, right)
    check(ID, lambda Q, K, V: V)
    assert use(ID, right) is F.scaled_dot_product_attention
    assert "a library stands in" in capsys.readouterr().out


def test_use_gives_the_library_for_a_function_written_anew_since_its_check():
    check(ID, right)
    assert use(ID, lambda Q, K, V: V) is F.scaled_dot_product_attention


def test_use_with_another_number_of_objects_says_so_and_gives_the_library(capsys):
    split, merge = use("attention.heads", right)
    assert callable(split)
    assert callable(merge)
    assert "it was given 1 object, expected 2: split_heads, merge_heads" in capsys.readouterr().out
    check(ID, right)
    assert use(ID, right, right) is F.scaled_dot_product_attention


def stub(Q, K, V):
    raise NotImplementedError


@pytest.mark.parametrize("objects", [(stub,), (None,), (right, right), (3,)])
def test_a_stub_or_a_refused_check_is_no_try(objects, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path))
    check(ID, *objects)
    assert ID not in known_scores()
    check(ID, lambda Q, K, V: V)
    check(ID, *objects)
    assert known_scores()[ID].attempts == 1


@pytest.mark.parametrize(("answer", "devices"), [(lambda Q, K, V: V, ["cpu"]), (right, ["cpu", "cuda"])])
def test_only_an_answer_that_is_right_on_the_cpu_comes_to_a_gpu(monkeypatch, answer, devices):
    """On a GPU an index out of range ends all that the process does there, right answers to come among it."""
    asked, judged = [], checks.verdict_on

    def played(exercise, objects, known, device):
        asked.append(device.type)
        return judged(exercise, objects, known, torch.device("cpu"))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(checks, "verdict_on", played)
    check(ID, answer)
    assert asked == devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_check_runs_on_a_gpu():
    assert check(ID, right, device="cuda").full


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_an_answer_left_on_the_cpu_is_told_on_a_gpu():
    assert "is on cpu, expected cuda" in check(ID, lambda Q, K, V: right(Q, K, V).cpu(), device="cuda").text()


def test_a_right_answer_in_a_narrower_dtype_is_told_as_that_and_as_no_other_mistake():
    def in_loops(Q, K, V):
        Y = torch.zeros(*Q.shape[:-1], V.shape[-1])  # float32, whatever the inputs are
        for t in range(Q.shape[2]):
            Y[:, :, t] = right(Q[:, :, t : t + 1], K, V)[:, :, 0]
        return Y

    verdict = check(ID, in_loops, device="cpu")
    assert verdict.mistake == ""
    assert "has dtype float32, expected float64" in verdict.text()


def test_parts_that_are_skills_of_their_own_are_paid_for_by_themselves():
    def merge(Y):
        return Y.transpose(1, 2).flatten(2)

    assert check("attention.heads", lambda X, H: X.unflatten(-1, (H, -1)), merge).earned == 1
