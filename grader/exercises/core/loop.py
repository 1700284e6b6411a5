"""One epoch and a look at the model, as `grader.steps.training` describes them, with rates that are a function.

For the batch of step s: g = grad of the mean loss, g <- g min(1, limit / |g|) (Pascanu et al. 2013, algorithm 1), and
one step of the optimiser at the rate schedule(s).
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted
from grader.steps import training as steps


class Rates:
    """A schedule that is a function, in the place of one of torch's schedulers: it sets the rate of each next step."""

    def __init__(self, optimizer, schedule, step):
        self.optimizer, self.schedule, self.count = optimizer, schedule, step
        self.begin()

    def begin(self):
        self.set(self.count)

    def step(self):
        self.count += 1
        self.set(self.count)

    def set(self, step):
        for group in self.groups():
            group["lr"] = self.schedule(step)

    def groups(self):
        return self.optimizer.param_groups

    def next(self):
        """The second result."""
        return self.count


def epoch(training=steps.Training, rates=Rates):
    """train_epoch from a class of steps and one of rates."""

    def train_epoch(model, loader, optimizer, schedule, step, limit, device):
        counted = rates(optimizer, schedule, step)
        loss = training()(model, loader, optimizer, counted, limit, device)
        return loss, counted.next()

    return train_epoch


LOOK = steps.Evaluation().__call__
TRUSTED = Trusted(
    (epoch(), LOOK), budget="two functions, each with a dozen places where a line can be missing or in the wrong one"
)
wrong_training, wrong_evaluation = TRUSTED.one_by_one(epoch, lambda evaluation: evaluation().__call__)
wrong_rates, _ = TRUSTED.one_by_one(lambda rates: epoch(rates=rates), lambda evaluation: evaluation)


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


def given_look(model, loader, device):
    model.eval()
    total, right = 0.0, 0
    for x, y in loader:
        y = y.to(device)
        logits = model(x.to(device))
        total += F.cross_entropy(logits, y).item() * len(y)
        right += (logits.argmax(-1) == y).sum().item()
    return total / len(loader.dataset), right / (len(loader) * len(y))


EPOCH_GIVEN = (
    "Slips of the given train_epoch are still there. Which rate does the second batch have? What stands between "
    "backward() and the step, in which mode is the model, and how much does a small last batch count?"
)
LOOK_GIVEN = (
    "Slips of the given evaluate are still there. What is the accuracy divided by? What is kept in memory for each "
    "batch, and in which mode is the model afterwards?"
)
TRUSTED.add_mistake(
    "as_given",
    "Slips of the given code are still there, in both functions. Which rate does the second batch have, and what "
    "stands between backward() and the step? What is the accuracy divided by, and in which mode is the model "
    "afterwards?",
    *(given_epoch, given_look),
)
TRUSTED.add_mistake("epoch_as_given", EPOCH_GIVEN, given_epoch, LOOK)
TRUSTED.add_mistake("look_as_given", LOOK_GIVEN, epoch(), given_look)
TRUSTED.add_slips(
    lambda training: (epoch(training), LOOK),
    steps.NotZeroed,
    steps.ForgottenTooLate,
    steps.ForgottenAfterTheStep,
    steps.NotClipped,
    steps.ClippedByValue,
    steps.ClippedOneByOne,
    steps.NoStep,
    steps.ModeNotSet,
    steps.RestsAfterTheFirst,
    steps.MeanOfBatchMeans,
    steps.SoftmaxTwice,
    steps.TrainedElsewhere,
)
TRUSTED.add_slips(
    lambda evaluation: (epoch(), evaluation().__call__),
    steps.EvaluatedWithDropout,
    steps.LeavesEvaluationMode,
    steps.LeavesTrainingMode,
    steps.KeepsTheGraph,
    steps.MeansOfBatchMeans,
    steps.EvaluatedElsewhere,
    steps.LastBatchAlone,
    steps.InPercent,
)


@wrong_training(
    "optimizer.step() stands before backward(), and so each batch's step has the gradients of the batch before: first "
    "backward(), then clip, then the step."
)
class StepFirst(steps.Training):
    def zero(self, optimizer):
        optimizer.step()
        optimizer.zero_grad()

    def step(self, optimizer, scheduler):
        scheduler.step()


@wrong_training(
    "A last batch that is smaller than others is left out: it takes part in training too, and counts by its size."
)
class SmallLeftOut(steps.Training):
    def __call__(self, model, batches, *rest):
        batches = list(batches)
        return super().__call__(model, [b for b in batches if len(b[1]) >= len(batches[0][1])], *rest)


@wrong_training(
    "The losses are added up as tensors, and keep the graphs of all batches in memory: add up numbers, loss.item()."
)
class LossesWithGraphs(steps.Training):
    def __call__(self, *given):
        self.losses = []
        return super().__call__(*given) + 0 * sum(self.losses)

    def loss(self, logits, labels):
        self.losses.append(super().loss(logits, labels))
        return self.losses[-1]


@wrong_training("The loss is that of the last batch alone: the mean over all images is asked for.")
class LastLoss(steps.Training):
    def __call__(self, *given):
        self.last = 0.0
        super().__call__(*given)
        return self.last

    def loss(self, logits, labels):
        loss = super().loss(logits, labels)
        self.last = loss.item()
        return loss


@wrong_rates("All batches of a call have one rate: step s has the rate schedule(s), so set it anew for each batch.")
class OncePerEpoch(Rates):
    def step(self):
        self.count += 1


@wrong_rates(
    "The rate is set after the step: the first batch has the rate that the optimizer happens to have, and each later "
    "one that of the step before."
)
class SetAfterTheStep(Rates):
    def begin(self):
        pass

    def step(self):
        self.set(self.count)
        self.count += 1


@wrong_rates(
    "All rates are one step ahead: the first batch of the call is step `step`, and has the rate schedule(step)."
)
class OneStepAhead(Rates):
    def set(self, step):
        super().set(step + 1)


@wrong_rates("Each epoch counts from 0, and the schedule begins anew: the first batch of the call is step `step`.")
class CountsFromZero(Rates):
    def __init__(self, optimizer, schedule, step):
        super().__init__(optimizer, schedule, 0)


@wrong_rates("Only the first group of the optimizer gets the rate: go through all of `optimizer.param_groups`.")
class FirstGroupAlone(Rates):
    def groups(self):
        return self.optimizer.param_groups[:1]


@wrong_rates("The schedule is not looked at: set group['lr'] = schedule(s) for the batch of step s.")
class NoSchedule(Rates):
    def set(self, step):
        pass


@wrong_rates(
    "The step that is returned is that of the last batch: return the next one, or the following epoch repeats a step."
)
class ReturnsTheLast(Rates):
    def next(self):
        return self.count - 1


@wrong_rates("The step that is returned is the given one: count it up with each batch, and return the next one.")
class ReturnsTheGiven(Rates):
    def begin(self):
        super().begin()
        self.first = self.count

    def next(self):
        return self.first


@wrong_evaluation(
    "The accuracy is divided by the number of batches times the size of one: a last batch is smaller, so count the "
    "images as they come."
)
class PaddedSize(steps.Evaluation):
    def __call__(self, model, batches, device):
        batches = list(batches)
        loss, share = super().__call__(model, batches, device)
        sizes = [len(labels) for _, labels in batches]
        return loss, share * sum(sizes) / (len(sizes) * sizes[0])


def by_the_book(model, loader, optimizer, schedule, step, limit, device):
    model.train()
    total, count = 0.0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
        step += 1
        total += loss.item() * len(y)
        count += len(y)
    return total / count, step


@torch.no_grad()
def look_by_the_book(model, loader, device):
    was = model.training
    model.eval()
    total, right, count = 0.0, 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        logits = model(x)
        total += F.cross_entropy(logits, y, reduction="sum").item()
        right += (logits.argmax(1) == y).sum().item()
        count += len(y)
    model.train(was)
    return total / count, right / count


def by_gradients(model, loader, optimizer, schedule, step, limit, device):
    """Gradients from autograd.grad, clipped in a list, and given to the optimiser; the sum of losses is a tensor."""
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    model.train(True)
    sums, sizes = [], []
    for s, (x, y) in enumerate(loader, step):
        each = F.cross_entropy(model(x.to(device)), y.to(device), reduction="none")
        grads = torch.autograd.grad(each.sum() / len(each), trained)
        norm = torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads]))
        for p, g in zip(trained, grads, strict=True):
            p.grad = g * torch.clamp(limit / norm, max=1)
        for group in optimizer.param_groups:
            group.update(lr=schedule(s))
        optimizer.step()
        sums.append(each.detach().sum())
        sizes.append(len(y))
    return torch.stack(sums).sum() / sum(sizes), torch.tensor(step + len(sizes))


def look_at_a_copy(model, loader, device):
    """A copy that nobody trains: the model itself is not touched."""
    still = copy.deepcopy(model).eval().requires_grad_(False)
    logits, labels = zip(*((still(x.to(device)), y.to(device)) for x, y in loader), strict=True)
    logits, labels = torch.cat(logits), torch.cat(labels)
    chosen = logits.log_softmax(-1).gather(1, labels[:, None])
    return -chosen.mean(), logits.max(dim=1).indices.eq(labels).double().mean()


TRUSTED.add_alternative("by_the_book", by_the_book, look_by_the_book)
TRUSTED.add_alternative("by_gradients", by_gradients, look_at_a_copy)
