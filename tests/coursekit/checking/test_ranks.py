"""What exercises on several ranks look at: results, what is sent, and what of memory is alive."""

import pytest
import torch

from coursekit.checking import ranks
from coursekit.checking.probing import Wrong
from coursekit.world import World


def test_results_are_named_by_their_rank():
    assert [*ranks.on_each([torch.ones(1), torch.ones(2)], "y")] == ["y on rank 0", "y on rank 1"]


def test_a_rank_that_returns_nothing_is_named():
    with pytest.raises(Wrong, match=r"on rank 1 it returned None \(is there a return\?\), expected the tensor y"):
        ranks.on_each([torch.ones(1), None], "y")


def test_ranks_that_differ_in_a_bit_are_counted():
    x = torch.ones(3)
    assert ranks.apart([x, x.clone(), x.double(), x + 2**-20]) == 2


def test_the_rank_that_sends_most_counts():
    world = World(3)

    def program(comm, x):
        if comm.rank == 0:
            comm.send(x, 1)
            comm.send(x[:0], 1)
            comm.send(x, 2)

    world.run(program, [torch.ones(4)] * 3)
    found = ranks.traffic(world, 6, messages=1, least=20)
    assert (found["sent"], found["enough"]) == (8, 6)
    assert (found["messages"], found["messages_enough"]) == (3, 1)
    assert (found["all_sent"], found["least"]) == (8, 20)
    assert found["unread"] == 3
    of_each = ranks.traffic(world, [8, 0, 0])
    assert (of_each["sent"], of_each["enough"]) == (8, 8)


def test_calls_one_by_one_return_what_they_return():
    assert ranks.one_by_one(lambda x: [x, None], [1, 2]) == [[1, None], [2, None]]


def test_a_call_that_writes_into_an_earlier_result_is_told():
    room = torch.zeros(2)
    with pytest.raises(Wrong, match="the second call changes what the first one returned"):
        ranks.one_by_one(room.fill_, [1.0, 2.0])


def test_ranks_without_numbers_hold_the_same_bits():
    assert ranks.apart([torch.tensor([float("nan"), 1.0])] * 2) == 0
