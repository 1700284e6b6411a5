"""Calls are read once, and the probe that follows from them calls, loads weights and takes gradients."""

import pytest
import torch
from torch import nn

from coursekit.checking.calls import Call, probe_of
from coursekit.checking.probing import Wrong


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("attend(Q, K) -> Y", Call("attend", ("Q", "K"), ("Y",), ("tensor",))),
        ("turn(Q, K) -> P, R", Call("turn", ("Q", "K"), ("P", "R"), ("tensor", "tensor"))),
        ("turn(Q, base?)", Call("turn", ("Q", "base"), optional=frozenset({"base"}))),
        ("words(text) -> found: texts", Call("words", ("text",), ("found",), ("texts",))),
        ("Layer(D)(X, seen?) -> Y", Call("Layer", ("D",), ("Y",), ("tensor",), ("X", "seen"), frozenset({"seen"}))),
        ("Stopper(model)", Call("Stopper", ("model",))),
        ("answer: number", Call("answer", (), ("answer",), ("number",), is_value=True)),
    ],
)
def test_a_call_is_read(text, call):
    assert Call.parse(text) == call


@pytest.mark.parametrize("text", ["attend", "attend(Q", "layer(D)(X) -> Y", "f(x) -> y: art", "answer: art", ""])
def test_what_is_no_call_is_refused(text):
    with pytest.raises(ValueError, match="found"):
        Call.parse(text)


def probe(*texts):
    return probe_of([Call.parse(text) for text in texts])


def test_a_function_is_called_with_the_inputs_of_its_parameters():
    found = probe("f(x, n) -> y")({"n": 3, "other": 1, "x": torch.ones(2)}, lambda x, n: x * n)
    assert found["y"].tolist() == [3, 3]


def test_an_optional_argument_is_given_where_the_case_has_it():
    f = probe("f(x, n?) -> y")
    assert f({"x": torch.ones(1)}, lambda x, n=5: x * n)["y"].item() == 5
    assert f({"x": torch.ones(1), "n": 2}, lambda x, n=5: x * n)["y"].item() == 2


def test_gradients_are_taken_where_one_comes_from_above():
    case = {"x": torch.tensor([1.0, 2.0]), "i": torch.tensor([1, 0]), "dy": None, "dY": torch.tensor([1.0, 10.0])}
    found = probe("f(x, i) -> Y")(case, lambda x, i: x[i] ** 2)
    assert found["dx"].tolist() == [20.0, 4.0]
    assert "di" not in found


class Scale(nn.Module):
    def __init__(self, D):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(D))

    def forward(self, X):
        return X * self.weight


SCALE = {"D": 2, "X": torch.tensor([1.0, 2.0]), "weight": torch.tensor([3.0, 4.0]), "dY": torch.ones(2)}


def test_a_module_gets_the_cases_other_tensors_as_weights():
    found = probe("Scale(D)(X) -> Y")(SCALE, Scale)
    assert {name: value.tolist() for name, value in found.items()} == {"Y": [3, 8], "dX": [3, 4], "dweight": [1, 2]}


def test_a_buffer_in_a_parameters_place_is_told():
    class Buffered(Scale):
        def __init__(self, D):
            nn.Module.__init__(self)
            self.register_buffer("weight", torch.zeros(D))

    with pytest.raises(Wrong, match="'weight' is not a parameter"):
        probe("Scale(D)(X) -> Y")(SCALE, Buffered)


def test_a_class_without_forward_is_told():
    class Empty(nn.Module):
        def __init__(self, D):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(D))

    with pytest.raises(Wrong, match=r"no method forward\(self, X\)"):
        probe("Scale(D)(X) -> Y")(SCALE, Empty)


def test_of_several_objects_the_one_is_called_whose_arguments_are_there():
    f = probe("up(x) -> y", "down(z) -> y")
    assert f({"z": torch.ones(1)}, lambda x: x + 1, lambda z: z - 1)["down(z)"].item() == 0


def test_of_several_objects_with_equal_arguments_the_case_names_one():
    f = probe("up(x) -> y", "down(x) -> y")
    assert f({"x": torch.ones(1), "call": "down"}, lambda x: x + 1, lambda x: x - 1)["down(x)"].item() == 0
    with pytest.raises(ValueError, match="fits 2 of up, down"):
        f({"x": torch.ones(1)}, None, None)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("number", 2.5, {"y": 2.5}),
        ("integers", [3, 1], {"y": [3, 1]}),
        ("text", "né", {"y": [110, 233]}),
        ("texts", ["a", "", "bc"], {"y": [97, -1, -1, 98, 99, -1]}),
        ("bytes", b"\x00\xff", {"y": [0, 255]}),
    ],
)
def test_a_result_that_is_no_tensor_becomes_some(kind, value, expected):
    found = probe(f"f() -> y: {kind}")({}, lambda: value)
    assert {name: x.tolist() for name, x in found.items()} == expected


@pytest.mark.parametrize("kind", ["number", "integers", "text", "texts", "bytes"])
def test_another_kind_of_result_is_told(kind):
    with pytest.raises(Wrong, match=r"is there a return|expected y"):
        probe(f"f() -> y: {kind}")({}, lambda: None)


class FreezesItself(Scale):
    def forward(self, X):
        Y = super().forward(X)
        self.weight.requires_grad_(False)
        return Y


class FreezesItselfFirst(Scale):
    def forward(self, X):
        self.weight.requires_grad_(False)
        return super().forward(X)


@pytest.mark.parametrize("make", [FreezesItself, FreezesItselfFirst])
def test_a_weight_that_forward_freezes_is_named(make):
    case = {"D": 2, "X": torch.ones(2), "weight": torch.ones(2), "dY": torch.ones(2)}
    with pytest.raises(Wrong, match="the call freezes 'weight'"):
        probe("Scale(D)(X) -> Y")(case, make)
