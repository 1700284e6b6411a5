"""What a training suffers from, by questions to its curves; each compares the run with itself.

The order of the questions, and what is normal, follow Karpathy 2019, "A recipe for training neural networks": the loss
before the first step is that of chance, an update is about a thousandth of the weights, data is looked at first.
"""

import math

from grader.contract import Trusted

CHANCE = 0.1


class Doctor:
    """The first question that is answered with yes names the illness. A mistake is written as the one that differs."""

    def __call__(self, run):
        for name, ask in self.questions().items():
            if ask(run):
                return self.called(name)
        return "healthy"

    def questions(self):
        return {
            "labels leak": self.leaks,
            "dead units": self.begins_dead,
            "inputs not scaled": self.begins_beyond_chance,
            "rate too low": self.hardly_moves,
            "gradients not zeroed": self.gradients_grow,
            "rate too high": self.jumps,
            "batches sorted by class": self.forgets,
            "labels mixed up": self.disbelieves,
            "over-fitting": self.knows_by_heart,
        }

    def called(self, name):
        return name

    def leaks(self, run):
        """Where labels are drawn by lot, only an input that carries its label is better than chance."""
        return run.accuracy_on_shuffled_labels > 3 * CHANCE

    def begins_dead(self, run):
        return run.zeros[0] > 0.8

    def begins_beyond_chance(self, run):
        """A network that knows nothing has a loss near log 10, unless its scores are far too large."""
        return run.training_loss[0] > 5 * -math.log(CHANCE)

    def hardly_moves(self, run):
        return run.update_ratio[0] < 0.0017

    def gradients_grow(self, run):
        """The first steps are as good as any; then the sum of all gradients only grows."""
        return run.gradient_norm[-10:].median() > 2.8 * run.gradient_norm[0]

    def jumps(self, run):
        """The first step is so long that most units are dead soon after it."""
        return run.update_ratio[0] > 0.11 and run.zeros[1:6].mean() > 0.89

    def forgets(self, run):
        """With each class that comes the last one is lost: the held-out loss goes up and down more than it falls."""
        loss = run.validation_loss
        return loss[3:].diff().abs().sum() > 1.7 * (loss.max() - loss.min())

    def disbelieves(self, run):
        """Wrong labels cannot be foreseen: the training loss stays high, above that of held-out images."""
        return self.training_end(run) > 0.48 * run.training_loss[0]

    def training_end(self, run):
        return run.training_loss[-10:].mean()

    def knows_by_heart(self, run):
        return self.training_end(run) < 0.4 * run.validation_loss[-10:].mean()


TRUSTED = Trusted(Doctor())
(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@TRUSTED.mistake("Every run is called healthy: nine of ten are not.")
def all_healthy(run):
    return "healthy"


@slip(
    "Only the training loss decides. Runs whose training loss looks alike are told apart by what was held out, by the "
    "norms and by the zeros."
)
class TrainingLossAlone(Doctor):
    def __call__(self, run):
        loss = run.training_loss / run.training_loss[0]
        if self.begins_beyond_chance(run):
            return "inputs not scaled"
        if loss.max() > 1.5:
            return "rate too high"
        if loss[-10:].mean() > 0.8:
            return "rate too low"
        return "over-fitting" if loss[-10:].mean() < 0.1 else "healthy"


@slip(
    "No run is called 'labels leak'. A leak hides in good curves, and held-out images have it too. Look at what the "
    "recipe reaches on shuffled labels, where nothing can be learned: which accuracy is chance?"
)
class LeakUnseen(Doctor):
    def leaks(self, run):
        return False


@slip(
    "A leak is called over-fitting. A network that learned its images by heart does badly on others; here held-out "
    "images do too well, and so do shuffled labels."
)
class LeakForOverfitting(Doctor):
    def called(self, name):
        return "over-fitting" if name == "labels leak" else name


@slip(
    "Inputs that are not scaled are called a rate too high. Both blow up. But look at the first record, before any "
    "step was taken: which loss does a network have that knows nothing, and can a rate change it?"
)
class ScaleForRate(Doctor):
    def called(self, name):
        return "rate too high" if name == "inputs not scaled" else name


@slip(
    "Gradients that are not zeroed are called a rate too high. A rate that is too high shows at the first step; here "
    "the first steps are good ones, and the gradient norm grows from record to record."
)
class SumForRate(Doctor):
    def called(self, name):
        return "rate too high" if name == "gradients not zeroed" else name


@slip(
    "Sorted batches are called a rate too high, for their losses jump. Look at the training loss between the jumps, "
    "beside the held-out one: can a network whose steps are too long come so low?"
)
class SortedForRate(Doctor):
    def called(self, name):
        return "rate too high" if name == "batches sorted by class" else name


@slip(
    "Mixed-up labels are called a rate too low, for the training loss hardly falls. Look at the held-out accuracy: "
    "these networks learn, and they do better on images that they have never seen."
)
class MixedForSlow(Doctor):
    def called(self, name):
        return "rate too low" if name == "labels mixed up" else name


@slip(
    "No run is called 'rate too low': those that hardly move are called healthy, or something else. How large is an "
    "update beside the weights in runs that learn?"
)
class SlowUnseen(Doctor):
    def hardly_moves(self, run):
        return False

    def disbelieves(self, run):
        return self.training_end(run) > run.validation_loss[-10:].mean() and run.validation_accuracy[-1] > 0.25


@slip(
    "Runs whose units died on the way are called 'dead units'. Look at the zeros of the first record: where units are "
    "alive there, something killed them, and that is the illness."
)
class DeadInTheEnd(Doctor):
    def begins_dead(self, run):
        return run.zeros[0] > 0.8 or run.zeros[-5:].mean() > 0.95


@slip(
    "Half of the activations at 0 are taken for dead units. A ReLU of numbers around 0 gives 0 for one half of them: "
    "that is how every healthy run begins. Nearly all of them is another matter."
)
class HalfIsDead(Doctor):
    def begins_dead(self, run):
        return run.zeros.max() > 0.48


@slip(
    "No run is called over-fitting: those that learn by heart are called healthy. Compare the training loss with the "
    "held-out one at the end, in the same run."
)
class OverfittingUnseen(Doctor):
    def knows_by_heart(self, run):
        return False


@slip(
    "Healthy runs are called over-fitting, for their held-out loss is above the training loss. In most healthy runs it "
    "is so, a little. Over-fitting leaves the training loss many times lower."
)
class AnyGapIsOverfitting(Doctor):
    def knows_by_heart(self, run):
        return run.training_loss[-10:].median() < 1.02 * run.validation_loss[-10:].median()


@slip(
    "'over-fitting' and 'labels mixed up' are said by how low the training loss comes. That depends on rate, batch and "
    "steps too, and these are others in every run: compare it with the held-out loss, and with where the run began."
)
class FixedNumbers(Doctor):
    def disbelieves(self, run):
        return self.training_end(run) > 0.45

    def knows_by_heart(self, run):
        return self.training_end(run) < 0.35


@slip(
    "No run is called 'over-fitting', and none 'labels mixed up'. In both the two losses part: which of them is the "
    "lower one tells the one from the other."
)
class TwoUnseen(Doctor):
    def disbelieves(self, run):
        return False

    def knows_by_heart(self, run):
        return False


@slip("'labels leak' and 'labels mixed up' are exchanged: wrong labels make learning hard, a leak makes it too easy.")
class Exchanged(Doctor):
    def called(self, name):
        return {"labels leak": "labels mixed up", "labels mixed up": "labels leak"}.get(name, name)


@TRUSTED.alternative
def by_accuracies(run):
    """Other readings: accuracies, and what happens on the way rather than at the end."""
    accuracy, held_out = run.validation_accuracy, run.validation_loss
    if run.training_loss[0] > 12:
        return "inputs not scaled"
    if run.zeros[0] > 0.75:
        return "dead units"
    if run.accuracy_on_shuffled_labels > 0.35:
        return "labels leak"
    if run.update_ratio[:3].mean() < 0.0017:
        return "rate too low"
    if run.gradient_norm[15:].mean() > 2.5 * run.gradient_norm[:1].mean():
        return "gradients not zeroed"
    rises = held_out.diff().clamp(min=0).sum() / (held_out.max() - held_out.min())
    if accuracy[-6:].mean() < 0.45 and run.zeros[2:8].mean() > 0.88 and run.update_ratio[0] > 0.1:
        return "rate too high"
    if rises > 1.1:
        return "batches sorted by class"
    if run.training_loss[-12:].mean() < 0.4 * held_out[-12:].mean():
        return "over-fitting"
    return "labels mixed up" if run.training_loss[-8:].median() > 0.47 * run.training_loss[:2].mean() else "healthy"


@TRUSTED.alternative
def tree(run):
    """A decision tree that was fitted to other runs, its numbers rounded."""
    training, held_out = run.training_loss, run.validation_loss
    rises = held_out.diff().clamp(min=0).sum() / (held_out.max() - held_out.min())
    if training[-8:].mean() < 0.47 * training[0]:
        if run.accuracy_on_shuffled_labels > 0.38:
            return "labels leak"
        if training[0] > 21:
            return "inputs not scaled"
        if training[1:].quantile(0.25) < 0.33 * held_out[1:].median():
            return "over-fitting" if rises < 1.15 else "batches sorted by class"
        if run.zeros[0] > 0.78:
            return "dead units"
        if run.gradient_norm[-6:].mean() > 2.9 * run.gradient_norm[0]:
            return "gradients not zeroed"
        return "healthy" if held_out[-6:].mean() < 0.58 * held_out[0] else "batches sorted by class"
    if run.zeros[0] > 0.78:
        return "dead units"
    if training[0] > 21:
        return "inputs not scaled"
    if run.gradient_norm[-6:].mean() > 2.9 * run.gradient_norm[0]:
        return "gradients not zeroed"
    if run.zeros[2:8].mean() > 0.93:
        return "rate too high"
    if run.update_ratio[0] < 10**-2.77:
        return "rate too low"
    return "labels mixed up" if rises < 1.05 else "batches sorted by class"
