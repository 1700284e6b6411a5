"""What stands in for "Mend this code, who sees what" while it is unsolved: torch's own sampler."""

import torch
from torch.utils.data import DistributedSampler


def from_library(N, size, rank, epoch, seed, drop_last):
    sampler = DistributedSampler(range(N), num_replicas=size, rank=rank, seed=seed, drop_last=drop_last)
    sampler.set_epoch(epoch)
    return torch.tensor([*sampler], dtype=torch.long)


LIBRARY = (from_library,)
