"""What stands in for "Three collectives" while it is unsolved: everything is an exchange of lists."""

import torch


def from_exchange(comm, parts):
    found = [None] * comm.size
    found[comm.rank] = parts[comm.rank]
    for distance in range(1, comm.size):
        target = (comm.rank + distance) % comm.size
        comm.send(parts[target], target)
    for distance in range(1, comm.size):
        source = (comm.rank + distance) % comm.size
        found[source] = comm.recv(source)
    return found


def from_exchanged_rows(comm, x):
    return torch.stack(from_exchange(comm, list(x))).sum(0)


def from_exchanged_copies(comm, x):
    return torch.stack(from_exchange(comm, [x] * comm.size))


LIBRARY = (from_exchanged_rows, from_exchanged_copies, from_exchange)
