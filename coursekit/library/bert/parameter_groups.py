"""What stands in for "Parameter groups and a schedule" while it is unsolved, from public libraries."""

import torch
from torch import nn


def _groups(parts, rate, factor, decay):
    """transformers' choice of what decays; torch's geometric series of rates."""
    from transformers.trainer_pt_utils import get_parameter_names  # here, because it takes seconds to import

    depths = torch.arange(len(parts) - 1, -1, -1.0, dtype=torch.float64)
    groups = []
    for part, lr in zip(parts, (rate * torch.pow(factor, depths)).tolist(), strict=True):
        decayed = get_parameter_names(part, [nn.LayerNorm], ["bias"])
        trained = [(n, p) for n, p in part.named_parameters() if p.requires_grad]
        for decays in (True, False):
            params = [p for n, p in trained if (n in decayed) == decays]
            groups.append({"params": params, "lr": lr, "weight_decay": decays * decay})
    return groups


def _schedule(step, warm, total):
    """transformers' schedule, whose warm-up counts from 0: there the first step has the rate 0."""
    from transformers.optimization import _get_linear_schedule_with_warmup_lr_lambda as theirs

    return theirs(step + (step < warm), num_warmup_steps=warm, num_training_steps=total)


LIBRARY = (_groups, _schedule)
