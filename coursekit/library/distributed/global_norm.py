"""What stands in for "Mend this code, the norm of all" while it is unsolved: torch's own norms of each part."""

import torch
from torch.nn.utils import get_total_norm


def from_library(comm, shards, replicated):
    parts = [get_total_norm([x.double() for x in tensors]) for tensors in (shards, replicated)]
    mine, ours = (torch.as_tensor(part, dtype=torch.float64).pow(2) for part in parts)
    return torch.sqrt(ours + comm.all_reduce(mine))


LIBRARY = (from_library,)
