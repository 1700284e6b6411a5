"""What stands in for "Mend this code, a loss over a split vocabulary" while it is unsolved: torch's cross-entropy.

The rank's own logits are one class for each of its tokens, and all other ranks together are one more class.
"""

import torch
from torch.nn import functional


def from_library(comm, logits, y):
    N, width = logits.shape
    with torch.no_grad():
        mine = torch.logsumexp(logits, 1)
        peak = comm.all_reduce(mine, op="max")
        shares = torch.exp(mine - peak)
        every = comm.all_reduce(shares)
        local = y.sub(width * comm.rank)
        inside = local.ge(0).logical_and(local.lt(width))
        rest = peak + every.sub(shares).clamp_min(torch.finfo(mine.dtype).tiny).log()
    extended = torch.cat([logits, rest[:, None]], 1)
    chosen = torch.where(inside, local, width)
    lost = functional.cross_entropy(extended, chosen, reduction="none")
    known = comm.all_reduce(torch.where(inside, lost, 0).detach())
    return known + lost.sub(lost.detach())


LIBRARY = (from_library,)
