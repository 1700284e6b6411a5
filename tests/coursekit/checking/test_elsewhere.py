"""A tensor that plays another device: it meets its like and can be moved, and fails together with what is here."""

import pytest
import torch
from torch import nn

from coursekit.checking.elsewhere import Elsewhere, Here, needed_here

X = torch.arange(6.0).reshape(2, 3)
WEIGHT = torch.ones(2, 3, requires_grad=True)


@pytest.fixture
def far():
    return Elsewhere.of(X.clone())


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x.to("cpu"),
        lambda x: x.to(device=torch.device("cpu")),
        lambda x: x.to(torch.device("cpu"), non_blocking=True),
        lambda x: x.to(torch.zeros(1)),
        lambda x: x.cpu(),
        lambda x: x if x.device.type == "cpu" else x.to("cpu"),
    ],
)
def test_moved_it_is_an_ordinary_tensor(far, move):
    moved = move(far)
    assert type(moved) is torch.Tensor
    assert torch.equal(moved, X)


@pytest.fixture
def here():
    return Here.of(2 * WEIGHT)


@pytest.mark.parametrize(
    "meet",
    [
        lambda far, here: far + here,
        lambda far, here: here == far,
        lambda far, here: torch.cat([far, here]),
        lambda far, here: nn.functional.cross_entropy(here, far[:, 0].long()),
        lambda far, here: here.argmax(-1) == far.to(torch.int64)[:, 1],
        lambda far, here: (far[0] * 2) @ here[0],
        lambda far, here: needed_here(here, far),
    ],
)
def test_together_they_fail_as_on_two_devices(far, here, meet):
    with pytest.raises(RuntimeError, match="same device"):
        meet(far, here)


@pytest.mark.parametrize(
    ("compute", "right"),
    [
        (lambda far, here: torch.cat([far, far]).to("cpu"), torch.cat([X, X])),
        (lambda far, here: far + here.cpu(), X + 2),
        (lambda far, here: far.cpu() + here, X + 2),
        (lambda far, here: here[far[:, 0].long()[:1]], torch.full((1, 3), 2.0)),  # indices may lie on the CPU
        (lambda far, here: here + far.sum(), torch.full((2, 3), 17.0)),  # one number goes with everything
        (lambda far, here: torch.tensor(far.tolist()), X),
    ],
)
def test_what_devices_allow_is_allowed(far, here, compute, right):
    assert torch.equal(compute(far, here).as_subclass(torch.Tensor).detach(), right)


def test_gradients_flow_through_what_is_here(here):
    (gradient,) = torch.autograd.grad(here.sum(), WEIGHT)
    assert torch.equal(gradient, torch.full((2, 3), 2.0))


def test_another_dtype_is_no_move(far):
    assert isinstance(far.to(torch.float64, copy=True), Elsewhere)


def test_what_needs_no_numbers_may_be_asked(far):
    assert (len(far), far.shape, far.size(1), far.numel(), far.dim()) == (2, (2, 3), 3, 6, 2)
    assert far.dtype == torch.float32
    assert far.device.type != "cpu"
    assert "shape=(2, 3)" in repr(far)


def test_pieces_stay_elsewhere_until_they_are_moved(far):
    first, second = far
    assert isinstance(first, Elsewhere)
    assert torch.equal(second.to("cpu"), X[1])
    assert torch.equal(far[:, 1].cpu(), X[:, 1])
