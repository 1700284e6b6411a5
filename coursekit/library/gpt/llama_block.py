"""What stands in for "A block of today" while it is unsolved: torch's norm, attention and SiLU, with Llama's names."""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu


class Library(nn.Module):
    def __init__(self, D, H, G, F, base, eps):
        super().__init__()
        self.d = d = D // H
        self.base = base
        sizes = {"q_proj": (D, D), "k_proj": (D, G * d), "v_proj": (D, G * d), "o_proj": (D, D)}
        self.input_layernorm = nn.RMSNorm(D, eps)
        self.self_attn = named(sizes)
        self.post_attention_layernorm = nn.RMSNorm(D, eps)
        self.mlp = named({"gate_proj": (D, F), "up_proj": (D, F), "down_proj": (F, D)})

    def forward(self, x):
        n = self.input_layernorm(x)
        maps = (self.self_attn.q_proj, self.self_attn.k_proj, self.self_attn.v_proj)
        Q, K, V = (m(n).unflatten(-1, (-1, self.d)).transpose(1, 2) for m in maps)
        Y = scaled_dot_product_attention(self.turned(Q), self.turned(K), V, is_causal=True, enable_gqa=True)
        x = x + self.self_attn.o_proj(Y.transpose(1, 2).flatten(2))
        n = self.post_attention_layernorm(x)
        return x + self.mlp.down_proj(silu(self.mlp.gate_proj(n)) * self.mlp.up_proj(n))

    def turned(self, x):
        """Entries i and i + d/2 as one complex number, turned by its place in the text."""
        T, d = x.shape[-2:]
        wide = torch.promote_types(x.dtype, torch.float32)
        speeds = self.base ** (-torch.arange(0, d, 2, device=x.device, dtype=wide) / d)
        angle = torch.arange(T, device=x.device)[:, None] * speeds
        turned = torch.complex(*x.to(wide).chunk(2, -1)) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat((turned.real, turned.imag), -1).to(x.dtype)


def named(sizes):
    return nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in sizes.items()})


LIBRARY = (Library,)
