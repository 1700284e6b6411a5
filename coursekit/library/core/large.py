"""What stands in for "What makes a model large" while it is unsolved: a model of torch's parts, on the meta device."""

import torch
from torch import nn


def _block(c):
    D, d = c["D"], c["D"] // c["H"]
    widths = [(D, D), (D, c["G"] * d), (D, c["G"] * d), (D, D)]
    expert = [(D, c["F"])] * (2 if c["gated"] else 1) + [(c["F"], D)]
    router = [nn.Linear(D, c["E"], bias=False)] if c["E"] > 1 else []
    return nn.ModuleDict(
        {
            "attention": nn.ModuleList(nn.Linear(*size, bias=False) for size in widths),
            "experts": nn.ModuleList(nn.ModuleList(nn.Linear(*s, bias=False) for s in expert) for _ in range(c["E"])),
            "router": nn.ModuleList(router),
            "norms": nn.ModuleList(nn.RMSNorm(D) for _ in range(2)),
        }
    )


def _size(module):
    return sum(p.numel() for p in module.parameters())


def parameters(c):
    with torch.device("meta"):
        ends = 1 if c["tied"] else 2
        return c["L"] * _size(_block(c)) + c["D"] + ends * _size(nn.Embedding(c["V"], c["D"]))


def flops(c):
    with torch.device("meta"):
        block = _block(c)
        active = sum(_size(block[name]) for name in ("attention", "router")) + c["k"] * _size(block["experts"][0])
        head = _size(nn.Embedding(c["V"], c["D"]))
    return 6 * (c["L"] * active + head) + 12 * c["L"] * c["D"] * c["T"]


def cache_bytes(c, B):
    key = torch.empty(B, c["G"], c["T"], c["D"] // c["H"], dtype=torch.bfloat16, device="meta")
    return c["L"] * sum(x.nbytes for x in (key, key))


def training_bytes(c):
    bf16, fp32 = (torch.empty((), dtype=dtype).element_size() for dtype in (torch.bfloat16, torch.float32))
    return parameters(c) * (2 * bf16 + 3 * fp32)


LIBRARY = (parameters, flops, cache_bytes, training_bytes)
