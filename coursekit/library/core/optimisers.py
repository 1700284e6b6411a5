"""What stands in for "SGD and AdamW" while it is unsolved, from public libraries."""

import torch


class _Torchs:
    """One of torch's, whose rate is an attribute."""

    def step(self):
        for group in self.inner.param_groups:
            group["lr"] = self.lr
        self.inner.step()

    def zero_grad(self):
        self.inner.zero_grad()


class SGD(_Torchs):
    def __init__(self, params, lr, momentum, nesterov, weight_decay):
        self.lr = lr
        self.inner = torch.optim.SGD(params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


class AdamW(_Torchs):
    def __init__(self, params, lr, betas, eps, weight_decay):
        self.lr = lr
        self.inner = torch.optim.AdamW(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)


LIBRARY = (SGD, AdamW)
