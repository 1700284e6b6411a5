"""attention.multihead: slips with a module that the probe turns into one sentence."""

import pytest
import torch
from torch import nn

from coursekit.checking.observing import observe
from coursekit.checking.probing import load
from coursekit.exercises import find

EXERCISE = find("attention.multihead")
(LIBRARY,) = EXERCISE.library


def told(make, part="values"):
    case = next(c for c in EXERCISE.cases(torch.Generator().manual_seed(1)) if c.part == part)
    return observe(EXERCISE, (make,), case).problem


class NotAModule:
    def __init__(self, D, H):
        pass


class Unnamed(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.project = nn.Linear(D, 3 * D)


class Transposed(LIBRARY):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.in_proj_weight = nn.Parameter(torch.zeros(D, 3 * D))


class OneMore(LIBRARY):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.norm = nn.LayerNorm(D)


class WithWeights(LIBRARY):
    def forward(self, X, allowed=None):
        return super().forward(X, allowed), X


class Untrained(LIBRARY):
    def __init__(self, D, H):
        super().__init__(D, H)
        bias = self.in_proj_bias.detach()
        del self.in_proj_bias
        self.register_buffer("in_proj_bias", bias)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (NotAModule, "the class makes a NotAModule, expected a torch.nn.Module"),
        (Unnamed, "the module has no weight called 'in_proj_weight'; it has project.weight, project.bias"),
        (Transposed, "the weight 'in_proj_weight' has shape (8, 24), expected (24, 8)"),
        (OneMore, "the module has weights that are not asked for: norm.weight, norm.bias"),
        (WithWeights, "it returned a tuple of 2, expected the tensor Y"),
    ],
)
def test_a_slip_is_told_in_one_sentence(make, words):
    assert words in told(make)


def test_a_weight_that_is_no_parameter_is_told_with_the_gradients():
    assert told(Untrained) == ""
    assert told(Untrained, "gradients").startswith("'in_proj_bias' is not a parameter")


def test_float64_weights_are_loaded_without_rounding():
    module = nn.Linear(1, 1, bias=False)
    third = torch.ones(1, 1, dtype=torch.float64) / 3
    assert torch.equal(load(module, {"weight": third}).weight.data, third)
