"""One epoch: for each batch, g = grad of the mean loss, clipped to the norm `clip`, one step of optimiser and schedule.

Devlin et al. 2019, section 4 and appendix A.3; clipping: Pascanu et al. 2013, algorithm 1, with torch's epsilon.
"""

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted


class Loop:
    """A loop in steps, so that a mistake is written as the one step in which it differs."""

    def train(self, model, batches, optimizer, scheduler, clip, device):
        self.before(model)
        total, count = 0.0, 0
        for ids, real, labels in self.chosen(batches):
            ids, real, labels = (self.moved(x, device) for x in (ids, real, labels))
            self.zero(model, optimizer)
            loss = self.loss(model(ids, real), labels)
            loss.backward()
            self.clip(model, clip)
            self.step(optimizer, scheduler)
            total += loss.item() * len(labels)
            count += len(labels)
        self.after(scheduler)
        return self.mean(total, count)

    def before(self, model):
        model.train()

    def chosen(self, batches):
        return batches

    def moved(self, x, device):
        return x.to(device)

    def zero(self, model, optimizer):
        optimizer.zero_grad()

    def loss(self, logits, labels):
        z = logits - logits.logsumexp(-1, keepdim=True)
        return -z[torch.arange(len(labels), device=z.device), labels].mean()

    def clip(self, model, clip):
        trained = [p for p in model.parameters() if p.grad is not None]
        norm = sum((p.grad**2).sum() for p in trained) ** 0.5
        for p in trained:
            p.grad *= min(1.0, clip / (norm + 1e-6))

    def step(self, optimizer, scheduler):
        optimizer.step()
        scheduler.step()

    def after(self, scheduler):
        pass

    def mean(self, total, count):
        return total / count


class Look:
    """An evaluation in steps."""

    def evaluate(self, model, batches, device):
        mode = model.training
        self.before(model)
        total, right, count = 0.0, 0.0, 0
        with self.without_graph():
            for ids, real, labels in self.chosen(batches):
                ids, real, labels = (self.moved(x, device) for x in (ids, real, labels))
                logits = model(ids, real)
                total += self.loss(logits, labels).item() * self.weight(labels)
                right += self.right(logits, labels).item() * self.weight(labels)
                count += self.weight(labels)
        self.after(model, mode)
        return self.result(total, right, count)

    def before(self, model):
        model.eval()

    def chosen(self, batches):
        return batches

    def moved(self, x, device):
        return x.to(device)

    def without_graph(self):
        return torch.no_grad()

    def weight(self, labels):
        return len(labels)

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)

    def right(self, logits, labels):
        return (logits.argmax(-1) == labels).double().mean()

    def after(self, model, mode):
        model.train(mode)

    def result(self, total, right, count):
        return total / count, right / count


TRUSTED = Trusted((Loop().train, Look().evaluate))


def wrong_train(sentence):
    def register(loop):
        TRUSTED.add_mistake(loop.__name__, sentence, loop().train, Look().evaluate)
        return loop

    return register


def wrong_evaluate(sentence):
    def register(look):
        TRUSTED.add_mistake(look.__name__, sentence, Loop().train, look().evaluate)
        return look

    return register


@wrong_train(
    "train leaves the gradients of earlier batches in place: backward() adds to what is there, so call "
    "optimizer.zero_grad() for each batch."
)
class NotZeroed(Loop):
    def zero(self, model, optimizer):
        pass


@wrong_train(
    "The gradients reach the step unclipped. clip_grad_norm_ belongs between backward() and optimizer.step(): "
    "before backward() there is nothing to clip, after the step it is too late."
)
class NotClipped(Loop):
    def clip(self, model, clip):
        pass


@wrong_train(
    "Each gradient entry is clipped by value: that changes the direction of the step. clip_grad_norm_ scales all of "
    "them alike."
)
class ClippedByValue(Loop):
    def clip(self, model, clip):
        nn.utils.clip_grad_value_(model.parameters(), clip)


@wrong_train(
    "Each parameter is clipped by itself: the norm is that of all gradients together, so call clip_grad_norm_ once, "
    "with model.parameters()."
)
class ClippedOneByOne(Loop):
    def clip(self, model, clip):
        for p in model.parameters():
            nn.utils.clip_grad_norm_([p], clip)


@wrong_train(
    "Every gradient is scaled to the norm `clip`, small ones up: clipping only shortens those that are longer."
)
class ScaledToClip(Loop):
    def clip(self, model, clip):
        trained = [p for p in model.parameters() if p.grad is not None]
        norm = sum((p.grad**2).sum() for p in trained) ** 0.5
        for p in trained:
            p.grad *= clip / norm


@wrong_train(
    "The scheduler steps once an epoch: warm-up and decay are counted in batches here, so step it after each "
    "optimizer.step()."
)
class SchedulerPerEpoch(Loop):
    def step(self, optimizer, scheduler):
        optimizer.step()

    def after(self, scheduler):
        scheduler.step()


@wrong_train(
    "The scheduler never steps, so the rate stays what it was: call scheduler.step() after each optimizer.step()."
)
class SchedulerNever(Loop):
    def step(self, optimizer, scheduler):
        optimizer.step()


@wrong_train("The scheduler steps before the optimiser: the first batch already has the second rate.")
class SchedulerFirst(Loop):
    def step(self, optimizer, scheduler):
        scheduler.step()
        optimizer.step()


@wrong_train("train computes losses and gradients, but no parameter changes: call optimizer.step().")
class NoStep(Loop):
    def step(self, optimizer, scheduler):
        scheduler.step()


@wrong_train(
    "train works in evaluation mode, so dropout never acts: call model.train() first. Whoever evaluated before may "
    "have left the model in the other mode."
)
class TrainedInEvaluationMode(Loop):
    def before(self, model):
        model.eval()


@wrong_train(
    "train relies on the mode in which it finds the model: call model.train() first, since an evaluation may have "
    "come before."
)
class ModeNotSet(Loop):
    def before(self, model):
        pass


@wrong_train(
    "The mean loss is the mean over batches: a last batch of one sentence counts as much as a full one. Weight each "
    "batch's loss by its number of sentences."
)
class MeanOfBatchMeans(Loop):
    def train(self, model, batches, optimizer, scheduler, clip, device):
        self.losses = []
        super().train(model, batches, optimizer, scheduler, clip, device)
        return sum(self.losses) / len(self.losses)

    def loss(self, logits, labels):
        loss = super().loss(logits, labels)
        self.losses.append(loss.item())
        return loss


@wrong_train("train returns the last batch's loss: it should be the mean over all sentences of the epoch.")
class LastLoss(MeanOfBatchMeans):
    def train(self, model, batches, optimizer, scheduler, clip, device):
        super().train(model, batches, optimizer, scheduler, clip, device)
        return self.losses[-1]


@wrong_train(
    "The sum of the batches' mean losses is divided by the number of sentences: multiply each by its number of "
    "sentences before you add it up."
)
class BatchMeansOverSentences(MeanOfBatchMeans):
    def train(self, model, batches, optimizer, scheduler, clip, device):
        super().train(model, batches, optimizer, scheduler, clip, device)
        return sum(self.losses) / sum(len(labels) for _, _, labels in batches)


@wrong_train("train returns the sum of the losses: divide by the number of sentences.")
class SumOfLosses(Loop):
    def mean(self, total, count):
        return total


@wrong_train("The last, shorter batch is left out: it holds sentences like any other.")
class LastBatchDropped(Loop):
    def chosen(self, batches):
        full = len(batches[0][2])
        return [batch for batch in batches if len(batch[2]) == full]


@wrong_train(
    "The loss of a batch is a sum, so the gradient grows with the batch: take the mean, cross_entropy's default."
)
class SummedGradient(Loop):
    def train(self, model, batches, optimizer, scheduler, clip, device):
        self.total = 0.0
        super().train(model, batches, optimizer, scheduler, clip, device)
        return self.total / sum(len(labels) for _, _, labels in batches)

    def loss(self, logits, labels):
        loss = F.cross_entropy(logits, labels, reduction="sum")
        self.total += loss.item()
        return loss


@wrong_train(
    "The logits go through a softmax before cross_entropy, which takes one itself: two of them flatten the answer, "
    "and the loss can never come near 0."
)
class SoftmaxTwice(Loop):
    def loss(self, logits, labels):
        return F.cross_entropy(logits.softmax(-1), labels)


@wrong_train(
    "A batch is not on the model's device when it is used: move ids, real and labels with .to(device), and keep "
    "what it returns. (On the CPU the check plays another device.)"
)
class TrainedElsewhere(Loop):
    def moved(self, x, device):
        return x


@wrong_evaluate(
    "evaluate leaves dropout on: call model.eval() before the first batch, or the result is that of a damaged model."
)
class EvaluatedWithDropout(Look):
    def before(self, model):
        pass


@wrong_evaluate(
    "evaluate leaves the model in evaluation mode, so the next epoch would train without dropout: remember "
    "model.training and restore it."
)
class LeavesEvaluationMode(Look):
    def after(self, model, mode):
        pass


@wrong_evaluate(
    "evaluate leaves the model in training mode even where it found it in evaluation mode: remember model.training "
    "and restore it with model.train(mode)."
)
class LeavesTrainingMode(Look):
    def after(self, model, mode):
        model.train()


@wrong_evaluate(
    "evaluate keeps the graph of every batch: nothing is trained here, so work under torch.no_grad() and save the "
    "memory."
)
class KeepsTheGraph(Look):
    def without_graph(self):
        return torch.enable_grad()


@wrong_evaluate(
    "Loss and accuracy are means over batches: a last batch of one sentence counts as much as a full one. Weight by "
    "the number of sentences."
)
class MeansOfBatchMeans(Look):
    def weight(self, labels):
        return 1


@wrong_evaluate(
    "The loss is a mean over batches, the accuracy is right: weight each batch's loss by its number of sentences too."
)
class LossOfBatchMeans(Look):
    def evaluate(self, model, batches, device):
        self.losses = []
        _, accuracy = super().evaluate(model, batches, device)
        return sum(self.losses) / len(self.losses), accuracy

    def loss(self, logits, labels):
        loss = super().loss(logits, labels)
        self.losses.append(loss.item())
        return loss


@wrong_evaluate(
    "The accuracy is a mean over batches, the loss is right: count the right answers and divide by all sentences."
)
class AccuracyOfBatchMeans(Look):
    def evaluate(self, model, batches, device):
        self.shares = []
        loss, _ = super().evaluate(model, batches, device)
        return loss, sum(self.shares) / len(self.shares)

    def right(self, logits, labels):
        share = super().right(logits, labels)
        self.shares.append(share.item())
        return share


@wrong_evaluate("evaluate returns the number of right answers: the accuracy is their share, from 0 to 1.")
class RightAnswersCounted(Look):
    def result(self, total, right, count):
        return total / count, right


@wrong_evaluate("evaluate returns the accuracy in percent: it is a share, from 0 to 1.")
class AccuracyInPercent(Look):
    def result(self, total, right, count):
        return total / count, 100 * right / count


@wrong_evaluate("evaluate returns accuracy, loss: it is the other way round, loss, accuracy.")
class AccuracyFirst(Look):
    def result(self, total, right, count):
        return right / count, total / count


@wrong_evaluate("evaluate leaves the last, shorter batch out: it holds sentences like any other.")
class LastBatchNotEvaluated(Look):
    def chosen(self, batches):
        full = len(batches[0][2])
        return [batch for batch in batches if len(batch[2]) == full]


@wrong_evaluate(
    "evaluate takes a softmax before cross_entropy, which takes one itself: the loss can never come near 0."
)
class EvaluatedSoftmaxTwice(Look):
    def loss(self, logits, labels):
        return F.cross_entropy(logits.softmax(-1), labels)


@wrong_evaluate(
    "evaluate uses a batch that is not on the model's device: move ids, real and labels with .to(device), and keep "
    "what it returns. (On the CPU the check plays another device.)"
)
class EvaluatedElsewhere(Look):
    def moved(self, x, device):
        return x


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
    """Zeroes after the step, keeps sums as tensors, clips what the optimiser trains."""
    model = model.train()
    loss_function = nn.CrossEntropyLoss()
    losses, sizes = [], []
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
            labels.append(y.to(device))
        logits, labels = torch.cat(logits), torch.cat(labels)
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
