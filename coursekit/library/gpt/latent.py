"""What stands in for "A latent cache" while it is unsolved: torch's attention, with one key for all heads."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


class Library(nn.Module):
    """A latent vector and a turned rotary key side by side are the one key that torch's attention is given."""

    def __init__(self, D, H, d, c, r):
        super().__init__()
        self.sizes = H, d, c, r
        maps = {"q": (D, H * (d + r)), "down": (D, c + r), "up_k": (c, H * d), "up_v": (c, H * d), "out": (H * d, D)}
        for name, (width, height) in maps.items():
            setattr(self, name, nn.Linear(width, height, bias=False))

    def forward(self, x):
        return self.attended(x, self.kept(x, 0), 0)

    def step(self, x, cache):
        cache = torch.cat([cache, self.kept(x, cache.shape[1])], 1)
        return self.attended(x, cache, cache.shape[1] - 1), cache

    def kept(self, x, first):
        latent, key = self.down(x).split(self.sizes[2:], -1)
        return torch.cat([latent, self.turned(key, first)], -1)

    def attended(self, x, cache, first):
        H, d, c, r = self.sizes
        content, rotary = self.q(x).unflatten(-1, (H, d + r)).transpose(1, 2).split([d, r], -1)
        query = torch.cat([content @ self.up_k.weight.view(H, d, c), self.turned(rotary, first)], -1)
        mixed = scaled_dot_product_attention(
            query, cache[:, None], cache[:, None, :, :c], is_causal=not first, scale=(d + r) ** -0.5, enable_gqa=True
        )
        values = torch.einsum("bhtc,hdc->bthd", mixed, self.up_v.weight.view(H, d, c))
        return self.out(values.flatten(2))

    def turned(self, x, first):
        n, r = x.shape[-2:]
        speeds = 10000.0 ** (-torch.arange(0, r, 2, device=x.device) / r)
        angle = torch.arange(first, first + n, device=x.device)[:, None] * speeds
        turned = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angle), angle)
        return torch.view_as_real(turned).flatten(-2)


LIBRARY = (Library,)
