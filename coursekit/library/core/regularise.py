"""What stands in for "Mend this code, three ways to regularise" while it is unsolved, from public libraries."""

import itertools

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from coursekit.exercises.core.regularise import Rescale


def _dropout(x, p, training, g):
    """torch's own, which draws from the global numbers: these are begun from g, and set right again."""
    with torch.random.fork_rng():
        torch.manual_seed(torch.randint(2**62, (), generator=g, device=g.device).item())
        return nn.functional.dropout(x, p, training)


def _decay_groups(model):
    """transformers' choice of what decays."""
    from transformers.trainer_pt_utils import get_parameter_names  # here, because it takes seconds to import

    decayed = get_parameter_names(model, [nn.LayerNorm, Rescale], ["bias", "temperature"])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return [p for n, p in trained.items() if n in decayed], [p for n, p in trained.items() if n not in decayed]


@torch.no_grad()
def _average(shadow, model, beta, step):
    """torch's moving average of a list of tensors."""
    pairs = zip(
        itertools.chain(shadow.parameters(), shadow.buffers()),
        itertools.chain(model.parameters(), model.buffers()),
        strict=True,
    )
    floats = [(old, new) for old, new in pairs if old.is_floating_point()]
    get_ema_multi_avg_fn(min(beta, (1 + step) / (10 + step)))(*map(list, zip(*floats, strict=True)), step)
    for old, new in zip(shadow.buffers(), model.buffers(), strict=True):
        if not old.is_floating_point():
            old.copy_(new)


LIBRARY = (_dropout, _decay_groups, _average)
