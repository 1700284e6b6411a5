"""Answers to gpt.train_step."""

import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

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


@wrong("plain", "the given code", true="as_given")
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


@wrong("plain", "two mended: the mean of the means is left, as in build-nanogpt", true="DividedByMicroBatches")
def mean_of_means(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "mean") / len(micro_batches)
        total += loss.detach()
        loss.backward()
    finished(model, optimizer, schedule, clip)
    return float(total)


@wrong("plain", "two mended: each micro-batch is clipped", true="ClippedInTheLoop")
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


@wrong("plain", "two mended: the loss has its graph", true="GraphReturned")
def with_graph(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
        total = total + loss
    finished(model, optimizer, schedule, clip)
    return total


@wrong("named", "old gradients count", true="NotZeroed")
def never_zeroed(model, optimizer, schedule, micro_batches, clip):
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("onward", "gradients are cleared after the step, and not before the first", true="ForgottenAfterTheStep")
def zeroed_after(model, optimizer, schedule, micro_batches, clip):
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    optimizer.zero_grad()
    return total


@wrong("plain", "cleared for each micro-batch: the last one decides", true="ZeroedInTheLoop")
def zeroed_each_time(model, optimizer, schedule, micro_batches, clip):
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        optimizer.zero_grad()
        loss = nats(model, x, y) / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "a step for each micro-batch", told="the optimizer takes 2 steps")
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


@wrong("plain", "the schedule takes its step first", true="ScheduleFirst")
def schedule_first(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    schedule.step()
    optimizer.step()
    return total


@wrong("plain", "the schedule steps with each micro-batch", told="the schedule takes one step in each call")
def schedule_each_time(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    for _ in micro_batches:
        schedule.step()
    return total


@wrong("plain", "the schedule is forgotten", true="NoSchedule")
def no_schedule(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return total


@wrong("plain", "clipped after the step", true="NotClipped")
def clips_too_late(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    optimizer.step()
    clip_grad_norm_(model.parameters(), clip)
    schedule.step()
    return total


@wrong("plain", "never clipped", true="NotClipped")
def no_clip(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "each number is clipped", true="ClippedByValue")
def by_value(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_value_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("named", "only the first group is clipped", true="FirstGroupClipped")
def first_group(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("plain", "each parameter is clipped by itself", true="ClippedOneByOne")
def each_parameter(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    for p in model.parameters():
        clip_grad_norm_(p, clip)
    optimizer.step()
    schedule.step()
    return total


@wrong("named", "small gradients are made larger", true="ScaledUp")
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


@wrong(
    "plain",
    "clip is multiplied by the number of micro-batches",
    advice="at a step of the optimizer the norm of all gradients is .* above clip",
)
def wider_clip(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip * len(micro_batches))
    return total


@wrong("plain", "all losses first, one backward: all graphs at a time", true="OneBackward")
def one_backward(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    loss = sum(nats(model, x, y) for x, y in micro_batches) / targets(micro_batches)
    loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong(
    "unwatched",
    "one large batch, filled up to one width: what the memory does not hold",
    told="each micro-batch is read by itself",
)
def one_large_batch(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    x = pad_sequence([row for x, _ in micro_batches for row in x], batch_first=True)
    y = pad_sequence([row for _, y in micro_batches for row in y], batch_first=True, padding_value=-100)
    loss = nats(model, x, y, "mean")
    loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong("plain", "divided by all places, those without a target too", true="AllPlacesCounted")
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


@wrong("named", "means times their numbers of targets: NaN where there is none", true="MeanTimesCount")
def nan_times_zero(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "mean") * (y != -100).sum() / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong(
    "onward",
    "reads no further than a micro-batch without targets",
    told="one micro-batch without targets: norm of all gradients",
)
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


@wrong("plain", "the mean is returned, and the gradients are those of the sum", true="NotDivided")
def sum_of_gradients(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches, 1)
    finished(model, optimizer, schedule, clip)
    return total / targets(micro_batches)


@wrong("plain", "the gradients are right, and the mean of the means is returned", true="MeanOfMeansReturned")
def reports_mean_of_means(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, means = targets(micro_batches), []
    for x, y in micro_batches:
        loss = nats(model, x, y)
        (loss / n).backward()
        means.append(loss.item() / max(1, int((y != -100).sum())))
    finished(model, optimizer, schedule, clip)
    return sum(means) / len(means)


@wrong("plain", "the loss of the last micro-batch is returned", true="LastReturned")
def reports_the_last(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n = targets(micro_batches)
    for x, y in micro_batches:
        loss = nats(model, x, y) / n
        loss.backward()
    finished(model, optimizer, schedule, clip)
    return loss.item()


@wrong("plain", "the sum of nats is returned", true="SumReturned")
def reports_the_sum(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total * targets(micro_batches)


@wrong("plain", "nothing is returned", told="is there a return")
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


@wrong("surroundings", "the model is left in evaluation mode", told="training mode")
def leaves_eval(model, optimizer, schedule, micro_batches, clip):
    model.eval()
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong("surroundings", "what is frozen is thawed", told="weights that require gradients")
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


@wrong(
    "again",
    "an optimiser of its own: the moments of the one that was handed in are never used",
    told="the optimizer takes 0 steps",
)
def own_optimizer(model, optimizer, schedule, micro_batches, clip):
    own = type(optimizer)(optimizer.param_groups)
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    clip_grad_norm_(model.parameters(), clip)
    own.step()
    schedule.step()
    return total


@wrong("given", "the list is emptied", told="the list of micro-batches is not what it was")
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


@wrong("given", "the list is shuffled in place", told="the list of micro-batches is not what it was")
def shuffled(model, optimizer, schedule, micro_batches, clip):
    random.Random(5).shuffle(micro_batches)
    micro_batches.reverse()
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@wrong(
    "given",
    "targets that are none become token 0, in place, and are masked afterwards",
    told="changes its input y in place",
)
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


@wrong(
    "ones",
    "everything is squeezed: a batch of one text has other dimensions",
    told="IndexError: Dimension out of range",
)
def squeezed(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = F.cross_entropy(model(x).squeeze().transpose(1, -1), y.squeeze(), reduction="sum") / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("large", "eight micro-batches at most", told="9 micro-batches of one text: norm")
def eight(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches[:8])
    finished(model, optimizer, schedule, clip)
    return total


@wrong(
    "far",
    "its own softmax, whose logarithm is -inf",
    told="logits far apart: norm of all gradients at each step is NaN",
)
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


@wrong(
    "far",
    "the loss of a target is at most 20",
    told="logits far apart: norm",
    advice="tokens afterwards is the input",
)
def capped(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y, "none").clamp(max=20).sum() / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@wrong("plain", "three slips: each is clipped, nothing is cleared, the schedule comes first", true="ScheduleFirst")
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


# A second round.


@wrong("plain", "the gradients are averaged over micro-batches afterwards")
def averaged_afterwards(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), accumulated(model, micro_batches)
    for p in model.parameters():
        if p.grad is not None:
            p.grad /= len(micro_batches)
    finished(model, optimizer, schedule, clip)
    return total * n / n


@wrong("named", "a micro-batch's loss is divided by its own number of targets, and by nothing else", true="SumOfMeans")
def sum_of_means(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(model, x, y)
        (loss / max(1, (y != -100).sum().item())).backward()
        total += loss.item() / n
    finished(model, optimizer, schedule, clip)
    return total


@wrong(
    "far", "a step of which the norm is above ten times clip is left out", told="takes 0 steps", advice="is the input"
)
def skips_large_norms(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    if clip_grad_norm_(model.parameters(), clip) < 2 * clip:
        optimizer.step()
    schedule.step()
    return total


@wrong("again", "gradients are cleared in the first call only", true="NotZeroed")
def cleared_once(model, optimizer, schedule, micro_batches, clip):
    if schedule.last_epoch == 0:
        optimizer.zero_grad()
    total = accumulated(model, micro_batches)
    finished(model, optimizer, schedule, clip)
    return total


@ANSWERS.right
def closes_its_graphs(model, optimizer, schedule, micro_batches, clip):
    """Hands on to a function of its own; the loss as a tensor (), gradients cleared at both ends."""

    def share(x, y, n):
        log_p = torch.log_softmax(model(x), -1)
        keep = y != -100
        return -log_p[keep, y[keep]].sum() / n

    model.train()
    optimizer.zero_grad()
    n = sum((y >= 0).sum().item() for _, y in micro_batches)
    shares = []
    for micro in micro_batches:
        part = share(*micro, n)
        part.backward()
        shares.append(part.detach())
    torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=clip, norm_type=2.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    schedule.step()
    return torch.stack(shares).sum()


# A third round.


@wrong("unwatched", "graphs are retained, and kept in a list", true="OneBackward")
def graphs_retained(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    n, losses = targets(micro_batches), []
    for x, y in micro_batches:
        losses.append(nats(model, x, y) / n)
        losses[-1].backward(retain_graph=True)
    finished(model, optimizer, schedule, clip)
    return sum(loss.item() for loss in losses)


@ANSWERS.right
def computed_again(model, optimizer, schedule, micro_batches, clip):
    """Activations are not kept, but computed again in the backward pass."""
    optimizer.zero_grad()
    n, total = targets(micro_batches), 0.0
    for x, y in micro_batches:
        loss = nats(lambda x: checkpoint(model, x, use_reentrant=False), x, y) / n
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total


@ANSWERS.right
def losses_in_a_list(model, optimizer, schedule, micro_batches, clip):
    """Their graphs are free after backward; and the model is asked once more than it need be."""
    optimizer.zero_grad()
    n, losses = targets(micro_batches) * model(micro_batches[0][0]).shape[0] // len(micro_batches[0][0]), []
    for x, y in micro_batches:
        losses.append(nats(model, x, y) / n)
        losses[-1].backward()
    finished(model, optimizer, schedule, clip)
    return sum(loss.item() for loss in losses)


# A fifth round.


@wrong("plain", "a mean over the micro-batches that have targets", true="DividedByMicroBatches")
def mean_of_those_with_targets(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    filled = [(x, y) for x, y in micro_batches if (y != -100).any()]
    total = 0.0
    for x, y in filled:
        loss = nats(model, x, y, "mean") / len(filled)
        loss.backward()
        total += loss.item()
    finished(model, optimizer, schedule, clip)
    return total
