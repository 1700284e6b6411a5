"""What stands in for "Attention round the ring" while it is unsolved: blocks travel to the left."""

import torch


def from_library(comm, Q, K, V):
    size, place = comm.size, comm.rank
    width = K.shape[1]
    lower = torch.ones(width, width, dtype=torch.bool, device=Q.device).tril()
    parts = torch.zeros_like(Q), Q.new_full(Q.shape[:2], float("-inf"))
    travelling = K, V
    for owner in range(place, place + size):
        if owner == place or owner >= size:
            parts = _joined(parts, _softmax_of(Q, *travelling, lower if owner == place else None))
        if owner < place + size - 1:
            for tensor in travelling:
                comm.send(tensor, (place - 1) % size)
            travelling = tuple(comm.recv((place + 1) % size) for _ in travelling)
    return parts[0]


def _softmax_of(Q, K, V, seen):
    """One block's mix of values, and the logarithm of its sum of exponentials."""
    table = torch.baddbmm(Q.new_zeros(()), Q, K.transpose(1, 2), beta=0, alpha=K.shape[2] ** -0.5)
    if seen is not None:
        table = torch.where(seen, table, float("-inf"))
    return torch.bmm(table.softmax(dim=2), V), torch.logsumexp(table, 2)


def _joined(one, other):
    both = torch.logaddexp(one[1], other[1])
    shares = ((log - both).exp().unsqueeze(2) for _, log in (one, other))
    return sum(share * mix for share, (mix, _) in zip(shares, (one, other), strict=True)), both


LIBRARY = (from_library,)
