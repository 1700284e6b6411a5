"""What stands in for "Write the test, batch norm" while it is unsolved: torch's own batch norm beside it."""

import torch
from torch import nn
from torch.testing import assert_close


def beside_torch(make):
    g = torch.Generator().manual_seed(5)
    twins = [(make(3, 0.3, 0.4), nn.BatchNorm1d(3, eps=0.3, momentum=0.4)) for _ in range(2)]
    for ours, theirs in twins:
        for name in ("weight", "bias"):
            new = torch.randn(3, generator=g)
            for norm in (ours, theirs):
                getattr(norm, name).data.copy_(new)
        assert_close(ours.running_var, torch.ones(3))
    for training in (True, True, False, True, False):
        for ours, theirs in twins:
            both_agree(ours.train(training), theirs.train(training), 2 * torch.randn(6, 3, generator=g) + 1)


def both_agree(ours, theirs, x):
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    results = [norm(leaf) for norm, leaf in zip((ours, theirs), leaves, strict=True)]
    assert_close(*results)
    assert_close(*(torch.autograd.grad((y**3).sum(), leaf)[0] for y, leaf in zip(results, leaves, strict=True)))
    for name in ("running_mean", "running_var"):
        assert_close(getattr(ours, name), getattr(theirs, name))


LIBRARY = (beside_torch,)
