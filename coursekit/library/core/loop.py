"""What stands in for "Mend this code, an epoch and a look" while it is unsolved, from public libraries."""

import torch
from torch import nn


def _train_epoch(model, loader, optimizer, schedule, step, limit, device):
    """torch's own scheduler, begun at `step` from rates of 1."""
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: schedule(step + done))
    criterion, losses = nn.CrossEntropyLoss(reduction="none"), []
    for images, labels in loader:
        optimizer.zero_grad()
        losses.append(criterion(model.train()(images.to(device)), labels.to(device)))
        losses[-1].mean().backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        scheduler.step()
    return torch.cat(losses).mean().detach(), step + scheduler.last_epoch


def _evaluate(model, loader, device):
    """All logits at once, without any record of how they were made."""
    training = model.training
    with torch.inference_mode():
        pairs = [(model.eval()(images.to(device)), labels.to(device)) for images, labels in loader]
        logits, labels = map(torch.cat, zip(*pairs, strict=True))
        found = nn.CrossEntropyLoss()(logits, labels), logits.argmax(1).eq(labels).double().mean()
    model.train(training)
    return found


LIBRARY = (_train_epoch, _evaluate)
