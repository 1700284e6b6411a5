"""Answers to core.loop."""

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.loop",
    spared={
        "large": "nothing depends on a size",
        "dependence": "nothing is drawn",
        "unwatched": "what is computed is seen in weights and numbers",
    },
)
wrong = ANSWERS.wrong


def nothing(*_):
    pass


def rates(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def forget(optimizer):
    optimizer.zero_grad()


def norm_clip(model, limit):
    nn.utils.clip_grad_norm_(model.parameters(), limit)


def epoch(
    *given,
    rate=rates,
    before=forget,
    mean=F.cross_entropy,
    clip=norm_clip,
    after=nothing,
    share=None,
    late=0,
    mode=True,
):
    """A right epoch, of which a part is replaced."""
    model, loader, optimizer, schedule, step, limit, device = given
    model.train(model.training or mode)
    total, count = 0.0, 0
    for x, y in loader:
        rate(optimizer, schedule(step + late))
        before(optimizer)
        loss = mean(model(x.to(device)), y.to(device))
        loss.backward()
        clip(model, limit)
        optimizer.step()
        after(optimizer)
        total, count, step = total + (share(loss) if share else loss.item()) * len(y), count + len(y), step + 1
    return total / count, step


def look(model, loader, device):
    """Sum of losses, and share of right ones, per image."""
    total, right, count = 0.0, 0, 0
    for x, y in loader:
        y = y.to(device)
        logits = model(x.to(device))
        total += F.cross_entropy(logits, y, reduction="sum").item()
        right, count = right + (logits.argmax(1) == y).sum().item(), count + len(y)
    return total / count, right / count


@wrong("plain", "the given code", true="epoch_as_given")
def given_epoch(model, loader, optimizer, schedule, step, limit, device):
    total = 0.0
    for group in optimizer.param_groups:
        group["lr"] = schedule(step)
    for x, y in loader:
        loss = F.cross_entropy(model(x.to(device)), y.to(device))
        loss.backward()
        optimizer.step()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.zero_grad()
        total += loss.item()
        step += 1
    return total / len(loader), step


@wrong("named", "zeroed after each step: what was left from before is in the first one", true="ForgottenAfterTheStep")
def zeroed_late(*given):
    return epoch(*given, before=nothing, after=forget)


@wrong("onward", "the next step is the number of batches", told=r"right where step is 0")
def counts_anew(model, loader, *given):
    return epoch(model, loader, *given)[0], len(loader)


@wrong("named", "divided by all images of the data set, of which a loader may give some")
def of_the_dataset(model, loader, *given):
    loss, step = epoch(model, loader, *given)
    return loss * sum(len(y) for _, y in loader) / len(loader.dataset), step


@wrong("far", "a logarithm of a softmax", told=r"logits far apart: norm of all gradients at each step is NaN")
def by_softmax(*given):
    return epoch(*given, mean=lambda z, y: F.nll_loss(z.softmax(-1).log(), y))


STEPS = {}


@wrong(
    "again",
    "the step is counted on in the module, and the argument counts once",
    told=r"two calls with the same arguments give two different results",
)
def counts_itself(model, loader, optimizer, schedule, step, limit, device):
    step = STEPS.setdefault("next", step)
    loss, STEPS["next"] = epoch(model, loader, optimizer, schedule, step, limit, device)
    return loss, STEPS["next"]


@wrong("plain", "the given code", at=1, true="look_as_given")
def given_look(model, loader, device):
    model.eval()
    total, right = 0.0, 0
    for x, y in loader:
        y = y.to(device)
        logits = model(x.to(device))
        total += F.cross_entropy(logits, y).item() * len(y)
        right += (logits.argmax(-1) == y).sum().item()
    return total / len(loader.dataset), right / (len(loader) * len(y))


@wrong(
    "plain",
    "half mended: numbers and graph are right, and the model is left at rest",
    at=1,
    true="LeavesEvaluationMode",
)
@torch.no_grad()
def left_at_rest(model, loader, device):
    return look(model.eval(), loader, device)


@wrong("plain", "half mended: it keeps a graph", at=1, true="KeepsTheGraph")
def keeps_a_graph(model, loader, device):
    mode = model.training
    found = look(model.eval(), loader, device)
    model.train(mode)
    return found


@wrong("surroundings", "gradients are switched off for good", at=1, told=r"leaves gradients switched off")
def off_for_good(model, loader, device):
    torch.set_grad_enabled(False)
    return keeps_a_graph(model, loader, device)


@wrong("ones", "each batch counts once, as if it had one image", at=1, true="MeansOfBatchMeans")
@torch.no_grad()
def mean_of_means(model, loader, device):
    found = [keeps_a_graph(model, [batch], device) for batch in loader]
    return tuple(np.mean(found, 0).tolist())


@wrong("given", "no weight needs a gradient, and afterwards all do", at=1, told=r"which weights can learn, afterwards")
def all_thawed(model, loader, device):
    found = keeps_a_graph(model.requires_grad_(False), loader, device)
    model.requires_grad_(True)
    return found


@ANSWERS.right
def by_hand(model, loader, optimizer, schedule, step, limit, device):
    """The loss and the clipping by their formulas; gradients set to None one by one."""
    model.train(True)
    losses = []
    for s, (x, y) in enumerate(loader, step):
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for p in model.parameters():
            p.grad = None
        z, y = model(x.to(device)), y.to(device)
        surprise = torch.logsumexp(z, 1) - z[torch.arange(len(y), device=z.device), y]
        surprise.mean().backward()
        norm = torch.cat([p.grad.flatten() for p in params]).norm()
        if norm > limit:
            for p in params:
                p.grad = p.grad * (limit / norm)
        for i in range(len(optimizer.param_groups)):
            optimizer.param_groups[i]["lr"] = schedule(s)
        optimizer.step()
        losses += surprise.detach().tolist()
    return torch.tensor(losses).mean(), step + len(loader)


@ANSWERS.right
def with_lambda_lr(model, loader, optimizer, schedule, step, limit, device):
    """All batches beforehand in a list, the loss from a module, detached tensors."""
    loss_of, sums = nn.CrossEntropyLoss(reduction="none"), defaultdict(float)
    model.train()
    batches = list(loader)
    for x, y in batches:
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        model.zero_grad(set_to_none=False)
        losses = loss_of(model(x.to(device)), y.to(device))
        losses.mean().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        nn.utils.clip_grads_with_norm_(
            [p for p in model.parameters() if p.grad is not None], limit, nn.utils.get_total_norm(grads)
        )
        optimizer.step()
        sums["loss"] += losses.detach().sum()
        sums["n"] += losses.numel()
        step += 1
    return sums["loss"] / sums["n"], step


@ANSWERS.right_at(1)
def inference(model, loader, device):
    modes = [(part, part.training) for part in model.modules()]
    try:
        with torch.inference_mode():
            model.train(False)
            found = look(model, loader, device)
    finally:
        for part, mode in modes:
            part.training = mode
    return found
