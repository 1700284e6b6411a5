"""What an attention's weights tell where V is the identity, in answers that no known mistake explains."""

import pytest
import torch

from coursekit.checking.drawing import Shapes
from coursekit.checking.observing import observe_all
from coursekit.checking.symptoms import symptom
from coursekit.exercises import find

SDPA = find("attention.sdpa")


def attended(Q, K, V, *, scale=None, hidden=None, heads=None, step=0.0):
    heads = torch.arange(Q.shape[1]) // (Q.shape[1] // K.shape[1]) if heads is None else torch.tensor(heads)
    K, V = K[:, heads], V[:, heads]
    Z = Q @ K.mT * (Q.shape[-1] ** -0.5 if scale is None else scale) + step * torch.arange(K.shape[-2])
    return Z.masked_fill(torch.zeros_like(Z).bool() if hidden is None else hidden, -torch.inf).softmax(-1) @ V


def causal(T):
    return torch.ones(T, T, dtype=torch.bool).triu(1)


def said(right, wrong, V=None):
    case = Shapes("Q: B H T d, K: B G T d, V: B G T e").cases(torch.Generator().manual_seed(0))
    sizes = {"B": 1, "H": 4, "G": 2, "T": 5, "d": 9, "e": 5}
    cases = [case("values", V=torch.eye(5).expand(1, 2, 5, 5).contiguous() if V is None else V, **sizes)]
    expected = [outcome.outputs for outcome in observe_all(SDPA, (right,), cases)]
    return symptom(SDPA, cases, observe_all(SDPA, (wrong,), cases), expected)


def with_(**slips):
    return lambda Q, K, V: attended(Q, K, V, **slips)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        (with_(hidden=causal(5)), with_(), "query 0 takes from the value of key 1, which it must not see"),
        (with_(), with_(hidden=causal(5)), "query 0 takes nothing from the value of key 1, which it must see"),
        (with_(), with_(heads=[0, 1, 0, 1]), "query head 1 reads key head 1, expected 0"),
        (with_(), with_(scale=0.5), "the scores are 0.5 Q K^T, expected 0.3333 Q K^T"),
        (with_(step=0.25), with_(step=-0.5), "each step to a later key adds -0.5 to the score, expected 0.25"),
    ],
)
def test_what_is_wrong_with_the_weights_is_told(right, wrong, told):
    assert told in said(right, wrong)


@pytest.mark.parametrize(
    ("dim", "told"),
    [(-2, "does not sum to 1 along dimension -1, but along dimension -2"), (1, "does not sum to 1 along dimension -1")],
)
def test_rows_of_another_sum_are_told(dim, told):
    right = with_()
    wrong = lambda Q, K, V: (Q @ K.repeat_interleave(2, 1).mT / 3).softmax(dim) @ V.repeat_interleave(2, 1)  # noqa: E731
    assert told in said(right, wrong)


def test_nothing_is_read_off_other_values():
    V = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    assert said(with_(), with_(scale=0.5), V) == ""


def test_of_other_scores_nothing_is_told():
    assert said(with_(), lambda Q, K, V: attended(Q**3, K, V)) == ""
