"""The helpers of probes: each turns a slip into one sentence."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.checking.probing import (
    LargestTensor,
    Wrong,
    gradients,
    leaves,
    load,
    number,
    returned,
    tensors_in,
    trained,
    whole_numbers,
)


def told(function, *args):
    """The sentence of the Wrong that a call raises."""
    with pytest.raises(Wrong) as caught:
        function(*args)
    return str(caught.value)


def test_leaves_collect_gradients():
    (x,) = leaves(torch.ones(2, 3))
    assert x.requires_grad
    assert x.is_leaf


def test_leaves_share_no_memory_with_the_inputs():
    given = torch.ones(3)
    (x,) = leaves(given)
    with torch.no_grad():
        x.zero_()
    assert given.tolist() == [1.0, 1.0, 1.0]


def test_leaves_keep_values_dtype_and_layout():
    given = torch.arange(6, dtype=torch.float64).view(2, 3).T
    (x,) = leaves(given)
    assert torch.equal(x, given)
    assert (x.dtype, x.stride()) == (given.dtype, given.stride())


def test_gradients_are_those_of_the_weighted_sum():
    x, y = leaves(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))
    found = gradients(x * y, {"x": x, "y": y}, torch.tensor([1.0, 10.0]))
    assert {name: grad.tolist() for name, grad in found.items()} == {"dx": [3.0, 40.0], "dy": [1.0, 20.0]}


def test_gradients_flow_through_a_result_in_a_wider_dtype():
    (x,) = leaves(torch.ones(2))
    assert gradients(2 * x.double(), {"x": x}, torch.ones(2))["dx"].tolist() == [2.0, 2.0]


def test_a_gradient_of_the_wrong_shape_is_told_with_both_shapes():
    (x,) = leaves(torch.ones(2))
    assert told(gradients, x.sum(), {"x": x}, torch.ones(2)) == "the result has shape (), expected (2,)"


def test_a_result_without_a_graph_is_told():
    (x,) = leaves(torch.ones(2))
    assert "no gradient can flow back" in told(gradients, x.detach(), {"x": x}, torch.ones(2))


@pytest.mark.parametrize("frozen", ["a", "b"])
def test_what_the_call_has_frozen_is_named_also_where_all_is(frozen):
    given = dict(zip("ab", leaves(torch.ones(2), torch.ones(2)), strict=True))
    Y = sum(x for name, x in given.items() if name != frozen)
    given[frozen].requires_grad_(False)
    with pytest.raises(Wrong, match=f"the call freezes '{frozen}': it sets requires_grad to False"):
        gradients(Y, given, torch.ones(2))


def test_the_input_that_no_gradient_reaches_is_named():
    x, y = leaves(torch.ones(2), torch.ones(2))
    assert "no gradient reaches y" in told(gradients, x * y.detach(), {"x": x, "y": y}, torch.ones(2))


WEIGHTS = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}


def test_a_module_is_loaded_with_the_weights():
    module = load(nn.Linear(2, 1), WEIGHTS)
    assert module(torch.tensor([1.0, 1.0])).tolist() == [6.0]


def test_a_lazy_layer_takes_the_shape_of_its_weights():
    assert load(nn.LazyLinear(2), {"weight": torch.ones(2, 3), "bias": torch.ones(2)}).weight.shape == (2, 3)


def test_float64_weights_are_loaded_without_rounding():
    third = {name: value.double() / 3 for name, value in WEIGHTS.items()}
    assert torch.equal(load(nn.Linear(2, 1), third).weight, third["weight"])


def test_loaded_weights_share_no_memory_with_the_given_ones():
    module = load(nn.Linear(2, 1), WEIGHTS)
    with torch.no_grad():
        module.weight.zero_()
    assert WEIGHTS["weight"].tolist() == [[1.0, 2.0]]


class Renamed(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (lambda x: x, "the class makes a function, expected a torch.nn.Module"),
        (None, "the class makes a NoneType, expected a torch.nn.Module"),
        (Renamed(), "the module has no weight called 'weight'; it has kernel"),
        (nn.Identity(), "the module has no weight called 'weight'; it has none"),
        (nn.Linear(3, 1), "the weight 'weight' has shape (1, 3), expected (1, 2)"),
        (nn.Linear(2, 1, bias=False), "the module has no weight called 'bias'; it has weight"),
        (nn.Bilinear(2, 1, 1), "the weight 'weight' has shape (1, 2, 1), expected (1, 2)"),
    ],
)
def test_a_module_that_does_not_fit_is_told(module, sentence):
    assert sentence in told(load, module, WEIGHTS)


def test_weights_that_nobody_asked_for_are_named():
    module = nn.Linear(2, 1)
    module.scale = nn.Parameter(torch.ones(1))
    assert told(load, module, WEIGHTS) == "the module has weights that are not asked for: scale"


def test_a_returned_tensor_is_passed_on():
    Y = torch.ones(2)
    assert returned(Y, "Y") is Y


@pytest.mark.parametrize("kind", [tuple, list])
def test_several_returned_tensors_come_as_a_tuple(kind):
    pair = (torch.ones(1), torch.zeros(1))
    assert returned(kind(pair), "Q", "K") == pair


@pytest.mark.parametrize(
    ("value", "names", "sentence"),
    [
        (None, ["Y"], "it returned None (is there a return?), expected the tensor Y"),
        (1.5, ["Y"], "it returned a float, expected the tensor Y"),
        ((torch.ones(1), 2), ["Y"], "it returned a tuple of 2, expected the tensor Y"),
        (torch.ones(2), ["Q", "K"], "it returned a Tensor, expected 2 tensors: Q, K"),
        ([torch.ones(2)], ["Q", "K"], "it returned a list of 1, expected 2 tensors: Q, K"),
        ((torch.ones(2), None), ["Q", "K"], "it returned None (is there a return?), expected the tensor K"),
    ],
)
def test_what_is_not_the_promised_tensors_is_told(value, names, sentence):
    assert told(returned, value, *names) == sentence


def largest(function):
    """The elements of the largest tensor that a call makes."""
    with LargestTensor() as made:
        function()
    return made.elements


def test_no_tensor_made_counts_as_zero():
    assert largest(lambda: None) == 0


def test_the_largest_tensor_is_found_among_several():
    assert largest(lambda: (torch.ones(3), torch.ones(4, 5), torch.ones(2))) == 20


def test_a_tensor_that_is_thrown_away_counts():
    assert largest(lambda: torch.ones(6, 7).sum()) == 42


def test_elements_are_counted_whatever_their_size():
    sizes = {largest(lambda t=t: torch.ones(10, dtype=t)) for t in (torch.bool, torch.float32, torch.float64)}
    assert sizes == {10}


def test_a_view_of_what_was_there_before_does_not_count():
    module = nn.Linear(3, 50)
    module.register_buffer("table", torch.arange(4096))
    module.plain = [torch.ones(100, 100)]
    with LargestTensor(tensors_in(module)) as made:
        module.table[7:9] * 2, module.weight[:2], module.plain[0][0]
    assert made.elements == 2


def test_a_view_counts_as_the_tensor_that_it_looks_into():
    whole = torch.ones(8, 8)
    assert largest(lambda: whole[:2, :2]) == 64


def test_an_expanded_tensor_counts_as_its_real_size():
    row = torch.ones(1, 5)
    assert largest(lambda: row.expand(100, 5)) == 5


def test_every_tensor_of_a_tuple_counts():
    x = torch.arange(6.0).view(2, 3)
    assert largest(lambda: torch.max(x, dim=1)) == 2
    assert largest(lambda: torch.sort(x, dim=1)) == 6


def test_the_inside_of_an_operation_that_torch_composes_counts():
    one = torch.ones(30, 2)
    assert largest(lambda: torch.einsum("id,jd->ij", one, one).sum()) == 900


def test_tensors_made_afterwards_do_not_count():
    with LargestTensor() as made:
        torch.ones(3)
    torch.ones(50)
    assert made.elements == 3


def test_a_sparse_tensor_is_no_obstacle():
    assert largest(lambda: torch.eye(4).to_sparse().to_dense()) == 16


def test_results_and_gradients_are_as_without_it():
    (x,) = leaves(torch.tensor([1.0, 2.0]))
    with LargestTensor():
        y = (x**2).sum()
    assert torch.autograd.grad(y, x)[0].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("value", [[4, 0], (4, 0), torch.tensor([4, 0]), [torch.tensor(4), 0]])
def test_whole_numbers_in_any_kind_of_list_become_a_tensor(value):
    found = whole_numbers(value, "ids")
    assert (found.tolist(), found.dtype) == ([4, 0], torch.int64)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "it returned None, expected ids: a list of integers"),
        ("40", "it returned a str, expected ids: a list of integers"),
        ([4, "0"], "ids holds a str at place 1, expected an integer"),
        ([4.0], "ids holds a float at place 0, expected an integer"),
        ([True], "ids holds a bool at place 0, expected an integer"),
    ],
)
def test_what_is_no_list_of_whole_numbers_is_told(value, sentence):
    assert told(whole_numbers, value, "ids") == sentence


@pytest.mark.parametrize(
    "value",
    [0.5, Fraction(1, 2), Decimal("0.5"), torch.tensor(0.5), np.float32(0.5), torch.tensor(0.5, dtype=torch.float64)],
)
def test_a_number_may_come_in_any_dress(value):
    assert number(value, "f").item() == 0.5
    assert number(value, "f").dtype == torch.float32


def test_a_number_takes_its_dtype_from_the_floats_it_was_made_of():
    assert number(0.5, "f", torch.ones(2, dtype=torch.float64)).dtype == torch.float64
    assert number(0.5, "f", torch.ones(2, dtype=torch.int64)).dtype == torch.float32


def test_a_truth_value_is_a_number():
    assert number(True, "e").item() == 1


@pytest.mark.parametrize(
    ("value", "part"), [(None, "is there a return?"), (torch.ones(3), "shape (3,)"), ("0.5", "str"), ([0.5], "list")]
)
def test_what_is_no_number_is_told(value, part):
    assert part in told(number, value, "f")


class Odd(nn.Linear):
    """A linear map with a buffer, and its weight under a second name."""

    def __init__(self):
        super().__init__(2, 1)
        self.register_buffer("scale", torch.ones(3))
        self.again = self.weight


def test_a_buffer_is_no_weight_and_a_second_name_no_second_weight():
    module = load(Odd(), WEIGHTS)
    assert torch.equal(module.again, WEIGHTS["weight"])
    assert torch.equal(module.scale, torch.ones(3))


def test_a_frozen_weight_is_named():
    assert told(trained, nn.Linear(2, 1).requires_grad_(False), "weight").startswith("'weight' is frozen")


def test_modules_that_a_plain_list_hides_are_told():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(2, 2)]

    with pytest.raises(Wrong, match=r"no weight called 'layers.0.bias'; it has none \(the modules in its list layers"):
        load(Listed(), {"layers.0.bias": torch.zeros(2)})
