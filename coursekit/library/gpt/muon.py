"""What stands in for "Muon" while it is unsolved, in plain code: torch's own Muon computes in bfloat16."""

import torch


def library(G):
    """The odd polynomial 3.4445 s - 4.7750 s^3 + 2.0315 s^5, five times, of the singular values."""
    X = G / (torch.linalg.matrix_norm(G) + 1e-7)
    wide = X.shape[0] <= X.shape[1]
    X = X if wide else X.mT
    for _ in range(5):
        A = X @ X.mT
        X = 3.4445 * X + torch.linalg.multi_dot([2.0315 * A - 4.7750 * torch.eye(len(A)).to(A), A, X])
    return X if wide else X.mT


@torch.no_grad()
def library_step(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(library(G.add(M, alpha=momentum)), alpha=rate * max(1, len(W) / W.shape[1]) ** 0.5)


LIBRARY = (library, library_step)
