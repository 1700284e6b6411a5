"""One pass of training and a look at the model, as `grader.steps.training` describes them."""

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted
from grader.steps import training as steps

TRUSTED = Trusted(
    (steps.Training().__call__, steps.Evaluation().__call__),
    budget="two functions, each with a dozen places where a line can be missing or in the wrong one",
)
TRUSTED.add_slips(
    lambda training: (training().__call__, steps.Evaluation().__call__),
    steps.NotZeroed,
    steps.ForgottenTooLate,
    steps.ForgottenAfterTheStep,
    steps.NotClipped,
    steps.ClippedByValue,
    steps.ClippedOneByOne,
    steps.SchedulerPerEpoch,
    steps.SchedulerFirst,
    steps.NoStep,
    steps.ModeNotSet,
    steps.RestsAfterTheFirst,
    steps.MeanOfBatchMeans,
    steps.SoftmaxTwice,
    steps.TrainedElsewhere,
)
TRUSTED.add_slips(
    lambda evaluation: (steps.Training().__call__, evaluation().__call__),
    steps.EvaluatedWithDropout,
    steps.LeavesEvaluationMode,
    steps.LeavesTrainingMode,
    steps.KeepsTheGraph,
    steps.MeansOfBatchMeans,
    steps.EvaluatedElsewhere,
    steps.LastBatchAlone,
    steps.InPercent,
)


def train_as_in_the_chapter(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total = 0.0
    for batch in batches:
        ids, real, labels = (part.to(device) for part in batch)
        loss = F.cross_entropy(model(ids, real), labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        total += loss.item() * len(labels)
    return total / sum(len(labels) for _, _, labels in batches)


@torch.no_grad()
def evaluate_as_in_the_chapter(model, batches, device):
    mode = model.training
    model.eval()
    loss, right, count = 0.0, 0, 0
    for batch in batches:
        ids, real, labels = (part.to(device) for part in batch)
        logits = model(ids, real)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(1) == labels).sum().item()
        count += len(labels)
    model.train(mode)
    return loss / count, right / count


def train_with_tensors(model, batches, optimizer, scheduler, clip, device):
    """Zeroes before the first step and after each, keeps sums as tensors, clips what the optimiser trains."""
    model = model.train()
    loss_function = nn.CrossEntropyLoss()
    losses, sizes = [], []
    optimizer.zero_grad()
    for ids, real, labels in batches:
        labels = labels.to(device)
        loss = loss_function(model(ids.to(device), real.to(device)), labels)
        loss.backward()
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, max_norm=clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        sizes.append(labels.size(0))
    losses, sizes = torch.stack(losses), torch.tensor(sizes, device=device)
    return (losses * sizes).sum() / sizes.sum()


def evaluate_all_at_once(model, batches, device):
    """Collects all logits and takes the loss of all sentences at the end."""
    training = model.training
    model.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for ids, real, y in batches:
            logits.append(model(ids.to(device), real.to(device)))
            labels.append(y)
        logits, labels = torch.cat(logits), torch.cat(labels).to(device)
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=-1) == labels).float().mean()
    if training:
        model.train()
    return loss, accuracy


def train_with_a_summed_loss(model, batches, optimizer, scheduler, clip, device):
    model.train()
    total, count = 0.0, 0
    for batch in batches:
        ids, real, labels = [t.to(device, non_blocking=True) for t in batch]
        for p in model.parameters():
            p.grad = None
        log_p = F.log_softmax(model(ids, real), dim=1)
        loss = F.nll_loss(log_p, labels, reduction="sum") / labels.shape[0]
        loss.backward()
        torch.nn.utils.clip_grad_norm_((p for p in model.parameters() if p.requires_grad), clip)
        optimizer.step()
        scheduler.step()
        total += float(loss) * labels.shape[0]
        count += labels.shape[0]
    return total / count


TRUSTED.add_alternative("as_in_the_chapter", train_as_in_the_chapter, evaluate_as_in_the_chapter)
TRUSTED.add_alternative("with_tensors", train_with_tensors, evaluate_all_at_once)
TRUSTED.add_alternative("with_a_summed_loss", train_with_a_summed_loss, evaluate_as_in_the_chapter)
