"""Stop when `patience` epochs in a row brought no new lowest validation loss; give back the weights of the lowest.

Goodfellow, Bengio and Courville 2016, algorithm 7.1.
"""

import copy

import torch

from grader.contract import Trusted


class Steps:
    """Early stopping in steps, so that a mistake is written as the one in which it differs."""

    lowest = float("inf")

    def __init__(self, model, patience):
        self.model, self.patience = model, patience
        self.best, self.bad, self.kept = self.lowest, 0, None

    def update(self, loss):
        if self.better(loss):
            self.best = loss
            self.kept = self.copy()
            self.bad = 0
        else:
            self.worse(loss)
        return self.enough()

    def better(self, loss):
        return loss < self.best

    def copy(self):
        return copy.deepcopy(self.model.state_dict())

    def worse(self, loss):
        self.bad += 1

    def enough(self):
        return self.bad >= self.patience

    def restore(self):
        self.model.load_state_dict(self.kept)


TRUSTED = Trusted(Steps, budget="what is kept, when it is kept, and what is said go wrong independently")
OF_ALL = {}  # where objects that should remember by themselves keep their weights together


@TRUSTED.mistake(
    "restore leaves the model as it is, as in the code that you were given. Whose tensors does state_dict() give, and "
    "what does the next step of training do to them? And does restore load what was kept?"
)
class ByReference(Steps):
    def copy(self):
        return dict(self.model.state_dict())


@TRUSTED.mistake(
    "The last epoch's weights come back in place of the best one's: keep a copy only when the loss is lower than "
    "any before."
)
class LastKept(Steps):
    def worse(self, loss):
        super().worse(loss)
        self.kept = self.copy()


@TRUSTED.mistake(
    "The weights of the first loss come back: each new lowest loss needs a new copy of what the model is then."
)
class FirstKept(Steps):
    def copy(self):
        return self.kept or super().copy()


@TRUSTED.mistake("Parameters are kept and buffers are not: state_dict() has both, named_parameters() only the first.")
class WithoutBuffers(Steps):
    def copy(self):
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def restore(self):
        self.model.load_state_dict(self.kept, strict=False)


@TRUSTED.mistake(
    "It takes the highest loss for the best: for a loss, lower is better. (For an accuracy it would be the other "
    "way round.)"
)
class HigherIsBetter(Steps):
    lowest = -float("inf")

    def better(self, loss):
        return loss > self.best


@TRUSTED.mistake(
    "A tie counts as an improvement: only a loss that is lower than the best so far resets the count and replaces "
    "the copy."
)
class TiesImprove(Steps):
    def better(self, loss):
        return loss <= self.best


@TRUSTED.mistake(
    "A loss that is NaN counts as an improvement: it is neither lower nor higher than any number. Ask whether the loss "
    "is lower than the best one, not whether it fails to be higher."
)
class NanImproves(Steps):
    def better(self, loss):
        return not loss >= self.best


@TRUSTED.mistake(
    "Each loss is compared with the one before, not with the best so far: falling back slowly after a bad epoch "
    "looks like progress."
)
class ComparedWithThePrevious(Steps):
    def worse(self, loss):
        super().worse(loss)
        self.best = loss


@TRUSTED.mistake(
    "It stops one epoch too late: with patience 2, the second epoch in a row without a new best is the last one."
)
class OneTooLate(Steps):
    def enough(self):
        return self.bad > self.patience


@TRUSTED.mistake("It stops one epoch too early: with patience 2, one epoch without a new best is allowed.")
class OneTooEarly(Steps):
    def enough(self):
        return self.bad >= self.patience - 1 and self.bad > 0


@TRUSTED.mistake("It never asks to stop: is True returned when the count reaches the patience?")
class NeverStops(Steps):
    def enough(self):
        return False


@TRUSTED.mistake("The count of bad epochs is not set back to 0 at a new best: they have to come in a row.")
class CountNotReset(Steps):
    def update(self, loss):
        bad = self.bad
        stop = super().update(loss)
        if self.bad == 0:
            self.bad = bad
            return self.enough()
        return stop


@TRUSTED.mistake("update says True while training should go on, and False when it should stop: True means stop.")
class SaysGoOn(Steps):
    def enough(self):
        return not super().enough()


@TRUSTED.mistake(
    "Once it has said True it says so for ever: after a new lowest loss the rule is not met, and update returns False."
)
class ForEver(Steps):
    stopped = False

    def enough(self):
        self.stopped |= super().enough()
        return self.stopped


@TRUSTED.mistake(
    "It says True at the one moment when the count reaches the patience, and False at the next bad loss: ask whether "
    "the count is the patience or more."
)
class JustOnce(Steps):
    def enough(self):
        return self.bad == self.patience


@TRUSTED.mistake(
    "The lowest loss begins at a number that a loss may exceed, so nothing is kept of a model whose losses are larger: "
    "begin with math.inf, or with the first loss."
)
class BeginsTooLow(Steps):
    lowest = 100.0


@TRUSTED.mistake(
    "A small improvement does not count: any loss that is lower than the best so far is a new best, by however little."
)
class LeastImprovement(Steps):
    def better(self, loss):
        return loss < self.best - 1e-4


@TRUSTED.mistake(
    "The weights that are kept are not the object's own but on the class, in a global or in one file: a second object "
    "writes over them. Keep them on self."
)
class Shared(Steps):
    def __init__(self, model, patience):
        super().__init__(model, patience)
        self.kept = OF_ALL

    def copy(self):
        OF_ALL.update(super().copy())
        return OF_ALL


@TRUSTED.mistake(
    "restore gives the kept tensors themselves to the model, and training goes on in them: copy their numbers into the "
    "model's own tensors, as load_state_dict does."
)
class HandsThemOver(Steps):
    def restore(self):
        for name, x in (*self.model.named_parameters(), *self.model.named_buffers()):
            x.data = self.kept[name]


@TRUSTED.alternative
class WithHistory:
    def __init__(self, model, patience):
        self.model = model
        self.patience = patience
        self.history = []

    def update(self, loss):
        if not self.history or loss < min(self.history):
            self.state = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.history.append(loss)
        best = self.history.index(min(self.history))
        return len(self.history) - 1 - best >= self.patience

    def restore(self):
        self.model.load_state_dict(self.state)


@TRUSTED.alternative
class WithACopiedModel:
    def __init__(self, model, patience):
        self.model, self.left, self.patience = model, patience, patience
        self.best_loss, self.best_model = None, copy.deepcopy(model)

    def update(self, loss):
        if self.best_loss is None or loss < self.best_loss:
            self.best_loss, self.left = loss, self.patience
            self.best_model = copy.deepcopy(self.model)
            return False
        self.left -= 1
        return self.left <= 0

    def restore(self):
        self.model.load_state_dict(self.best_model.state_dict())


@TRUSTED.alternative
class InPlace(Steps):
    def update(self, loss):
        improved = torch.tensor(float(loss), dtype=torch.float64) < self.best
        if improved:
            self.best, self.bad = loss, 0
            self.kept = [t.clone() for t in (*self.model.parameters(), *self.model.buffers())]
        self.bad += not improved
        if self.bad >= self.patience:
            return True

    @torch.no_grad()
    def restore(self):
        for mine, kept in zip((*self.model.parameters(), *self.model.buffers()), self.kept, strict=True):
            mine.copy_(kept)
