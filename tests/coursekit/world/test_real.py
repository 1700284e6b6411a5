"""Real processes: they give what the simulated world gives, bit for bit where a sum has the same order."""

import sys

import pytest
import torch

from coursekit.world import NoProcesses, ProcessFailed, World, launch
from coursekit.world import processes as starting

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.slow(minutes=0.5)]
X = torch.arange(24.0, dtype=torch.float64).view(2, 12) / 7


def everything(comm, x):
    other = 1 - comm.rank
    comm.send(x.view(3, 4).mT, other)
    comm.send(x[:0], other)
    pieces = [x[: i + 1 + comm.rank].view(-1, 1) for i in range(comm.size)]
    found = [
        comm.recv(other),
        comm.recv(other),
        comm.all_reduce(x),
        comm.all_reduce(x, op="max"),
        comm.start_all_reduce(x.view(3, 4).mT).wait(),
        comm.reduce_scatter(x.view(2, 2, 3)),
        comm.reduce_scatter(x[:2]),
        comm.all_gather(x.view(3, 4)),
        *comm.all_to_all(pieces),
        comm.broadcast(x, 1),
        comm.split([comm.rank]).all_reduce(x),
    ]
    comm.barrier()
    comm.tick(1.0)
    return found, sum(m.bytes for m in getattr(comm, "world", comm).messages if m.sender == comm.rank)


def test_both_worlds_agree_on_every_method_and_on_what_is_sent():
    simulated, real = World(2).run(everything, X), starting.on_processes(everything, X, size=2)
    for (found, found_bytes), (right, right_bytes) in zip(real, simulated, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, right, strict=True))
        assert found_bytes == right_bytes


def test_a_process_that_fails_is_told_with_its_own_words():
    with pytest.raises(ProcessFailed, match="ZeroDivisionError: division by zero"):
        launch(lambda comm, x: 1 / 0 if comm.rank else comm.recv(1), X)


def test_processes_that_do_not_end_are_ended():
    with pytest.raises(ProcessFailed, match="have not ended after 6 seconds"):
        launch(lambda comm, x: comm.recv(1 - comm.rank), X, seconds=6)


def test_a_machine_without_processes_is_told_and_ranks_are_simulated(monkeypatch, capsys):
    monkeypatch.setattr(starting, "command", lambda size, folder: [sys.executable, "-c", "exit('no port is free')"])
    found = launch(lambda comm, x: comm.all_reduce(x), X)
    assert torch.equal(found[0], X.sum(0))
    assert "(no port is free). The ranks are simulated instead." in capsys.readouterr().out


def test_a_machine_without_processes_is_an_error_where_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(starting, "command", lambda size, folder: [sys.executable, "-c", "exit('no port is free')"])
    with pytest.raises(NoProcesses, match="no port is free"):
        starting.on_processes(lambda comm, x: x, X, size=2)
