"""What stands in for "Mend this code, a schedule" while it is unsolved, from public libraries."""

import torch


def from_library(step, peak, warmup, total, floor):
    """torch's own schedules, taken to the step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if step >= total:
        return floor
    with torch.no_grad():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, eta_min=floor)
    return schedule._get_closed_form_lr()[0] if step == warmup else _closed(schedule, step - warmup)


def _closed(schedule, step):
    schedule.last_epoch = step
    return schedule._get_closed_form_lr()[0]


LIBRARY = (from_library,)
