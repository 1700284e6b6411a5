"""What of memory is alive, in tensors and elsewhere."""

from array import array
from typing import ClassVar

import numpy as np
import pytest
import torch

from coursekit.checking import holding
from coursekit.world import World


def test_what_is_forgotten_is_not_alive():
    with holding.Living() as alive:
        for _ in range(3):
            torch.ones(10)
    assert alive.most == 10


def test_what_a_name_or_a_graph_holds_is_alive():
    x = torch.ones(10, requires_grad=True)
    with holding.Living([x]) as alive:
        y = x * 2  # for its gradient this holds no tensor
        z = y * y
    assert z.requires_grad
    assert alive.most == 20


def test_views_take_no_memory():
    x = torch.ones(10)
    with holding.Living([x]) as alive:
        torch.cat([x[:5].view(5, 1).mT.flatten(), x[5:]])
    assert alive.most == 10


def test_what_is_on_its_way_belongs_to_no_rank():
    def program(comm, x):
        with holding.Living([x]) as alive:
            comm.all_reduce(x)
        return alive.most

    assert World(2).run(program, [torch.ones(10)] * 2) == [10, 10]


def test_memory_that_is_given_back_is_not_held():
    with holding.Living() as alive:
        x = torch.ones(10)
        x.untyped_storage().resize_(0)
        assert alive.now == 0
    assert alive.most == 10


class Keeper:
    """Keeps what it is given, in the way it is told."""

    __slots__ = ("__dict__", "slot")
    of_class: ClassVar[list] = []


ROOM: dict = {}


class Reader:
    def read(self):
        return [lambda: ROOM]


def kept(keep):
    """How many numbers more there are after `keep(object, numbers)`."""
    for room in (ROOM, Keeper.of_class):
        room.clear()
    keeper, numbers = Keeper(), torch.arange(50.0)
    before = holding.numbers_beside_tensors(Keeper, Reader)
    stays = keep(keeper, numbers)
    return holding.numbers_beside_tensors(keeper, Reader(), *[stays] * (stays is not None)) - before


def test_numbers_in_tensors_are_not_counted_a_second_time():
    assert kept(lambda k, x: setattr(k, "x", x)) == 0
    assert kept(lambda k, x: setattr(k, "x", x.numpy()[3:])) == 0


@pytest.mark.parametrize(
    "keep",
    [
        lambda k, x: setattr(k, "x", x.numpy().copy()),
        lambda k, x: setattr(k, "x", [x.numpy().copy()[:1], None]),
        lambda k, x: setattr(k, "slot", {"x": x.tolist()}),
        lambda k, x: setattr(k, "x", array("f", x.tolist())),
        lambda k, x: setattr(k, "x", x.numpy().tobytes()),
        lambda k, x: setattr(k, "x", (lambda values: lambda: values)(x.tolist())),
        lambda k, x: setattr(k, "x", lambda values=tuple(x.tolist()): values),  # noqa: B008
        lambda k, x: k.of_class.append({*x.tolist()}),
        lambda k, x: ROOM.update(x=x.numpy().copy()),
    ],
)
def test_numbers_elsewhere_are_counted_wherever_they_are_kept(keep):
    assert kept(keep) == 50


def test_what_is_written_onto_a_rank_is_counted_and_its_world_is_not():
    def program(comm):
        before = holding.numbers_beside_tensors(comm)
        comm.kept = np.zeros(9)
        return before, holding.numbers_beside_tensors(comm)

    assert World(2).run(program) == [(0, 9), (0, 9)]
