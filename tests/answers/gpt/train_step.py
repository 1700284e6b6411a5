"""Answers to gpt.train_step."""

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.nn.utils.rnn import pad_sequence

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.train_step", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


def nats(model, x, y, reduction="sum"):
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction=reduction)


def targets(micro_batches):
    return sum(int((y != -100).sum()) for _, y in micro_batches)


def accumulated(model, micro_batches, n=None):
    """Gradients of the mean over all targets; the mean is returned."""
    n, total = n or targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
        total += loss.item()
    return total


def finished(model, optimizer, schedule, clip):
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()


@wrong("plain", "the given code")
def given_step(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / len(micro_batches)
        loss.backward()
        clip_grad_norm_(model.parameters(), clip)
        total = total + loss
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "two mended: the mean of the means is left, as in build-nanogpt")
def mean_of_means(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "mean") / len(micro_batches)
        total += loss.detach()
        loss.backward()
    finished(model, optimizer, schedule, clip)
    return float(total)


@wrong("plain", "two mended: each micro-batch is clipped")
def clips_each(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
        clip_grad_norm_(model.parameters(), clip)
        total += loss.item()
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "two mended: the loss has its graph")
def with_graph(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
        total = total + loss
    finished(model, optimizer, schedule, clip)
    return total


@wrong("named", "old gradients count")
def never_zeroed(model, optimizer, schedule, micro_batches, clip):
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("onward", "gradients are cleared after the step, and not before the first")
def zeroed_after(model, optimizer, schedule, micro_batches, clip):
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    optimizer.zero_grad()
    return total


@wrong("plain", "cleared for each micro-batch: the last one decides")
def zeroed_each_time(model, optimizer, schedule, micro_batches, clip):
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        optimizer.zero_grad()
        loss = nats(model, x, y) / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "a step for each micro-batch")
def steps_each_time(model, optimizer, schedule, micro_batches, clip):
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        optimizer.zero_grad()
        loss = nats(model, x, y) / n
        loss.backward()
        clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        total += loss.item()
    schedule.step()
    return total


@wrong("plain", "the schedule takes its step first")
def schedule_first(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    schedule.step()
    optimizer.step()
    return total


@wrong("plain", "the schedule steps with each micro-batch")
def schedule_each_time(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    for _ in micro_batches:
        schedule.step()
    return total


@wrong("plain", "the schedule is forgotten")
def no_schedule(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return total


@wrong("plain", "clipped after the step")
def clips_too_late(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    optimizer.step()
    clip_grad_norm_(model.parameters(), clip)
    schedule.step()
    return total


@wrong("plain", "never clipped")
def no_clip(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "each number is clipped")
def by_value(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_value_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("named", "only the first group is clipped")
def first_group(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "each parameter is clipped by itself")
def each_parameter(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    for p in model.parameters():
        clip_grad_norm_(p, clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("named", "small gradients are made larger")
def scaled_up(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in grads]).norm()
    for g in grads:
        g *= clip / norm
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "clip is multiplied by the number of micro-batches")
def wider_clip(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip * len(micro_batches))
    return total


@wrong("plain", "all losses first, one backward: all graphs at a time")
def one_backward(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    loss = sum(nats(model, x, y) for x, y in micro_batches) / targets(micro_batches)
    loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong("unwatched", "one large batch, filled up to one width: what the memory does not hold")
def one_large_batch(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    x = pad_sequence([row for x, _ in micro_batches for row in x], batch_first=True)
    y = pad_sequence([row for _, y in micro_batches for row in y], batch_first=True, padding_value=-100)
    loss = nats(model, x, y, "mean")
    loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong("plain", "divided by all places, those without a target too")
def all_places(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches, sum(y.numel() for _, y in micro_batches))
    finished(model, optimizer, schedule, clip)
    return total


@wrong("named", "targets are counted with y > 0: token 0 is none")
def token_zero(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches, sum(int((y > 0).sum()) for _, y in micro_batches))
    finished(model, optimizer, schedule, clip)
    return total


@wrong("named", "means times their numbers of targets: NaN where there is none")
def nan_times_zero(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "mean") * (y != -100).sum() / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("onward", "reads no further than a micro-batch without targets")
def until_an_empty_one(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        if (y == -100).all():
            break
        loss = nats(model, x, y) / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "weighted by rows, not by targets")
def by_rows(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total, rows = 0.0, sum(len(x) for x, _ in micro_batches)
    for x, y in micro_batches:
        if (y != -100).any():
            loss = nats(model, x, y, "mean") * len(x) / rows
            loss.backward()
            total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "the mean is returned, and the gradients are those of the sum")
def sum_of_gradients(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches, 1)
    finished(model, optimizer, schedule, clip)
    return total / targets(micro_batches)


@wrong("plain", "the gradients are right, and the mean of the means is returned")
def reports_mean_of_means(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, means = targets(micro_batches), []
    for x, y in micro_batches:
        loss = nats(model, x, y)
        (loss / n).backward()
        means.append(loss.item() / max(1, int((y != -100).sum())))
    finished(model, optimizer, schedule, clip)
    return sum(means) / len(means)


@wrong("plain", "the loss of the last micro-batch is returned")
def reports_the_last(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n = targets(micro_batches)
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong("plain", "the sum of nats is returned")
def reports_the_sum(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total * targets(micro_batches)


@wrong("plain", "nothing is returned")
def returns_nothing(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)


@wrong("plain", "the loss is taken again after the step, by a second reading")
def reports_afterwards(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    with torch.no_grad():
        return (sum(nats(model, x, y) for x, y in micro_batches) / targets(micro_batches)).item()


@wrong("surroundings", "the model is left in evaluation mode")
def leaves_eval(model, optimizer, schedule, micro_batches, clip):
    model.eval()
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("surroundings", "what is frozen is thawed")
def thaws(model, optimizer, schedule, micro_batches, clip):
    model.requires_grad_(True)
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


NUMBER = {}


@wrong("again", "the targets are counted in the first call, for all that have as many micro-batches")
def counted_once(model, optimizer, schedule, micro_batches, clip):
    n = NUMBER.setdefault(len(micro_batches), targets(micro_batches))
    optimizer.zero_grad()
    total = accumulated(model, micro_batches, n)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("again", "an optimiser of its own: the moments of the one that was handed in are never used")
def own_optimizer(model, optimizer, schedule, micro_batches, clip):
    own = type(optimizer)(optimizer.param_groups)
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    own.step()
    schedule.step()
    return total


@wrong("given", "the list is emptied")
def emptied(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    while micro_batches:
        x, y = micro_batches.pop(0)
        loss = nats(model, x, y) / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("given", "the list is shuffled in place")
def shuffled(model, optimizer, schedule, micro_batches, clip):
    random.Random(5).shuffle(micro_batches)
    micro_batches.reverse()
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("given", "targets that are none become token 0, in place, and are masked afterwards")
def targets_replaced(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        mask = y != -100
        y[~mask] = 0
        loss = (nats(model, x, y, "none") * mask.flatten()).sum() / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("ones", "everything is squeezed: a batch of one text has other dimensions")
def squeezed(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).squeeze().transpose(1, -1), y.squeeze(), reduction="sum") / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("large", "eight micro-batches at most")
def eight(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches[:8])
    finished(model, optimizer, schedule, clip)
    return total


@wrong("far", "its own softmax, whose logarithm is -inf")
def log_of_softmax(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        p = model(x).softmax(-1).flatten(0, 1).log()
        loss = F.nll_loss(p, y.flatten(), reduction="sum") / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("far", "the loss of a target is at most 20")
def capped(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "none").clamp(max=20).sum() / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "three slips: each is clipped, nothing is cleared, the schedule comes first")
def three_slips(model, optimizer, schedule, micro_batches, clip):
    n, total = targets(micro_batches), 0.0
    schedule.step()
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
        clip_grad_norm_(model.parameters(), clip)
        total += loss.item()
    optimizer.step()
    return total


@ANSWERS.right
def divided_afterwards(model, optimizer, schedule, micro_batches, clip):
    """Sums go backward, and the gradients are divided once they are all there."""
    model.zero_grad()
    total, n = 0.0, 0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).transpose(1, 2), y, reduction="sum")
        loss.backward()
        total, n = total + loss.item(), n + y.ne(-100).sum().item()
    for p in model.parameters():
        if p.grad is not None:
            p.grad.div_(n)
    finished(model, optimizer, schedule, clip)
    return total / n


@ANSWERS.right
def weighted_means(model, optimizer, schedule, micro_batches, clip):
    """A mean times its share, and what has no target is left out; a tensor without a graph."""
    optimizer.zero_grad(set_to_none=False)
    counts = [(y != -100).sum() for _, y in micro_batches]
    total = torch.zeros(())
    for (x, y), n in zip(micro_batches, counts, strict=True):
        if n == 0:
            continue
        loss = F.cross_entropy(model(x).reshape(y.numel(), -1), y.reshape(-1)) * (n / sum(counts))
        loss.backward()
        total = total + loss.detach()
    finished(model, optimizer, schedule, clip)
    return total


@ANSWERS.right
def by_hand(model, optimizer, schedule, micro_batches, clip):
    """autograd.grad, a sum of its own, and the norm by the equation."""
    ps = [p for p in model.parameters() if p.requires_grad]
    sums, total, n = [torch.zeros_like(p) for p in ps], 0.0, targets(micro_batches)
    for x, y in micro_batches:
        mask = y != -100
        nll = -model(x).log_softmax(-1).gather(-1, y.where(mask, 0)[..., None])[..., 0]
        loss = nll[mask].sum() / n
        for s, g in zip(sums, torch.autograd.grad(loss, ps), strict=True):
            s += g
        total += float(loss)
    norm = sum((s**2).sum() for s in sums) ** 0.5
    for p, s in zip(ps, sums, strict=True):
        p.grad = s * min(1.0, clip / norm)
    optimizer.step()
    schedule.step()
    return total


@ANSWERS.right
def by_optimizers_groups(model, optimizer, schedule, micro_batches, clip):
    """Clips what the optimiser holds; a criterion as an object; the number of targets first of all."""
    criterion = nn.CrossEntropyLoss(ignore_index=-100, reduction="sum")
    n_targets = torch.stack([(y != -100).sum() for _, y in micro_batches]).sum()
    optimizer.zero_grad(set_to_none=True)
    loss_sum = 0
    for x, y in micro_batches:
        logits = model(x)
        loss = criterion(logits.view(-1, logits.size(-1)), y.reshape(-1))
        loss.div(n_targets).backward()
        loss_sum += loss.detach()
    nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_norm=clip)
    optimizer.step()
    schedule.step()
    return (loss_sum / n_targets).item()
