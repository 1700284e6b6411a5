"""One step from K micro-batches. Goodfellow, Bengio and Courville 2016, section 8.1.3; clipping: Pascanu et al. 2013.

g = grad of 1/N sum over all micro-batches of -ln p(target), where N counts the targets of all of them (-100 is none);
g is scaled by min(1, clip / |g|), the optimiser takes one step, the schedule one.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from grader.contract import Trusted
from grader.steps import training


def reference(model, optimizer, schedule, micro_batches, clip):
    N = sum(int((y != -100).sum()) for _, y in micro_batches)
    trained = [p for p in model.parameters() if p.requires_grad]
    g = [torch.zeros_like(p) for p in trained]
    loss = 0.0
    for x, y in micro_batches:
        log_p = model(x).log_softmax(-1)
        real = y != -100
        share = -log_p[real].gather(1, y[real][:, None]).sum() / N
        g = [a + b for a, b in zip(g, torch.autograd.grad(share, trained), strict=True)]
        loss += share.item()
    norm = torch.sqrt(sum((a**2).sum() for a in g))
    for p, a in zip(trained, g, strict=True):
        p.grad = a * min(1.0, clip / norm.item())
    optimizer.step()
    schedule.step()
    return loss


class Steps(training.Training):
    """The same in steps: a mistake is written as the one in which it differs, some in `grader.steps.training`."""

    def __call__(self, model, optimizer, schedule, micro_batches, clip):
        self.zero(optimizer)
        N = sum(int(self.real(y).sum()) for _, y in micro_batches)
        shares, results = [], []
        for x, y in micro_batches:
            nats = cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
            n = int(self.real(y).sum())
            shares.append(self.share(nats, n, N, len(micro_batches)))
            self.backward(shares[-1])
            self.after_each(model, optimizer, schedule, clip)
            results.append((nats.detach(), n))
        self.after_all(shares)
        self.clip(model, clip)
        self.step(optimizer, schedule)
        return self.result(shares, results, N)

    def real(self, y):
        return y != -100

    def share(self, nats, n, N, K):
        return nats / N

    def backward(self, share):
        share.backward()

    def after_each(self, model, optimizer, schedule, clip):
        pass

    def after_all(self, shares):
        pass

    def result(self, shares, results, N):
        return sum(float(share.detach()) for share in shares)


TRUSTED = Trusted(reference, budget="a step has a dozen lines, each of which can be missing or in the wrong place")
(slip,) = TRUSTED.one_by_one(lambda steps: steps().__call__)


@TRUSTED.mistake(
    "Slips of the given code are still there. What does a target weigh in its gradient, and what does the returned "
    "tensor hold on to? Look also at where the norm is clipped, and when it is known."
)
def as_given(model, optimizer, schedule, micro_batches, clip):
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = cross_entropy(model(x).flatten(0, 1), y.flatten()) / len(micro_batches)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        total = total + loss
    optimizer.step()
    schedule.step()
    return total


@slip(
    "Each micro-batch's mean loss is divided by the number of micro-batches: a target in a short one weighs more than "
    "in a long one. Sum the nats, and divide by the targets of all of them."
)
class DividedByMicroBatches(Steps):
    def share(self, nats, n, N, K):
        return nats / torch.tensor(n, dtype=nats.dtype) / K


@slip(
    "A micro-batch without any target gives NaN: its mean is 0/0, and 0 times NaN is NaN still. Sum the nats "
    '(`reduction="sum"`), which gives 0 there, and divide by the targets of all micro-batches.'
)
class MeanTimesCount(Steps):
    def share(self, nats, n, N, K):
        return nats / torch.tensor(n, dtype=nats.dtype) * n / N


@slip(
    "Each micro-batch's own mean goes backward as it is, so that the gradient is the sum of as many means: divide by "
    "the targets of all micro-batches, and not by those of each."
)
class SumOfMeans(Steps):
    def share(self, nats, n, N, K):
        return nats / max(n, 1)


@slip(
    "The gradient is that of the summed nats: divide by the number of targets in all micro-batches, before backward()."
)
class NotDivided(Steps):
    def share(self, nats, n, N, K):
        return nats

    def result(self, shares, results, N):
        return sum(float(nats) for nats, _ in results) / N


@slip("Places without a target are counted: the divisor is the number of targets that are not -100.")
class AllPlacesCounted(Steps):
    def real(self, y):
        return torch.ones_like(y)


@slip(
    "Clipping stands in the loop: the gradient of the first micro-batches is cut before the others are added. Clip "
    "once, after the last backward()."
)
class ClippedInTheLoop(Steps):
    def after_each(self, model, optimizer, schedule, clip):
        self.clip(model, clip)


TRUSTED.add_slips(
    lambda steps: type(steps.__name__, (steps, Steps), {})().__call__,
    training.NotClipped,
    training.ClippedOneByOne,
    training.ForgottenAfterTheStep,
)


@slip(
    "Gradients from before the call are still there, and backward() adds to them: call optimizer.zero_grad() once, "
    "before the first backward()."
)
class NotZeroed(Steps):
    def zero(self, optimizer):
        pass


@slip(
    "Only the last micro-batch counts: optimizer.zero_grad() stands in the loop and takes away what the others have "
    "added up. Call it once, before the loop."
)
class ZeroedInTheLoop(Steps):
    def backward(self, share):
        self.optimizer.zero_grad()
        share.backward()

    def zero(self, optimizer):
        self.optimizer = optimizer


@slip("Each number of the gradients is clipped by itself: it is the norm of all of them together that is clipped.")
class ClippedByValue(Steps):
    def clip(self, model, clip):
        nn.utils.clip_grad_value_(model.parameters(), clip)


@slip("Only the first group of the optimiser is clipped: the norm is that of all gradients together.")
class FirstGroupClipped(Steps):
    def zero(self, optimizer):
        super().zero(optimizer)
        self.optimizer = optimizer

    def clip(self, model, clip):
        nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], clip)


@slip("Gradients whose norm is below `clip` are scaled up to it: the factor is at most 1, `min(1, clip / norm)`.")
class ScaledUp(Steps):
    def clip(self, model, clip):
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        norm = torch.stack([grad.norm() for grad in grads]).norm()
        for grad in grads:
            grad *= clip / norm


@slip("The schedule steps before the optimiser: the first step already has the second rate.")
class ScheduleFirst(Steps):
    def step(self, optimizer, schedule):
        schedule.step()
        optimizer.step()


@slip("The schedule never steps, so the rate stays what it was: call schedule.step() after optimizer.step().")
class NoSchedule(Steps):
    def step(self, optimizer, schedule):
        optimizer.step()


@slip(
    "The numbers are right, but the graphs of all micro-batches are in memory at once, which is what micro-batches are "
    "to avoid: their losses go backward together, or their graphs are retained. Call backward() for each."
)
class OneBackward(Steps):
    def backward(self, share):
        pass

    def after_all(self, shares):
        sum(shares).backward()


@slip(
    "The loss that is returned still has its graph, and whoever keeps a list of losses keeps it in memory: add up "
    "numbers (`.item()`) or detached tensors."
)
class GraphReturned(Steps):
    def result(self, shares, results, N):
        return sum(shares)


@slip(
    "The step is right, but what is returned is the mean of the micro-batches' means. It is the mean over all targets."
)
class MeanOfMeansReturned(Steps):
    def result(self, shares, results, N):
        return sum(float(nats) / max(n, 1) for nats, n in results) / len(results)


@slip("The step is right, but what is returned is the last micro-batch's share of the loss: add the shares up.")
class LastReturned(Steps):
    def result(self, shares, results, N):
        return float(shares[-1].detach())


@slip("The step is right, but the sum of all nats is returned, expected the mean over all targets.")
class SumReturned(Steps):
    def result(self, shares, results, N):
        return sum(float(nats) for nats, _ in results)


@TRUSTED.alternative
def as_in_the_chapter(model, optimizer, schedule, micro_batches, clip):
    targets = sum((y != -100).sum() for _, y in micro_batches)
    optimizer.zero_grad()
    total = 0.0
    for x, y in micro_batches:
        loss = cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum") / targets
        loss.backward()
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    schedule.step()
    return total


@TRUSTED.alternative
def divided_afterwards(model, optimizer, schedule, micro_batches, clip):
    """Sums nats first and divides the gradients when all targets are counted; zeroes behind the step as well."""
    model.zero_grad(set_to_none=True)
    nats, count = torch.zeros((), dtype=torch.float64), 0
    for x, y in micro_batches:
        z, real = model(x), y >= 0
        loss = (z.logsumexp(-1) - z.gather(-1, y.clamp_min(0)[..., None])[..., 0]).mul(real).sum()
        loss.backward()
        nats += loss.detach().cpu()
        count += real.sum().item()
    trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    for p in trained:
        p.grad /= count
    norm = torch.nn.utils.get_total_norm([p.grad for p in trained])
    torch.nn.utils.clip_grads_with_norm_(trained, clip, norm)
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
    return nats / count
