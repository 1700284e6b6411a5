"""What stands in for "Mend this code, a schedule" while it is unsolved, from public libraries."""

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR


def from_library(step, peak, warmup, total, floor):
    """torch's own schedules, taken to the step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    if warmup > step:
        schedule = LinearLR(optimizer, 1 / warmup, total_iters=max(1, warmup - 1))
        schedule.last_epoch = step
    else:
        length = max(1, total - warmup)
        schedule = CosineAnnealingLR(optimizer, length, eta_min=floor)
        schedule.last_epoch = length if total <= step else step - warmup
    return schedule._get_closed_form_lr()[0]


LIBRARY = (from_library,)
