"""A tensor that plays another device: it can be looked at and moved, and nothing else."""

import pytest
import torch

from coursekit.checking.elsewhere import Elsewhere

X = torch.arange(6.0).reshape(2, 3)


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


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 1,
        lambda x: x.sum(),
        lambda x: torch.cat([x, x]),
        lambda x: torch.zeros(2, 3) + x,
        lambda x: torch.zeros(2, 3)[x > 0],
        lambda x: torch.nn.functional.embedding(x, torch.zeros(7, 2)),
        lambda x: x.long(),
        lambda x: x.tolist(),
        lambda x: x.sum().item(),
        lambda x: x == X,
        lambda x: x[0] * 2,
    ],
)
def test_computing_with_it_fails_as_on_another_device(far, compute):
    with pytest.raises(RuntimeError, match="same device"):
        compute(far)


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
