"""Answers to bert.early_stopping."""

import collections
import copy
import io
import itertools
import math
import pickle

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.early_stopping",
    spared={
        "ones": "a loss has no dimensions, and weights are kept whole",
        "dependence": "nothing is drawn",
    },
)
wrong = ANSWERS.wrong


class Base:
    """The right one, from which short answers differ in one method."""

    def __init__(self, model, patience):
        self.model, self.patience = model, patience
        self.best, self.since, self.kept = math.inf, 0, None

    def keep(self):
        self.kept = copy.deepcopy(self.model.state_dict())

    def update(self, loss):
        if loss < self.best:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience

    def restore(self):
        self.model.load_state_dict(self.kept)


@wrong("given", "the state is not copied: it is the model's own", true="ByReference")
class NoCopy(Base):
    def keep(self):
        self.kept = self.model.state_dict()


@wrong("given", "a copy of the dictionary, not of the tensors in it", true="ByReference")
class ShallowCopy(Base):
    def keep(self):
        self.kept = dict(self.model.state_dict())


@wrong("onward", "once True it is True for ever, as in Bjarten's class with its early_stop flag", true="ForEver")
class ForEver(Base):
    stopped = False

    def update(self, loss):
        if super().update(loss):
            self.stopped = True
        return self.stopped


@wrong(
    "onward", "True at the one moment when the count is the patience, and False at the next bad loss", true="JustOnce"
)
class JustOnce(Base):
    def update(self, loss):
        super().update(loss)
        return self.since == self.patience


@wrong("onward", "after it has said True it begins to count anew", told="update.loss. after each epoch differs")
class BeginsAnew(Base):
    def update(self, loss):
        stop = super().update(loss)
        if stop:
            self.since = 0
        return stop


@wrong("named", "only the parameters are kept, not the buffers", true="WithoutBuffers")
class ParametersAlone(Base):
    def keep(self):
        self.kept = {n: p.detach().clone() for n, p in self.model.named_parameters()}

    def restore(self):
        self.model.load_state_dict(self.kept, strict=False)


@wrong("named", "a tie counts as a new lowest loss", true="TiesImprove")
class TieIsBetter(Base):
    def update(self, loss):
        if loss <= self.best:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("plain", "bad losses are counted in all, not in a row", true="CountNotReset")
class InAll(Base):
    def update(self, loss):
        if loss < self.best:
            self.best = loss
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("plain", "one bad loss too many is waited for", true="OneTooLate")
class OneTooMany(Base):
    def update(self, loss):
        super().update(loss)
        return self.since > self.patience


@wrong("plain", "each loss is compared with the one before it", true="ComparedWithThePrevious")
class WithTheLast(Base):
    def update(self, loss):
        if loss < self.best:
            self.since = 0
            self.keep()
        else:
            self.since += 1
        self.best = loss
        return self.since >= self.patience


@wrong(
    "again",
    "what is remembered lies on the class: a second object goes on where the first one was",
    told="keeps something from one call",
)
class OnTheClass:
    best, since, kept = math.inf, 0, None

    def __init__(self, model, patience):
        self.model, self.patience = model, patience

    def update(self, loss):
        cls = type(self)
        if loss < cls.best:
            cls.best, cls.since, cls.kept = loss, 0, copy.deepcopy(self.model.state_dict())
        else:
            cls.since += 1
        return cls.since >= self.patience

    def restore(self):
        self.model.load_state_dict(self.kept)


CHECKPOINT = {}


@wrong(
    "again",
    "one checkpoint for all objects, as with a fixed file name: the last one that was written wins",
    true="Shared",
)
class OneCheckpoint(Base):
    def keep(self):
        CHECKPOINT["best.pt"] = copy.deepcopy(self.model.state_dict())

    def restore(self):
        self.model.load_state_dict(CHECKPOINT["best.pt"])


@wrong("again", "restore hands the kept tensors to the model: more training changes them", true="HandsThemOver")
class HandsThemOver(Base):
    def restore(self):
        for name, p in self.model.named_parameters():
            p.data = self.kept[name]
        for name, b in self.model.named_buffers():
            b.data = self.kept[name]


@wrong("far", "the lowest loss begins at 100", true="BeginsTooLow")
class BeginsAtAHundred(Base):
    def __init__(self, model, patience):
        super().__init__(model, patience)
        self.best = 100.0


@wrong("far", "an improvement of less than 1e-4 does not count, as with PyTorch's scheduler", true="LeastImprovement")
class LeastImprovement(Base):
    def update(self, loss):
        if loss < self.best - 1e-4:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("far", "a lowest loss of 0.0 is taken for none", told="a lowest loss of 0: weights restored")
class ZeroIsNone(Base):
    def update(self, loss):
        if not self.best or loss < self.best:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("large", "only the last five losses are remembered", told="many epochs")
class FiveLosses(Base):
    def __init__(self, model, patience):
        super().__init__(model, patience)
        self.losses = collections.deque(maxlen=5)

    def update(self, loss):
        if loss < min(self.losses, default=math.inf):
            self.since = 0
            self.keep()
        else:
            self.since += 1
        self.losses.append(loss)
        return self.since >= self.patience


@wrong("surroundings", "restore leaves the model in evaluation mode", told="training mode of the model")
class LeavesItAtRest(Base):
    def restore(self):
        super().restore()
        self.model.eval()


@wrong("surroundings", "to keep the weights it freezes the model", told="requires_grad of the weights")
class Freezes(Base):
    def keep(self):
        self.model.requires_grad_(False)
        super().keep()


@wrong(
    "unwatched",
    "restore puts the parts of a copy into the model: an optimiser still holds the old weights",
    told="new parameter",
)
class OtherParts(Base):
    def keep(self):
        self.kept = copy.deepcopy(self.model)

    def restore(self):
        for name, part in copy.deepcopy(self.kept).named_children():
            setattr(self.model, name, part)
        for name, b in self.kept.named_buffers():
            self.model.get_buffer(name).copy_(b)


@wrong("plain", "two slips: no copy, and a tie is better", true="ByReference TiesImprove")
class NoCopyAndTies(Base):
    def update(self, loss):
        if loss <= self.best:
            self.best, self.since, self.kept = loss, 0, self.model.state_dict()
            return False
        self.since += 1
        return self.since >= self.patience


@wrong("plain", "nothing is returned", true="NeverStops")
class ReturnsNothing(Base):
    def update(self, loss):
        self.stop = super().update(loss)


@wrong("plain", "the highest value is kept, as for an accuracy", true="HigherIsBetter")
class Highest(Base):
    def __init__(self, model, patience):
        super().__init__(model, patience)
        self.best = -math.inf

    def update(self, loss):
        if loss > self.best:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("plain", "the weights of the last epoch are kept, not those of the best", true="LastKept")
class KeepsTheLast(Base):
    def update(self, loss):
        stop = super().update(loss)
        self.keep()
        return stop


@wrong(
    "given", "update puts the weights back by itself when it says stop", told="weights of the model after each update"
)
class RestoresByItself(Base):
    def update(self, loss):
        if stop := super().update(loss):
            self.restore()
        return stop


@wrong("given", "update empties the model that it has kept", told="weights of the model after each update")
class EmptiesTheModel(Base):
    @torch.no_grad()
    def update(self, loss):
        stop = super().update(loss)
        for p in self.model.parameters():
            p.zero_()
        return stop


@wrong("given", "update counts in the model's own count of epochs", told="count of epochs after each update")
class CountsInTheModel(Base):
    def update(self, loss):
        stop = super().update(loss)
        self.model.epochs += 1
        return stop


@ANSWERS.right
class AllEpochs:
    def __init__(self, model, patience):
        self.model, self.patience, self.losses, self.states = model, patience, [], []

    def update(self, loss):
        self.losses.append(loss)
        self.states.append({k: v.clone() for k, v in self.model.state_dict().items()})
        return len(self.losses) - 1 - self.losses.index(min(self.losses)) >= self.patience

    def restore(self):
        self.model.load_state_dict(self.states[self.losses.index(min(self.losses))])


@ANSWERS.right
class InABuffer:
    def __init__(self, model, patience):
        self.model, self.patience, self.best, self.bad = model, patience, None, 0

    def update(self, loss):
        self.bad += 1
        if self.best is None or loss < self.best:
            self.best, self.bad, self.file = loss, 0, io.BytesIO()
            torch.save(self.model.state_dict(), self.file)
        return torch.tensor(self.bad >= self.patience)

    def restore(self):
        self.file.seek(0)
        self.model.load_state_dict(torch.load(self.file, weights_only=True))


@ANSWERS.right
class InPlace:
    def __init__(self, model, patience):
        self.patience, self.lowest, self.left = patience, float("inf"), patience
        self.tensors = [*model.parameters(), *model.buffers()]

    def update(self, loss: float) -> bool:
        self.left -= 1
        if loss < self.lowest:
            self.lowest, self.left = float(loss), self.patience
            self.copies = [t.detach().clone() for t in self.tensors]
        return self.left <= 0

    @torch.no_grad()
    def restore(self):
        for t, kept in zip(self.tensors, self.copies, strict=True):
            t.copy_(kept)


@ANSWERS.right
class WholeModel:
    def __init__(self, model, patience):
        self.model, self.patience, self.history, self.twin = model, patience, [], None

    def update(self, loss):
        if all(loss < earlier for earlier in self.history):
            self.twin = copy.deepcopy(self.model)
        self.history.append(loss)
        p = self.patience
        return len(self.history) > p and min(self.history[:-p]) <= min(self.history[-p:])

    def restore(self):
        self.model.load_state_dict(self.twin.state_dict())


# A second round.


@wrong("named", "parameters that are frozen are not kept", true="WithoutBuffers")
class TrainedAlone(Base):
    def keep(self):
        self.kept = {n: p.detach().clone() for n, p in self.model.named_parameters() if p.requires_grad}

    def restore(self):
        self.model.load_state_dict(self.kept, strict=False)


@wrong("again", "restore gives the kept weights away: a second one finds none", told="Missing key")
class GivesThemAway(Base):
    def restore(self):
        self.model.load_state_dict(self.kept)
        self.kept = {}


@wrong("plain", "patience counts all epochs since the beginning", told="update.loss. after each epoch differs")
class SinceTheBeginning(Base):
    def update(self, loss):
        self.epochs = getattr(self, "epochs", 0) + 1
        super().update(loss)
        return self.epochs >= self.patience


@wrong(
    "plain", "only stops where the last losses rise one after the other", told="update.loss. after each epoch differs"
)
class RisesInARow(Base):
    def update(self, loss):
        self.losses = [*getattr(self, "losses", []), loss]
        super().update(loss)
        last = self.losses[-self.patience - 1 :]
        return len(last) > self.patience and all(a < b for a, b in itertools.pairwise(last))


@wrong("far", "losses are rounded to three digits before they are compared", true="LeastImprovement")
class Rounded(Base):
    def update(self, loss):
        return super().update(round(loss, 3))


@ANSWERS.right
class OnTheCPU:
    """The kept tensors lie on the CPU, and the count of what is left goes down."""

    def __init__(self, model: torch.nn.Module, patience: int):
        self.m, self.p, self.low = model, patience, math.inf

    def update(self, loss: float) -> bool:
        if loss < self.low:
            self.low, self.n = loss, 0
            self.state = collections.OrderedDict((k, v.cpu().clone()) for k, v in self.m.state_dict().items())
        else:
            self.n += 1
        return not self.n < self.p

    def restore(self) -> None:
        self.m.load_state_dict(self.state, strict=True)


@wrong("given", "detached, which shares its memory", true="ByReference")
class Detached(Base):
    def keep(self):
        self.kept = {name: value.detach() for name, value in self.model.state_dict().items()}


@wrong(
    "named",
    "what is kept are floating numbers: the count of epochs stays as it is",
    told="count of epochs restored is 4, expected 2",
)
class FloatsOnly(Base):
    def keep(self):
        self.kept = {n: v.clone() for n, v in self.model.state_dict().items() if v.is_floating_point()}

    def restore(self):
        self.model.load_state_dict(self.kept, strict=False)


@wrong("given", "the model is replaced by a copy, which nobody else holds", true="ByReference")
class OtherModel(Base):
    def keep(self):
        self.kept = copy.deepcopy(self.model)

    def restore(self):
        self.model = self.kept


@wrong("given", "assign=True: the model has other parameters afterwards", told="puts a new parameter into the model")
class Assigned(Base):
    def restore(self):
        self.model.load_state_dict(copy.deepcopy(self.kept), assign=True)


@wrong("named", "a loss that is NaN is taken for the lowest", true="NanImproves")
class NanIsBest(Base):
    def update(self, loss):
        if not loss >= self.best:
            self.best, self.since = loss, 0
            self.keep()
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("plain", "the copy is made when it is restored, of what the model is then", true="ByReference")
class CopiedTooLate(Base):
    def keep(self):
        self.kept = self.model.state_dict

    def restore(self):
        self.model.load_state_dict(copy.deepcopy(self.kept()))


@wrong("plain", "weights are rounded to half precision to save memory", told="a step in a coarser dtype")
class KeptInHalf(Base):
    def keep(self):
        self.kept = {name: value.half() for name, value in self.model.state_dict().items()}


@wrong("plain", "the first copy is kept for good: only what is None is filled", true="FirstKept")
class FirstCopy(Base):
    def keep(self):
        self.kept = self.kept or copy.deepcopy(self.model.state_dict())


@wrong("plain", "the last `patience` losses are compared with the one before them, not with the best of all")
class OfAWindow(Base):
    losses = ()

    def update(self, loss):
        super().update(loss)
        self.losses = (*self.losses, loss)
        recent = self.losses[-self.patience - 1 :]
        return len(recent) > self.patience and min(recent[1:]) >= recent[0]


@wrong("plain", "copied at each loss that is better than the one before it", true="ComparedWithThePrevious")
class CopiedWhenBetterThanBefore(Base):
    before = math.inf

    def update(self, loss):
        if loss < self.before:
            self.keep()
        self.before = loss
        if loss < self.best:
            self.best, self.since = loss, 0
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("onward", "when it says stop it forgets the best loss, and begins anew")
class ForgetsTheBest(Base):
    def update(self, loss):
        stop = super().update(loss)
        if stop:
            self.best = math.inf
        return stop


@ANSWERS.right
class NumbersCopied(Base):
    """Kept as numpy's arrays, and written into the tensors that are there."""

    def keep(self):
        self.kept = {name: value.cpu().numpy().copy() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def restore(self):
        for name, value in self.model.state_dict().items():
            value.copy_(torch.from_numpy(self.kept[name]))


@ANSWERS.right
class Countdown:
    def __init__(self, model, patience):
        self.model, self.patience, self.left, self.best = model, patience, patience, None

    def update(self, loss):
        if self.best is None or loss < self.best[0]:
            self.best = loss, pickle.dumps(self.model.state_dict())
            self.left = self.patience
        else:
            self.left -= 1
        return self.left <= 0

    def restore(self):
        self.model.load_state_dict(pickle.loads(self.best[1]))


@ANSWERS.right
class OneMultiplication(Base):
    """Not copied by a function that is called so, but new all the same."""

    def keep(self):
        self.kept = {name: value * 1 for name, value in self.model.state_dict().items()}


@wrong("plain", "patience is counted down and never wound up again, but for the first time")
class WoundOnce(Base):
    def update(self, loss):
        if loss < self.best:
            self.best = loss
            self.keep()
            self.since = min(self.since, 1)
        else:
            self.since += 1
        return self.since >= self.patience


@wrong("named", "negative losses are none")
class PositiveOnly(Base):
    def update(self, loss):
        return super().update(loss) if loss > 0 else False


@wrong("plain", "the sum of the last `patience` losses is compared with that before them")
class BySums(Base):
    losses = ()

    def update(self, loss):
        super().update(loss)
        self.losses = (*self.losses, loss)
        n = self.patience
        return len(self.losses) >= 2 * n and sum(self.losses[-n:]) >= sum(self.losses[-2 * n : -n])


@wrong("surroundings", "the gradients' switch is left off after restore", told="leaves gradients switched off")
class LeavesGradientsOff(Base):
    def restore(self):
        torch.set_grad_enabled(False)
        super().restore()


@ANSWERS.right
class ByZip(Base):
    """Names and copies in two lists."""

    def keep(self):
        state = self.model.state_dict()
        self.kept = [*state], [x.detach().cpu().clone() for x in state.values()]

    def restore(self):
        self.model.load_state_dict(dict(zip(*self.kept, strict=True)))
