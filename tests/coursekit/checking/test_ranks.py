"""Ranks that send each other messages: order is kept, and who waits for ever is told."""

import pytest
import torch

from coursekit.checking import ranks
from coursekit.checking.probing import Wrong


def test_messages_arrive_in_order():
    def program(rank, x):
        if rank.rank == 0:
            rank.send(x, 1)
            rank.send(2 * x, 1)
            return x
        return torch.cat([rank.receive(0), rank.receive(0)])

    assert ranks.run(program, [torch.ones(1), torch.zeros(1)])[1].tolist() == [1, 2]


def test_a_message_is_a_copy():
    def program(rank, x):
        if rank.rank == 0:
            rank.send(x, 1)
            x.zero_()
            rank.send(x, 1)
            return x
        first, _ = rank.receive(0), rank.receive(0)
        return first

    assert ranks.run(program, [torch.ones(1), torch.zeros(1)])[1].item() == 1


def test_a_deadlock_says_who_waits_for_whom():
    with pytest.raises(Wrong, match="rank 0 for rank 1, rank 1 for rank 0"):
        ranks.run(lambda rank, x: rank.receive(1 - rank.rank), [1, 2])


def test_waiting_for_a_rank_that_has_ended_is_a_deadlock():
    with pytest.raises(Wrong, match="rank 1 for rank 0"):
        ranks.run(lambda rank, x: rank.rank == 0 or rank.receive(0), [1, 2])


def test_the_error_of_a_rank_says_more_than_that_others_wait():
    def program(rank, x):
        return {}["missing"] if rank.rank == 1 else rank.receive(1)

    with pytest.raises(KeyError, match="missing"):
        ranks.run(program, [1, 2])


def test_a_rank_that_is_not_there_is_told():
    with pytest.raises(Wrong, match="there are 2, 0 to 1"):
        ranks.run(lambda rank, x: rank.send(x, 2), [torch.ones(1)] * 2)
