"""Answers to bert.fine_tuning."""

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("bert.fine_tuning", spared={"dependence": "nothing is drawn, and the order of the batches is given"})
training, evaluation = partial(ANSWERS.wrong, at=0), partial(ANSWERS.wrong, at=1)


def moved(batch, device):
    return [x.to(device) for x in batch]


# Training.


@training("plain", "gradients are forgotten after backward, so no step moves anything", true="ForgottenTooLate")
def forgets_after_backward(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        optimizer.zero_grad()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "surroundings",
    "zero_grad comes after the step: gradients from before the call are in the first step",
    true="ForgottenAfterTheStep",
)
def forgets_at_the_end(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "plain",
    "three slips: no zero_grad, no scheduler, the mean of the batches' means",
    true="NotZeroed SchedulerPerEpoch MeanOfBatchMeans",
    told="rate of each step differs|norm of all gradients",
)
def three_slips(model, batches, optimizer, scheduler, clip, device):
    model.train()
    losses = []
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@training(
    "plain",
    "two slips: evaluation mode in the loop, and the scheduler once an epoch",
    true="ModeNotSet SchedulerPerEpoch",
    told="calls with dropout switched off|rate of each step",
)
def eval_inside_and_scheduler_outside(model, batches, optimizer, scheduler, clip, device):
    total, n = 0.0, 0
    for batch in batches:
        model.eval()
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    scheduler.step()
    return total / n


@training(
    "plain",
    "train() is called, then eval() inside of the loop, as after a look at the validation split",
    true="RestsAfterTheFirst",
)
def eval_in_the_loop(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        model.eval()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "named",
    "only the first group's gradients are clipped, not all together",
    told="the norm of all gradients is .*, above clip = 0.2",
)
def clips_the_first_group(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training("named", "each parameter's gradient is clipped by its own norm", true="ClippedOneByOne")
def clips_each_by_itself(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_((clip / p.grad.norm()).clamp(max=1))
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "given",
    "a copy of the model is trained, the model itself is not",
    told="steps of the optimizer",
    advice="token.weight afterwards is the input token.weight, unchanged",
)
def trains_a_copy(model, batches, optimizer, scheduler, clip, device):
    twin = copy.deepcopy(model).train()
    optimizer = type(optimizer)([p for p in twin.parameters() if p.requires_grad], **optimizer.defaults)
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(twin(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "given", "an optimiser of its own: whatever was handed in, it is AdamW at 1e-3", told="steps of the optimizer"
)
def makes_its_own_optimizer(model, batches, optimizer, scheduler, clip, device):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


class Meter:
    """The AverageMeter of many repositories."""

    def __init__(self):
        self.total, self.n = 0.0, 0

    def add(self, value, n):
        self.total, self.n = self.total + value * n, self.n + n


METER = Meter()


@training(
    "again",
    "the meter is a global and is never set back: the second epoch's mean holds the first one's losses",
    told="keeps something from one call to the next",
)
def one_meter_for_ever(model, batches, optimizer, scheduler, clip, device):
    model.train()
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        METER.add(loss.item(), len(labels))
    return METER.total / METER.n


@training(
    "ones",
    "after a squeeze the length of the logits is no longer that of a batch of one sentence",
    told="mean loss differs",
)
def squeezes_the_logits(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real).squeeze()
        loss = F.cross_entropy(logits, labels.squeeze())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(logits), n + len(logits)
    return total / n


@training(
    "far",
    "the loss by the formula's letters, -log(softmax): infinite where a logit lies far below",
    told="NaN|infinite",
)
def logarithm_of_softmax(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        p = model(ids, real).softmax(-1)
        loss = -p[torch.arange(len(labels)), labels].log().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training("plain", "softmax before cross_entropy, which takes it once more", true="SoftmaxTwice")
def softmax_twice(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = nn.CrossEntropyLoss()(torch.softmax(model(ids, real), -1), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "onward", "a batch that is smaller than the first one is left out, and all after it", told="steps of the optimizer"
)
def stops_at_a_small_batch(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        if len(labels) < len(batches[0][2]):
            break
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "large",
    "at most twenty batches, left from a quick try",
    told="steps of the optimizer",
    advice="rate afterwards is 0.0238095 everywhere",
)
def twenty_batches(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for i, batch in enumerate(batches):
        if i >= 20:
            break
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "plain",
    "frozen weights are trained too: a step by hand on every parameter, thawed before",
    told="which weights can learn",
)
def thaws(model, batches, optimizer, scheduler, clip, device):
    model.train().requires_grad_(True)
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "unwatched",
    "only the model itself is told that it trains: its parts stay in evaluation mode",
    told="calls with dropout switched off",
    true="ModeNotSet",
)
def sets_the_flag_by_hand(model, batches, optimizer, scheduler, clip, device):
    model.training = True
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training("unwatched", "the scheduler is not stepped after the last batch, but its counter is set", told="rate")
def forges_the_counter(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if batch is not batches[-1]:
            scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    scheduler.last_epoch += 1
    return total / n


@training(
    "plain",
    "no optimizer.step(), and a mean over len(batches)",
    true="NoStep",
    told="steps of the optimizer",
    advice="token.weight afterwards is the input token.weight, unchanged",
)
def never_steps(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total = 0.0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        scheduler.step()
        total += loss.item() * len(labels)
    return total / len(batches)


@training(
    "plain",
    "the clip comes before backward, and the model is not told which tokens are real",
    told="the norm of all gradients is .*, above clip = 0.2",
)
def clip_first_and_all_real(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, torch.ones_like(real)), labels)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training("plain", "the loss is already a number: it has no backward", told="already")
def item_too_early(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels).item()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss * len(labels), n + len(labels)
    return total / n


# Evaluation.


@evaluation("surroundings", "gradients are switched off and stay so", told="gradients switched off")
def switches_gradients_off(model, batches, device):
    torch.set_grad_enabled(False)
    mode = model.training
    model.eval()
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation("surroundings", "the graph is kept off by freezing the model for good", told="which weights can learn")
def freezes_the_model(model, batches, device):
    mode = model.training
    model.eval().requires_grad_(False)
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        with torch.no_grad():
            logits = model(ids, real)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation(
    "plain",
    "three slips: accuracy of the last batch, mean of means, training mode afterwards",
    true="LastBatchAlone LeavesTrainingMode MeansOfBatchMeans",
    told="training mode afterwards differs",
)
@torch.no_grad()
def the_last_batch(model, batches, device):
    model.eval()
    losses = []
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        losses.append(F.cross_entropy(logits, labels).item())
    model.train()
    return sum(losses) / len(losses), (logits.argmax(-1) == labels).float().mean().item()


@evaluation("plain", "accuracy in percent", true="InPercent")
@torch.no_grad()
def in_percent(model, batches, device):
    mode = model.training
    model.eval()
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, 100 * hits / n


@evaluation(
    "plain", "max along a dimension gives values and indices, and both are compared", told="pair of values and indices"
)
@torch.no_grad()
def max_without_indices(model, batches, device):
    mode = model.training
    model.eval()
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.max(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation(
    "unwatched", "only the model itself is told to rest: the dropout in it goes on", true="EvaluatedWithDropout"
)
@torch.no_grad()
def rests_by_its_flag(model, batches, device):
    mode, model.training = model.training, False
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation("plain", "one number is returned: the loss", told="expected 2 numbers")
@torch.no_grad()
def the_loss_alone(model, batches, device):
    mode = model.training
    model.eval()
    loss = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        loss += F.cross_entropy(model(ids, real), labels).item() * len(labels)
        n += len(labels)
    model.train(mode)
    return loss / n


@evaluation(
    "given", "the batches are moved inside of the caller's list, and used up", told="labels in the batches, afterwards"
)
@torch.no_grad()
def uses_the_batches_up(model, batches, device):
    mode = model.training
    model.eval()
    loss = hits = n = 0
    while batches:
        ids, real, labels = moved(batches.pop(0), device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


# Right ones.


def looked(model, batches, device):
    """A right one."""
    mode = model.training
    model.eval()
    loss = hits = n = 0
    with torch.no_grad():
        for batch in batches:
            ids, real, labels = moved(batch, device)
            logits = model(ids, real)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            hits += (logits.argmax(-1) == labels).sum().item()
            n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation("given", "the model is emptied at the end", told="token.weight afterwards")
def empties_the_model(model, batches, device):
    found = looked(model, batches, device)
    for p in model.parameters():
        p.data.zero_()
    return found


@evaluation("given", "the model is turned to float64 for good", told="which weights have their dtype")
def exact_for_good(model, batches, device):
    return looked(model.double(), batches, device)


@evaluation("given", "a last step of weight decay", told="linear.bias afterwards|token.weight afterwards")
def decays_while_looking(model, batches, device):
    found = looked(model, batches, device)
    for p in model.parameters():
        p.data.mul_(0.99)
    return found


@ANSWERS.right_at(0)
def clips_by_the_formula(model, batches, optimizer, scheduler, clip, device):
    model.train()
    losses = []
    for batch in batches:
        ids, real, labels = moved(batch, device)
        model.zero_grad()
        each = F.cross_entropy(model(ids, real), labels, reduction="none")
        each.mean().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.sqrt(sum((g**2).sum() for g in grads))
        for g in grads:
            g *= min(1, clip / norm)
        optimizer.step()
        scheduler.step()
        losses.append(each.detach())
    return torch.cat(losses).mean()


@ANSWERS.right_at(0)
def with_autograd_grad(model, batches, optimizer, scheduler, clip, device):
    model.train()
    weights = [p for p in model.parameters() if p.requires_grad]
    total, n = torch.zeros((), dtype=torch.float64), 0
    for ids, real, labels in batches:
        logp = model(ids.to(device), real.to(device)).log_softmax(-1)
        loss = F.nll_loss(logp, labels.to(device))
        grads = torch.autograd.grad(loss, weights)
        scale = (clip / torch.cat([g.flatten() for g in grads]).norm()).clamp(max=1.0)
        for p, g in zip(weights, grads, strict=True):
            p.grad = g * scale
        optimizer.step()
        scheduler.step()
        n += len(labels)
        total += loss.detach().cpu().double() * len(labels)
    return total / n


@ANSWERS.right_at(0)
def clips_what_the_optimizer_has(model, batches, optimizer, scheduler, clip, device):
    model.train(True)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    running = 0.0
    for ids, real, labels in batches:
        optimizer.zero_grad(set_to_none=False)
        loss = nn.CrossEntropyLoss()(model(ids.to(device), real.to(device)), labels.to(device).long())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, max_norm=clip, norm_type=2.0, foreach=False)
        optimizer.step()
        scheduler.step()
        running += loss.item() * labels.size(0)
    return running / sum(len(batch[2]) for batch in batches)


@ANSWERS.right_at(1)
def all_logits_together(model, batches, device):
    mode = model.training
    model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(ids.to(device), real.to(device)) for ids, real, _ in batches])
        labels = torch.cat([labels for *_, labels in batches]).to(device)
        loss = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(1) == labels).to(logits.dtype).mean()
    if mode:
        model.train()
    return loss, accuracy


@ANSWERS.right_at(1)
@torch.no_grad()
def each_module_its_mode(model, batches, device):
    modes = {m: m.training for m in model.modules()}
    model.eval()
    total, hits, n = 0.0, 0, 0
    try:
        for ids, real, labels in batches:
            logits = model(ids.to(device), real.to(device)).cpu().double()
            total += F.cross_entropy(logits, labels, reduction="sum").item()
            hits += sum(int(row.argmax()) == int(c) for row, c in zip(logits, labels, strict=True))
            n += len(labels)
    finally:
        for m, was in modes.items():
            m.training = was
    return [total / n, hits / n]


# A second round.


@training("given", "the batches are shuffled, in the caller's own list", told="labels in the batches, afterwards")
def shuffles(model, batches, optimizer, scheduler, clip, device):
    model.train()
    batches.reverse()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training(
    "named", "the gradient is made as long as clip also where it was shorter", told="norm of all gradients at each step"
)
def always_scales(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels)
        loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.cat([g.flatten() for g in grads]).norm()
        for g in grads:
            g.mul_(clip / norm)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item() * len(labels), n + len(labels)
    return total / n


@training("plain", "the loss is the sum of a batch, not its mean", told="norm of all gradients at each step")
def sums_the_loss(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids, real), labels, reduction="sum")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total, n = total + loss.item(), n + len(labels)
    return total / n


@training(
    "plain",
    "a second backward: each loss is added up as a tensor, graph and all, and the sum is learnt from",
    told="changed in place",
)
def adds_up_graphs(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        optimizer.zero_grad()
        total = total + F.cross_entropy(model(ids, real), labels) * len(labels)
        n += len(labels)
        (total / n).backward(retain_graph=True)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
    return total / n


@evaluation("plain", "argmax over the sentences, not over the classes", told="labels is \\(6,\\)")
@torch.no_grad()
def argmax_over_sentences(model, batches, device):
    mode = model.training
    model.eval()
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.argmax(0) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return loss / n, hits / n


@evaluation("plain", "accuracy comes first, then the loss", told="are exchanged")
@torch.no_grad()
def the_other_way_round(model, batches, device):
    mode = model.training
    model.eval()
    loss = hits = n = 0
    for batch in batches:
        ids, real, labels = moved(batch, device)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels).item() * len(labels)
        hits += (logits.argmax(-1) == labels).sum().item()
        n += len(labels)
    model.train(mode)
    return hits / n, loss / n


@ANSWERS.right_at(0)
def looks_at_the_accuracy_too(model, batches, optimizer, scheduler, clip, device):
    """A second call without a graph, for a number that is only printed."""
    total, n, hits = 0.0, 0, 0
    for ids, real, labels in batches:
        model.train()
        ids, real, labels = ids.to(device), real.to(device), labels.to(device)
        loss = F.cross_entropy(model(ids, real), labels, reduction="sum")
        optimizer.zero_grad()
        (loss / len(labels)).backward()
        nn.utils.clip_grad_norm_(filter(lambda p: p.grad is not None, model.parameters()), clip)
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            hits += (model.eval()(ids, real).argmax(-1) == labels).sum().item()
        total, n = total + loss.item(), n + len(labels)
    print(f"loss {total / n:.3f}, accuracy {hits / n:.3f}")
    model.train()
    return total / n
