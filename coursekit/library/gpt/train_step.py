"""What stands in for "Mend this code, a step from micro-batches" while it is unsolved, from public libraries."""

import torch
from torch import nn


def library(model, optimizer, schedule, micro_batches, clip):
    """torch's own loss, summed, and torch's own clipping."""
    criterion = nn.CrossEntropyLoss(reduction="sum")  # leaves out -100 by itself
    targets = torch.cat([y.flatten() for _, y in micro_batches])
    count = targets.ne(criterion.ignore_index).sum().item()
    optimizer.zero_grad()
    nats = 0.0
    for x, y in micro_batches:
        loss = criterion(model(x).mT, y)
        loss.div(count).backward()
        nats += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return nats / count


LIBRARY = (library,)
