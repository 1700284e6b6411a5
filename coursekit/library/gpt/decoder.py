"""What stands in for "A decoder" while it is unsolved: torch's encoder layers under a causal mask, with GPT's names."""

import functools

import torch
from torch import nn
from torch.nn.functional import gelu

tanh_gelu = functools.partial(gelu, approximate="tanh")


class Layer(nn.Module):
    """torch's pre-norm layer, its weights under the names of the exercise."""

    def __init__(self, D, H):
        super().__init__()
        theirs = nn.TransformerEncoderLayer(D, H, 4 * D, 0.0, tanh_gelu, batch_first=True, norm_first=True)
        self.norm1, self.norm2 = theirs.norm1, theirs.norm2
        self.qkv, self.out = nn.Linear(D, 3 * D), theirs.self_attn.out_proj
        self.up, self.down = theirs.linear1, theirs.linear2
        theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias = self.qkv.weight, self.qkv.bias
        self.theirs = (theirs,)  # in a tuple, so that its weights have one name each

    def forward(self, X, future):
        return self.theirs[0](X, src_mask=future)


class Library(nn.Module):
    def __init__(self, V, T, D, H, L):
        super().__init__()
        self.tokens = nn.Embedding(V, D)
        self.positions = nn.Embedding(T, D)
        self.blocks = nn.ModuleList([Layer(D, H) for _ in range(L)])
        self.norm = nn.LayerNorm(D)

    def forward(self, ids):
        at = torch.arange(ids.shape[1], device=ids.device)
        X = self.tokens(ids) + self.positions(at)
        for block in self.blocks:
            X = block(X, at[:, None] < at)
        return nn.functional.linear(self.norm(X), self.tokens.weight)


LIBRARY = (Library,)
