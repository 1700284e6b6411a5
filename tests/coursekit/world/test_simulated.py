"""Simulated ranks: order is kept, messages are copies, whoever waits for ever is told, and each run is the same run."""

import threading

import pytest
import torch

from coursekit.world import Deadlock, Network, World
from coursekit.world.baton import NotItsOwn
from coursekit.world.clockwork import Timed
from coursekit.world.simulated import OutOfStep

ONES = [torch.ones(4), torch.ones(4)]


def test_messages_arrive_in_order():
    def program(comm):
        if comm.rank == 0:
            for i in range(3):
                comm.send(torch.tensor(i), 1)
            return []
        return [comm.recv(0).item() for _ in range(3)]

    assert World(2).run(program)[1] == [0, 1, 2]


def test_a_message_is_a_copy_and_carries_no_graph():
    def program(comm, x):
        if comm.rank == 0:
            x = (2 * x).requires_grad_()
            comm.send(x, 1)
            x.data.zero_()
            return None
        return comm.recv(0)

    received = World(2).run(program, ONES)[1]
    assert received.tolist() == [2, 2, 2, 2]
    assert not received.requires_grad


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_collectives_do_what_they_say(n):
    X = torch.arange(n * n * 2.0).view(n, n, 2)

    def program(comm, x):
        return {
            "all_reduce": comm.all_reduce(x),
            "largest": comm.all_reduce(x, op="max"),
            "started": comm.start_all_reduce(x).wait(),
            "reduce_scatter": comm.reduce_scatter(x),
            "all_gather": comm.all_gather(x[0]),
            "broadcast": comm.broadcast(x, n - 1),
            "all_to_all": comm.all_to_all([x[i, : comm.rank % 2 + 1] for i in range(n)]),
        }

    for rank, found in enumerate(World(n).run(program, list(X))):
        assert torch.equal(found["all_reduce"], X.sum(0))
        assert torch.equal(found["largest"], X.amax(0))
        assert torch.equal(found["started"], X.sum(0))
        assert torch.equal(found["reduce_scatter"], X.sum(0)[rank])
        assert torch.equal(found["all_gather"], X[:, 0])
        assert torch.equal(found["broadcast"], X[n - 1])
        assert [x.tolist() for x in found["all_to_all"]] == [X[i, rank, : i % 2 + 1].tolist() for i in range(n)]


def test_ranks_of_a_group_are_numbered_anew():
    def program(comm, x):
        group = comm.split([1, 3]) if comm.rank % 2 else comm.split([0, 2])
        return group.rank, group.size, group.all_reduce(x).item()

    found = World(4).run(program, [torch.tensor(10.0**i) for i in range(4)])
    assert found == [(0, 2, 101.0), (0, 2, 1010.0), (1, 2, 101.0), (1, 2, 1010.0)]


def test_a_deadlock_says_who_waits_for_what():
    expected = "rank 0 waits for a message from rank 1; rank 1 waits for a message from rank 2; rank 2 has ended"
    with pytest.raises(Deadlock, match=expected):
        World(3).run(lambda comm: comm.recv(comm.rank + 1) if comm.rank < 2 else None)


def test_a_collective_that_a_rank_never_calls_is_a_deadlock():
    with pytest.raises(Deadlock, match=r"rank 1 waits in collective number 1, all_reduce of shape \(4,\); rank 2 has"):
        World(3).run(lambda comm, x: comm.all_reduce(x) if comm.rank < 2 else None, [torch.ones(4)] * 3)


def test_different_collectives_are_told():
    with pytest.raises(OutOfStep, match="rank 1 calls all_gather of shape"):
        World(2).run(lambda comm, x: comm.all_gather(x) if comm.rank else comm.all_reduce(x), ONES)


def test_one_collective_with_different_shapes_is_told():
    with pytest.raises(OutOfStep, match=r"of shape \(2,\), and all_reduce of shape \(1,\)"):
        World(2).run(lambda comm, x: comm.all_reduce(x[: comm.rank + 1]), ONES)


def test_the_error_of_a_rank_ends_the_run_and_not_the_deadlock_that_it_causes():
    def program(comm, x):
        return {}["missing"] if comm.rank == 1 else comm.recv(1)

    with pytest.raises(KeyError, match="missing") as told:
        World(3).run(program, [1, 2, 3])
    assert told.value.__notes__ == ["on rank 1 of 3"]


def test_no_thread_is_left_behind_by_a_failed_run():
    before = threading.active_count()
    with pytest.raises(Deadlock):
        World(5).run(lambda comm: comm.recv((comm.rank + 1) % 5))
    assert threading.active_count() == before


@pytest.mark.parametrize(("to", "says"), [(2, "there are 2, 0 to 1"), (0, "sends to itself"), (-1, "names rank -1")])
def test_a_rank_that_cannot_be_meant_is_told(to, says):
    with pytest.raises(ValueError, match=says):
        World(2).run(lambda comm, x: comm.send(x, to), ONES)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (lambda comm, x: comm.send([1], 1 - comm.rank), "send takes a tensor, found a list"),
        (lambda comm, x: comm.reduce_scatter(x), "a row for each of 2 ranks, found shape"),
        (lambda comm, x: comm.all_to_all([x]), "one tensor for each of 2 ranks, found 1"),
        (lambda comm, x: comm.all_reduce(x, op="mean"), "found op='mean', expected one of 'sum', 'max'"),
        (lambda comm, x: comm.broadcast(x, 2), "broadcast from rank 2; there are 2"),
        (lambda comm, x: comm.split([1 - comm.rank]), "itself among them"),
    ],
)
def test_what_cannot_be_sent_is_told(program, says):
    with pytest.raises((ValueError, TypeError), match=says):
        World(2).run(program, ONES)


def test_methods_that_are_not_allowed_are_told():
    with pytest.raises(ValueError, match="this is to be made of send and recv"):
        World(2, only=("send", "recv")).run(lambda comm, x: comm.all_reduce(x), ONES)


def test_a_rank_that_uses_another_ones_comm_is_told():
    kept = []

    def program(comm, x):
        kept.append(comm)
        return kept[0].all_reduce(x)

    with pytest.raises(NotItsOwn, match="rank 1 uses the comm of rank 0: what is kept on a class"):
        World(2).run(program, ONES)


def test_two_runs_are_the_same_run():
    def program(comm, x):
        for _ in range(3):
            x = comm.all_reduce(x + torch.randn(3)) / comm.size
        return x

    def run():
        torch.manual_seed(0)
        return World(4).run(program, list(torch.zeros(4, 3)))

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


def test_numbers_and_bytes_are_those_of_a_ring():
    world = World(4)
    world.run(lambda comm, x: comm.all_reduce(x), list(torch.zeros(4, 100, dtype=torch.float64)))
    assert [world.sent(rank, "all_reduce") for rank in range(4)] == [2 * 3 * 100 * 8 // 4] * 4


def test_messages_that_nobody_receives_are_counted():
    world = World(2)
    world.run(lambda comm, x: comm.send(x, 1 - comm.rank), ONES)
    assert world.unread == 2


def test_a_message_takes_its_latency_and_its_bytes():
    world = World(2, Network(latency=1.0, bandwidth=8.0))

    def program(comm, x):
        return comm.send(x, 1) if comm.rank == 0 else comm.recv(0)

    world.run(program, ONES)  # 16 bytes
    assert world.clocks == [0.0, 3.0]


def test_messages_to_one_rank_come_in_one_after_another():
    world = World(3, Network(latency=1.0, bandwidth=8.0))

    def program(comm, x):
        return [comm.recv(1), comm.recv(2)] if comm.rank == 0 else comm.send(x, 0)

    world.run(program, [torch.ones(4)] * 3)
    assert world.clocks[0] == 1 + 2 + 2


def test_a_collective_that_was_started_runs_while_its_rank_computes():
    world = World(2, Network(latency=0.0, bandwidth=8.0))

    def program(comm, x):
        handle = comm.start_all_reduce(x)  # 16 bytes a rank: 2 seconds
        comm.tick(1.5)
        handle.wait()

    world.run(program, ONES)
    assert world.clocks == [2.0, 2.0]


def test_hooks_run_in_the_thread_of_their_rank():
    def program(comm, x):
        seen = []
        x = x.clone().requires_grad_()
        x.register_hook(lambda grad: seen.append(threading.get_ident()))
        comm.barrier()
        x.sum().backward()
        return seen == [threading.get_ident()]

    assert World(2).run(program, ONES) == [True, True]


def test_a_timed_layer_takes_its_time_backward_too():
    world = World(1)

    def program(comm, x):
        layer = Timed(torch.nn.Linear(4, 1), comm, 1.0, 2.0)
        layer(x).sum().backward()
        return layer.layer.weight.grad is not None

    assert world.run(program, [torch.ones(4)]) == [True]
    assert world.clocks == [3.0]


def test_an_interrupted_run_stops_computing(monkeypatch):
    computing = threading.Event()

    def program(comm, x):
        while True:
            computing.set()
            x = x + 1

    def interrupted(thread, join=threading.Thread.join):
        if computing.wait(10) and not monkeypatch.undo():
            raise KeyboardInterrupt

    before = threading.enumerate()
    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        World(2).run(program, ONES)
    for thread in threading.enumerate():
        if thread not in before:
            thread.join(10)
            assert not thread.is_alive()


def test_a_rank_that_leaves_gradients_switched_off_is_told():
    with pytest.raises(RuntimeError, match="gradients are switched on or off for everything that comes after"):
        World(2).run(lambda comm: torch.set_grad_enabled(False))


def test_a_complex_number_counts_as_two():
    world = World(2)
    world.run(lambda comm: comm.send(torch.ones(3, dtype=torch.complex64), 1) if comm.rank == 0 else comm.recv(0))
    assert [(m.numbers, m.bytes) for m in world.messages] == [(6, 24)]
