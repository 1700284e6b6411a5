"""What stands in for "Round the ring" while it is unsolved: parts go round rightwards, twice."""

import torch


def from_library(comm, x):
    parts = [part.clone() for part in torch.tensor_split(x, comm.size)]
    after, before = (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size
    for begun, adds in ((comm.rank, True), (comm.rank + 1, False)):
        for mine in range(begun, begun - comm.size + 1, -1):
            comm.send(parts[mine % comm.size], after)
            came = comm.recv(before)
            other = (mine - 1) % comm.size
            parts[other] = parts[other] + came if adds else came
    return torch.cat(parts)


LIBRARY = (from_library,)
