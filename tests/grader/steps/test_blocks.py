"""Slips of attention and of a block, put into a module: each changes what comes out, and has a sentence."""

import inspect

import pytest
import torch
from torch import nn

from grader.steps import attention, blocks

D, H, F = 6, 3, 10
SLIPS = [
    steps
    for module in (attention, blocks)
    for _, steps in inspect.getmembers(module, inspect.isclass)
    if hasattr(steps, "sentence") and steps.__module__ == module.__name__
]
# These are wrong in the gradient, or only on scores far from 0 or from each other.
FAR = {attention.NoMaximum, attention.OneMaximum, attention.FiniteFill, attention.RenormalisedAfterSoftmax}
UNSEEN = {attention.WeightsDetached, *FAR}


class Layer(blocks.Block):
    def __init__(self, norm_first):
        super().__init__()
        self.H, self.norm_first = H, norm_first
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)

    def project(self, X):
        return self.query(X), self.key(X), self.value(X)

    def project_back(self, Y):
        return self.output(Y)

    def norms(self):
        return self.norm1, self.norm2

    def linears(self):
        return self.up, self.down


def weighted(make, norm_first):
    """The layer with the same drawn weights, whichever class makes it."""
    layer = make(norm_first).double()
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=g))
    return layer


@pytest.fixture
def given():
    X = torch.randn(2, 4, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return X, torch.ones(4, 4, dtype=torch.bool).tril()


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_block_gives_what_torchs_layer_gives(norm_first, given):
    X, seen = given
    layer = weighted(Layer, norm_first)
    theirs = nn.TransformerEncoderLayer(D, H, F, 0.0, "gelu", batch_first=True, norm_first=norm_first).double()
    joint = {
        f"self_attn.in_proj_{part}": torch.cat([getattr(m, part) for m in (layer.query, layer.key, layer.value)])
        for part in ("weight", "bias")
    }
    names = {"self_attn.out_proj": "output", "linear1": "up", "linear2": "down", "norm1": "norm1", "norm2": "norm2"}
    own = {f"{name}.{p}": getattr(getattr(layer, mine), p) for name, mine in names.items() for p in ("weight", "bias")}
    theirs.load_state_dict(joint | own)
    torch.testing.assert_close(layer(X, seen), theirs(X, src_mask=~seen))


@pytest.mark.parametrize("steps", [s for s in SLIPS if s not in UNSEEN], ids=lambda s: s.__name__)
def test_a_slip_in_a_block_shows(steps, given):
    wrong = blocks.slipping(Layer)(steps)
    assert wrong.__name__ == steps.__name__
    assert any(
        not _alike(weighted(wrong, norm_first), weighted(Layer, norm_first), given) for norm_first in (False, True)
    )


def _alike(one, other, given):
    try:
        return torch.allclose(one(*given), other(*given))
    except RuntimeError:
        return False  # a slip may make shapes that do not fit
