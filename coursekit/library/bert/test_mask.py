"""What stands in for "A test that tells whether padding is read" while it is unsolved, from torch alone."""

import torch


def library(layer):
    real = torch.ones(3, 5, dtype=torch.bool)
    real[0, 3:], real[1, :2] = False, False
    X = torch.linspace(-2, 2, 120, dtype=torch.float64).view(3, 5, 8).sin()
    for filler in (X + 1, X - 25, 25 - X):
        Y, Z = layer(X, real), layer(torch.where(real[:, :, None], X, filler), real)
        torch.testing.assert_close(Z[real], Y[real])


LIBRARY = (library,)
