"""One pass of a training loop, and a look at a model at rest, in steps.

Devlin et al. 2019, section 4 and appendix A.3; clipping: Pascanu et al. 2013, algorithm 1.
A batch is a tuple whose last entry holds the labels; `batches` is a sequence of batches or gives one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from grader.steps import slip

Batch = tuple[Tensor, ...]


class Pass:
    """What training and evaluation have in common: batches on a device, and means over examples."""

    def moved(self, x: Tensor, device: torch.device) -> Tensor:
        return x.to(device)

    def on(self, batch: Batch, device: torch.device) -> tuple[list[Tensor], Tensor]:
        """The model's inputs and the labels."""
        *inputs, labels = (self.moved(x, device) for x in batch)
        return inputs, labels

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        z = logits - logits.logsumexp(-1, keepdim=True)
        return -z[torch.arange(len(labels), device=z.device), labels].mean()

    def weight(self, labels: Tensor) -> int:
        """How much a batch's own mean counts in the mean over all."""
        return len(labels)


class Training(Pass):
    """For each batch: g = grad of the mean loss, clipped to the norm `clip`, one step of optimiser and schedule.

    Returns the mean loss over all examples.
    """

    def __call__(self, model, batches: Iterable[Batch], optimizer, scheduler, clip: float, device) -> float:
        self.before(model)
        total, count = 0.0, 0
        for batch in batches:
            inputs, labels = self.on(batch, device)
            self.zero(optimizer)
            loss = self.loss(model(*inputs), labels)
            loss.backward()
            self.clip(model, clip)
            self.step(optimizer, scheduler)
            total += loss.item() * self.weight(labels)
            count += self.weight(labels)
        self.after(scheduler)
        return total / count

    def before(self, model: nn.Module) -> None:
        model.train()

    def zero(self, optimizer) -> None:
        optimizer.zero_grad()

    def clip(self, model: nn.Module, clip: float) -> None:
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.stack([(g**2).sum() for g in grads]).sum().sqrt()
        for g in grads:
            g *= (clip / norm).clamp(max=1.0)

    def step(self, optimizer, scheduler) -> None:
        optimizer.step()
        scheduler.step()

    def after(self, scheduler) -> None:
        """What is left to do when all batches have been seen: nothing."""


class Evaluation(Pass):
    """The mean loss and the share of right answers over all examples, of a model at rest that nobody trains."""

    def __call__(self, model, batches: Iterable[Batch], device) -> tuple[float, float]:
        mode = model.training
        self.before(model)
        total, right, count = 0.0, 0.0, 0
        with self.graph():
            for batch in batches:
                inputs, labels = self.on(batch, device)
                logits = model(*inputs)
                total += self.loss(logits, labels).item() * self.weight(labels)
                hits = (logits.argmax(-1) == labels).double()
                right += hits.mean().item() * self.weight(labels)
                count += self.weight(labels)
        self.after(model, mode)
        return total / count, self.accuracy(right / count, hits)

    def accuracy(self, share: float, last: Tensor) -> float:
        """The second result, where `share` of all answers and `last`, those of the last batch, are right."""
        return share

    def before(self, model: nn.Module) -> None:
        model.eval()

    def graph(self) -> contextlib.AbstractContextManager:
        return torch.no_grad()

    def after(self, model: nn.Module, mode: bool) -> None:
        model.train(mode)


@slip(
    "The gradients of earlier batches are left in place: backward() adds to what is there, so call "
    "optimizer.zero_grad() for each batch."
)
class NotZeroed(Training):
    def zero(self, optimizer):
        pass


@slip(
    "The gradients reach the step unclipped. clip_grad_norm_ belongs between backward() and optimizer.step(): "
    "before backward() there is nothing to clip, after the step it is too late."
)
class NotClipped(Training):
    def clip(self, model, clip):
        pass


@slip(
    "Each gradient entry is clipped by value: that changes the direction of the step. clip_grad_norm_ scales all of "
    "them alike."
)
class ClippedByValue(Training):
    def clip(self, model, clip):
        nn.utils.clip_grad_value_(model.parameters(), clip)


@slip(
    "The scheduler steps once an epoch: warm-up and decay are counted in batches here, so step it after each "
    "optimizer.step()."
)
class SchedulerPerEpoch(Training):
    def step(self, optimizer, scheduler):
        optimizer.step()

    def after(self, scheduler):
        scheduler.step()


@slip("The scheduler steps before the optimiser: the first batch already has the second rate.")
class SchedulerFirst(Training):
    def step(self, optimizer, scheduler):
        scheduler.step()
        optimizer.step()


@slip("Losses and gradients are computed, but the optimizer takes no step: call optimizer.step() for each batch.")
class NoStep(Training):
    def step(self, optimizer, scheduler):
        scheduler.step()


@slip(
    "optimizer.step() finds no gradient: zero_grad() stands between backward() and step() and takes away what "
    "backward() has just computed. Forget the old gradients before backward()."
)
class ForgottenTooLate(Training):
    def zero(self, optimizer):
        pass

    def clip(self, model, clip):
        model.zero_grad()


@slip(
    "The first step holds gradients from before the call: they are forgotten after each step, and so not before the "
    "first backward(). Call optimizer.zero_grad() before it."
)
class ForgottenAfterTheStep(Training):
    def zero(self, optimizer):
        pass

    def step(self, optimizer, scheduler):
        super().step(optimizer, scheduler)
        optimizer.zero_grad()


@slip(
    "Each gradient is clipped by a norm of its own: that changes the direction of the step. The norm is that of all "
    "gradients together, and all are scaled alike."
)
class ClippedOneByOne(Training):
    def clip(self, model, clip):
        for p in model.parameters():
            if p.grad is not None:
                nn.utils.clip_grad_norm_(p, clip)


@slip(
    "Where an evaluation came before, training goes on in evaluation mode, without dropout: call model.train() first. "
    "It tells every part of the model; model.training = True tells the outermost alone."
)
class ModeNotSet(Training):
    def before(self, model):
        pass


@slip(
    "Only the first batch is trained in training mode: something in the loop calls model.eval() and leaves it so, "
    "and all later steps are without dropout."
)
class RestsAfterTheFirst(Training):
    def step(self, optimizer, scheduler):
        super().step(optimizer, scheduler)
        self.model.eval()

    def before(self, model):
        self.model = model.train()


@slip(
    "The mean loss is the mean over batches: a last batch of one example counts as much as a full one. Weight each "
    "batch's loss by its number of examples."
)
class MeanOfBatchMeans(Training):
    def weight(self, labels):
        return 1


@slip(
    "The logits go through a softmax before cross_entropy, which takes one itself: two of them flatten the answer, "
    "and the loss can never come near 0."
)
class SoftmaxTwice(Training):
    def loss(self, logits, labels):
        return functional.cross_entropy(logits.softmax(-1), labels)


@slip(
    "A batch is not on the model's device when it is trained on: move every tensor of it with .to(device), and keep "
    "what that returns. (On the CPU the check plays another device.)"
)
class TrainedElsewhere(Training):
    def moved(self, x, device):
        return x


@slip(
    "The evaluation leaves dropout on: call model.eval() before the first batch, or the result is that of a damaged "
    "model."
)
class EvaluatedWithDropout(Evaluation):
    def before(self, model):
        pass


@slip(
    "The evaluation leaves the model in evaluation mode, so the next epoch would train without dropout: remember "
    "model.training and restore it."
)
class LeavesEvaluationMode(Evaluation):
    def after(self, model, mode):
        pass


@slip(
    "The evaluation leaves the model in training mode even where it found it in evaluation mode: remember "
    "model.training and restore it with model.train(mode)."
)
class LeavesTrainingMode(Evaluation):
    def after(self, model, mode):
        model.train()


@slip(
    "The evaluation builds a graph for every batch, which nobody uses: nothing is trained here, so work under "
    "torch.no_grad() and save the memory."
)
class KeepsTheGraph(Evaluation):
    def graph(self):
        return torch.enable_grad()


@slip(
    "Loss and accuracy are means over batches: a last batch of one example counts as much as a full one. Weight by "
    "the number of examples."
)
class MeansOfBatchMeans(Evaluation):
    def weight(self, labels):
        return 1


@slip(
    "The evaluation uses a batch that is not on the model's device: move every tensor of it with .to(device), and keep "
    "what that returns. (On the CPU the check plays another device.)"
)
class EvaluatedElsewhere(Evaluation):
    def moved(self, x, device):
        return x


@slip("The accuracy is that of the last batch alone: count the right answers of every batch.")
class LastBatchAlone(Evaluation):
    def accuracy(self, share, last):
        return last.mean().item()


@slip("The accuracy is in percent: it should be a share from 0 to 1.")
class InPercent(Evaluation):
    def accuracy(self, share, last):
        return 100 * share
