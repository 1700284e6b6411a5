"""log sum_j exp(z_j) - z_y with j split over the ranks: Shoeybi et al. 2019, "Megatron-LM", section 3.

The maximum, the sum of the exponentials and the target's logit are one number a token each. Every rank goes on with the
same loss, so that the gradient of the sum is that of each summand.
"""

import torch
from torch.autograd import Function

from grader.contract import Trusted


class Summed(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dY):
        return dY, None


class SummedTwice(Summed):
    @staticmethod
    def backward(ctx, dY):
        return ctx.comm.all_reduce(dY), None


class Gathered(Function):
    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_gather(x)

    @staticmethod
    def backward(ctx, dY):
        return dY[ctx.comm.rank], None


class Loss:
    """A mistake is written as the step in which it differs."""

    total = Summed

    def __call__(self, comm, logits, y):
        self.comm, self.logits, self.V = comm, logits, logits.shape[1]
        top = self.top(logits.detach().amax(1))
        local = y - self.first()
        mine = self.inside(local)
        found = logits.gather(1, local.clamp(0, self.V - 1)[:, None])[:, 0]
        target = self.sum(self.own(self.moved(found, top), mine))
        return self.result(self.log_sum(logits - top[:, None]), target, top)

    def top(self, top):
        return self.comm.all_reduce(top, op="max")

    def first(self):
        return self.comm.rank * self.V

    def inside(self, local):
        return (local >= 0) & (local < self.V)

    def moved(self, found, top):
        return found - top

    def own(self, found, mine):
        return torch.where(mine, found, 0.0)

    def log_sum(self, Z):
        return self.sum(Z.exp().sum(1)).log()

    def sum(self, x):
        return self.total.apply(x, self.comm)

    def result(self, log_sum, target, top):
        return log_sum - target


TRUSTED = Trusted(
    lambda *given: Loss()(*given), budget="a maximum, a target's place, two sums, and the gradient of each"
)
(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@TRUSTED.mistake(
    "Slips of the given code are still there. Which rank's maximum is subtracted, whose logit stands for a target that "
    "a rank does not have, what is added up over the ranks, and what does backward see of it?"
)
def as_given(comm, logits, y):
    shifted = logits - logits.amax(1, keepdim=True)
    log_sum = comm.all_reduce(shifted.exp().sum(1).log())
    own = (y - comm.rank * logits.shape[1]).clamp(0, logits.shape[1] - 1)
    return log_sum - comm.all_reduce(shifted.gather(1, own[:, None])[:, 0])


@slip(
    "Each rank subtracts its own maximum, so that the ranks add exponentials of different scales: subtract the maximum "
    "of all ranks."
)
class LocalMaximum(Loss):
    def top(self, top):
        return top


@slip(
    "Nothing is subtracted before exp, which overflows for large logits, and for very small ones gives a sum of 0: "
    "subtract the maximum of all ranks."
)
class NoMaximum(Loss):
    def top(self, top):
        return torch.zeros_like(top)


@slip(
    "One maximum is taken for all tokens, and where a row lies far below it, its exponentials are 0 and the loss "
    "infinite: each token has a maximum of its own."
)
class OneMaximum(Loss):
    def top(self, top):
        return super().top(top).max().expand_as(top)


@slip(
    "The maxima of the ranks are added up: for ordinary logits that does no harm, and for large ones exp over- or "
    "underflows. The maximum of all is asked for, and all_reduce has an op for it."
)
class SumOfMaxima(Loss):
    def top(self, top):
        return self.comm.all_reduce(top)


@slip(
    "A rank that does not have the target adds another logit in its place, its first or its last one: such a rank adds "
    "0."
)
class OtherLogit(Loss):
    def own(self, found, mine):
        return found


@slip("The logarithms of the ranks' sums are added up: add the sums, and take one logarithm.")
class LogsAdded(Loss):
    def log_sum(self, Z):
        return self.sum(Z.exp().sum(1).log())


@slip(
    "The global id is looked up in each rank's own logits: entry 0 of rank r is token r Vn. Subtract that before you "
    "look."
)
class NoOffset(Loss):
    def first(self):
        return 0


@slip(
    "The maximum is subtracted in the sum alone, and not from the target's logit, so that the loss is off by it: "
    "subtract it from both, or add it to the logarithm."
)
class TargetNotMoved(Loss):
    def inside(self, local):
        return (local >= 0) & (local < self.V)

    def moved(self, found, top):
        return found


@slip(
    "The target's logit is not summed over the ranks: the rank that has it knows it, and the others go on with 0, and "
    "so with another loss."
)
class TargetStays(Loss):
    def result(self, log_sum, target, top):
        return log_sum - self.last

    def own(self, found, mine):
        self.last = super().own(found, mine)
        return self.last


@slip(
    "The values are right, and no gradient flows: what comm's own all_reduce returns is no part of the graph. The sums "
    "need a Function whose backward hands the gradient on."
)
class CutOff(Loss):
    def sum(self, x):
        return self.comm.all_reduce(x)


@slip(
    "Gradients are n times too large: the backward of the sum sums again. Every rank has the same loss, and so its "
    "whole gradient already."
)
class SumsBackward(Loss):
    total = SummedTwice


@slip("The loss is divided by the number of ranks: it is no mean over them, all have the same one.")
class MeanOverRanks(Loss):
    def result(self, log_sum, target, top):
        return (log_sum - target) / self.comm.size


@slip("One number is returned, the mean over the tokens: the loss of each token is asked for, (N,).")
class MeanOverTokens(Loss):
    def result(self, log_sum, target, top):
        return (log_sum - target).mean()


@slip("The sign is wrong: the loss is the logarithm of the sum, less the target's logit.")
class WrongSign(Loss):
    def result(self, log_sum, target, top):
        return target - log_sum


@TRUSTED.mistake(
    "All logits are sent to all ranks, which grows with the vocabulary: three numbers for each token are enough, a "
    "maximum, a sum and the target's logit."
)
def logits_gathered(comm, logits, y):
    Z = Gathered.apply(logits, comm).movedim(0, 1).flatten(1)
    return torch.nn.functional.cross_entropy(Z, y, reduction="none")


class Whole(Function):
    """The loss with a backward of its own, as Megatron has it."""

    @staticmethod
    def forward(ctx, logits, y, comm):
        N, V = logits.shape
        top = comm.all_reduce(logits.amax(1), op="max")
        e = torch.exp(logits - top[:, None])
        hot = (y[:, None] - comm.rank * V) == torch.arange(V, device=y.device)
        both = comm.all_reduce(torch.stack([e.sum(1), ((logits - top[:, None]) * hot).sum(1)]))
        ctx.save_for_backward(e / both[0][:, None], hot)
        return both[0].log() - both[1]

    @staticmethod
    def backward(ctx, dL):
        softmax, hot = ctx.saved_tensors
        return (softmax - hot.to(softmax)) * dL[:, None], None, None


@slip("The first token of each rank is taken for nobody's: rank r holds r Vn itself, so `>=` and not `>`.")
class NotTheFirst(Loss):
    def inside(self, local):
        return (local > 0) & (local < self.V)


@slip(
    "The first token of the next rank counts here too: rank r holds the tokens below (r + 1) Vn, so `<` and not `<=`."
)
class OneTooMany(Loss):
    def inside(self, local):
        return (local >= 0) & (local <= self.V)


@slip("The loss is right, and its target is cut off from the graph: each gradient lacks the -1 at the target.")
class TargetCut(Loss):
    def result(self, log_sum, target, top):
        return log_sum - target.detach()


@slip(
    "The loss is right, and its sum is cut off from the graph: what reaches the logits is the target's gradient alone."
)
class SumCut(Loss):
    def result(self, log_sum, target, top):
        return log_sum.detach() - target


@TRUSTED.alternative
def one_function(comm, logits, y):
    return Whole.apply(logits, y, comm)


@TRUSTED.alternative
def logs_of_sums(comm, logits, y):
    """log-sum-exp on each rank, then over the ranks; the graph sees the rank's own summands alone."""

    def added(x):
        return x + (comm.all_reduce(x) - x).detach()

    here = logits.logsumexp(1)
    top = comm.all_reduce(here, op="max")
    tokens = torch.arange(len(y), device=y.device)
    shard, place = y // logits.shape[1], y % logits.shape[1]
    target = added(logits[tokens, place] * (shard == comm.rank))
    return added((here - top).exp()).log() + top - target
