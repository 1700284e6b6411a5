"""What an error means, in the learner's own names and shapes."""

import pytest
import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.observing import observe

EXERCISE = Exercise(
    id="test.any",
    title="Any",
    parts={"values": 1},
    minutes=1,
    difficulty="core",
    calls=("f(Q, K) -> Y",),
    cases=lambda g: [],
    library=(),
)
CASE = Case("values", "a case", {"Q": torch.ones(2, 3, 4), "K": torch.ones(2, 5, 4)})


def problem(f):
    return observe(EXERCISE, (f,), CASE).problem


def without_transpose(Q, K):
    return Q @ K


def all_reversed(Q, K):
    return Q @ K.T


def added(Q, K):
    return Q + K


def largest(Q, K):
    return Q - Q.max(-1, keepdim=True)


def looked_up(Q, K):
    return torch.nn.Embedding(3, 2)(torch.arange(4))


def compared(Q, K):
    return Q if Q > 0 else K


def wrong_pair(Q, K):
    return Q @ K.transpose(0, 1)


def normalised(Q, K):
    return Q / Q.sum(-1)


def pair_compared(Q, K):
    return (Q.max(-1) == K).sum()


def number_backward(Q, K):
    return Q.sum().item().backward()


def unpacked(Q, K):
    B, H, T, d = Q.shape
    return Q


def of_two_results(Q, K):
    return Q + torch.split(K, 1)


def misspelt(Q, K):
    return Q @ Kay.mT


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.W = torch.nn.Parameter(torch.ones(7, 7))

    def forward(self, x):
        return x @ self.W


def in_a_module(Q, K):
    return Layer()(Q)


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (without_transpose, "Q is (2, 3, 4), K is (2, 5, 4)"),
        (
            without_transpose,
            "needs the last size of Q (4) to be the last but one of K (5); `Q @ K.mT` would fit",
        ),
        (all_reversed, "`K.T` reverses all 3 dimensions: `K.mT` exchanges the last two alone"),
        (all_reversed, "Q is (2, 3, 4), K is (2, 5, 4)"),
        (wrong_pair, "the last but one of K.transpose(0, 1) (2); `Q @ K.mT` would fit"),
        (normalised, "`sum` takes the dimension away; with keepdim=True it stays"),
        (unpacked, "Q is (2, 3, 4)"),
        (added, "Q is (2, 3, 4), K is (2, 5, 4)"),
        (of_two_results, "several results stand where one is expected"),
        (in_a_module, "x is (2, 3, 4), self.W is (7, 7)"),
        (in_a_module, "`x @ self.W` needs the last size of x (4) to be the last but one of self.W (7)"),
        (pair_compared, "one side is no tensor (a list, or the pair of values and indices that max along a dimension"),
        (number_backward, "backward() is called on a plain number"),
        (largest, "`max` along a dimension gives two tensors, values and indices: take `.values`"),
        (looked_up, "was asked for a row that its table does not have"),
        (compared, "want one truth value, and a tensor has many"),
        (misspelt, "`Kay` is bound nowhere in this function"),
    ],
)
def test_what_an_error_means_is_told(f, told):
    assert told in problem(f)


def test_the_error_itself_is_told_last():
    assert problem(without_transpose).splitlines()[-1].startswith("RuntimeError: ")


def test_a_transpose_that_would_not_fit_is_not_proposed():
    assert "would fit" not in problem(in_a_module)


def test_a_module_called_norm_is_no_reduction():
    class Normed(Layer):
        def norm(self, x):
            return x

        def forward(self, x):
            return self.norm(x) + self.W

    told = problem(lambda Q, K: Normed()(Q))
    assert "takes the dimension away" not in told


def test_an_error_of_the_learners_own_is_told_as_it_is():
    def fails(Q, K):
        raise ValueError("my own words")

    lines = problem(fails).splitlines()
    assert lines[-1] == "ValueError: my own words"
    assert len(lines) == 2


def test_nothing_is_called_to_find_a_shape():
    called = []

    class Sly:
        @property
        def W(self):
            called.append(1)
            return torch.ones(2)

    def reads(Q, K):
        sly = Sly()
        return Q @ K, sly.W

    problem(reads)
    assert not called
