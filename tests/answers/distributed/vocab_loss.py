"""Answers to distributed.vocab_loss."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.vocab_loss",
    spared={"dependence": "nothing is drawn"},
)
wrong = ANSWERS.wrong


class Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return dy, None


def highest(comm, logits):
    """Of each row, over all ranks, (N, 1)."""
    return comm.all_reduce(logits.detach().amax(1, keepdim=True), op="max")


def place(comm, logits, y):
    """Where the targets are on this rank, and which of them are here."""
    own = y - comm.rank * logits.shape[1]
    return own.clamp(0, logits.shape[1] - 1), (own >= 0) & (own < logits.shape[1])


def pick(shifted, own, here):
    return torch.where(here, shifted[torch.arange(len(own)), own], 0.0)


def vocab_loss(comm, logits, y, *, top=highest, add=Sum.apply, place=place, pick=pick):
    """A right answer, of which a part is replaced."""
    shifted = logits - top(comm, logits)
    sums = add(shifted.exp().sum(1), comm)
    return sums.log() - add(pick(shifted, *place(comm, logits, y)), comm)


# The commonest ones.


@wrong("plain", "the given code", true="as_given")
def given_loss(comm, logits, y):
    N, Vn = logits.shape
    shifted = logits - logits.amax(1, keepdim=True)
    log_sum = comm.all_reduce(shifted.exp().sum(1).log())
    own = (y - comm.rank * Vn).clamp(0, Vn - 1)
    target = comm.all_reduce(shifted[torch.arange(N), own])
    return log_sum - target


@wrong("plain", "mended but for the maximum, which is each rank's own", true="LocalMaximum")
def own_maximum(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: logits.detach().amax(1, keepdim=True))


@wrong("plain", "mended but for the logarithms, which are added", true="LogsAdded")
def logarithms_added(comm, logits, y):
    shifted = logits - highest(comm, logits)
    return Sum.apply(shifted.exp().sum(1).log(), comm) - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


@wrong(
    "plain", "mended but for the target: each rank adds a logit, whether it has the target or not", true="OtherLogit"
)
def a_logit_of_each(comm, logits, y):
    return vocab_loss(comm, logits, y, pick=lambda x, own, here: x[torch.arange(len(own)), own])


@wrong("plain", "mended but for the gradient: comm.all_reduce is in no graph", true="CutOff")
def out_of_the_graph(comm, logits, y):
    return vocab_loss(comm, logits, y, add=lambda x, comm: comm.all_reduce(x))


class SumOfBoth(torch.autograd.Function):
    """As torch.distributed.nn has it."""

    @staticmethod
    def forward(ctx, x, comm):
        ctx.comm = comm
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return ctx.comm.all_reduce(dy), None


@wrong("plain", "backward is an all-reduce as well: n times the gradient, and five of them in all", true="SumsBackward")
def summed_back(comm, logits, y):
    return vocab_loss(comm, logits, y, add=SumOfBoth.apply)


@wrong(
    "plain",
    "the gradient is divided by n, as if each rank had a loss of its own",
    told="1 / n times",
)
def divided_by_n(comm, logits, y):
    part = logits / comm.size + (logits - logits / comm.size).detach()
    return vocab_loss(comm, part, y)


@wrong("plain", "the mean of the tokens, as F.cross_entropy gives it", true="MeanOverTokens")
def mean_of_tokens(comm, logits, y):
    return vocab_loss(comm, logits, y).mean()


@wrong("plain", "the target's logit is as it was, and the sum is of shifted ones", true="TargetNotMoved")
def unshifted_target(comm, logits, y):
    shifted = logits - highest(comm, logits)
    return Sum.apply(shifted.exp().sum(1), comm).log() - Sum.apply(pick(logits, *place(comm, logits, y)), comm)


@wrong("plain", "only the rank with the target has its logit", true="TargetStays")
def target_stays_at_home(comm, logits, y):
    shifted = logits - highest(comm, logits)
    return Sum.apply(shifted.exp().sum(1), comm).log() - pick(shifted, *place(comm, logits, y))


@wrong("plain", "token j lies on rank j mod n")
def dealt_out(comm, logits, y):
    def place(comm, logits, y):
        return (y // comm.size).clamp(max=logits.shape[1] - 1), y % comm.size == comm.rank

    return vocab_loss(comm, logits, y, place=place)


@wrong("plain", "y is the place on each rank", true="NoOffset")
def the_same_place(comm, logits, y):
    def place(comm, logits, y):
        return y.clamp(max=logits.shape[1] - 1), y < logits.shape[1]

    return vocab_loss(comm, logits, y, place=place)


@wrong(
    "plain",
    "keepdim is missing: (N, Vn) - (N,)",
    told=r"size of tensor a \(3\) must match the size of tensor b \(4\)",
    advice=r"is too large by 2\.599 everywhere",
)
def no_keepdim(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: comm.all_reduce(logits.detach().amax(1), op="max"))


@wrong("plain", "all logits come together: right, and V numbers a token are sent", true="logits_gathered")
def gathered(comm, logits, y):
    rows = comm.all_gather(logits.detach())
    rows = torch.cat([logits if rank == comm.rank else row for rank, row in enumerate(rows)], 1)
    return F.cross_entropy(rows, y, reduction="none")


@wrong("plain", "the gradient of logits is summed over ranks that have other tokens")
def copied_logits(comm, logits, y):
    class Copy(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, dy):
            return comm.all_reduce(dy)

    return vocab_loss(comm, Copy.apply(logits), y)


# Almost right.


@wrong("named", "the first token of each rank is not its own: > in place of >=", true="NotTheFirst")
def not_the_first(comm, logits, y):
    def place(comm, logits, y):
        own = y - comm.rank * logits.shape[1]
        return own.clamp(0, logits.shape[1] - 1), (own > 0) & (own < logits.shape[1])

    return vocab_loss(comm, logits, y, place=place)


@wrong("named", "the first token of the next rank is its own too: <= in place of <", true="OneTooMany")
def one_too_many(comm, logits, y):
    def place(comm, logits, y):
        own = y - comm.rank * logits.shape[1]
        return own.clamp(0, logits.shape[1] - 1), (own >= 0) & (own <= logits.shape[1])

    return vocab_loss(comm, logits, y, place=place)


@wrong(
    "named",
    "a rank that has no target at all leaves the second sum out",
    told=r"Deadlock: .* waits in collective number 3",
    advice=r"right where N is more than 1, wrong where it is 1",
)
def silent_without_targets(comm, logits, y):
    shifted = logits - highest(comm, logits)
    own, here = place(comm, logits, y)
    sums = Sum.apply(shifted.exp().sum(1), comm)
    picked = pick(shifted, own, here)
    return sums.log() - (Sum.apply(picked, comm) if here.any() else picked)


@wrong("named", "the maximum has a gradient, which goes to the largest logit of the rank")
def through_the_maximum(comm, logits, y):
    def top(comm, logits):
        own = logits.amax(1, keepdim=True)
        return own + (comm.all_reduce(own, op="max") - own).detach()

    return vocab_loss(comm, logits, y, top=top)


@wrong("named", "the sum is out of the graph, and the target in it", advice="0 everywhere", true="SumCut")
def target_alone(comm, logits, y):
    shifted = logits - highest(comm, logits)
    sums = comm.all_reduce(shifted.exp().sum(1))
    return sums.log() - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


@wrong("named", "the target is out of the graph, and the sum in it", true="TargetCut")
def softmax_alone(comm, logits, y):
    shifted = logits - highest(comm, logits)
    target = comm.all_reduce(pick(shifted, *place(comm, logits, y)))
    return Sum.apply(shifted.exp().sum(1), comm).log() - target


@wrong("named", "the gradient is that of the rank's own softmax")
def own_softmax(comm, logits, y):
    shifted = logits - highest(comm, logits)
    mine = shifted.exp().sum(1)
    log_sum = mine.log() + (comm.all_reduce(mine).log() - mine.log()).detach()
    return log_sum - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


def forward_of(comm, logits, y):
    """Losses, softmax, and where the targets are."""
    shifted = logits - highest(comm, logits)
    exps = shifted.exp()
    sums = comm.all_reduce(exps.sum(1))
    own, here = place(comm, logits, y)
    losses = sums.log() - comm.all_reduce(pick(shifted, own, here))
    return losses, exps / sums[:, None], own, here


class ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, comm, y):
        losses, softmax, own, here = forward_of(comm, logits, y)
        ctx.save_for_backward(softmax, own, here)
        return losses

    @classmethod
    def grads(cls, softmax, own, here, dL):
        minus = torch.zeros_like(softmax)
        minus[torch.arange(len(own)), own] = here.to(softmax.dtype)
        return (softmax - minus) * dL[:, None]

    @staticmethod
    def backward(ctx, dL):
        return ByHand.grads(*ctx.saved_tensors, dL), None, None


@wrong("plain", "by hand: backward does not look at the gradient that comes in")
def no_upstream(comm, logits, y):
    class Here(ByHand):
        @staticmethod
        def backward(ctx, dL):
            return ByHand.grads(*ctx.saved_tensors, torch.ones_like(dL)), None, None

    return Here.apply(logits, comm, y)


@wrong("plain", "by hand: 1 is subtracted at the clamped place, whether the target is here or not")
def a_one_of_each(comm, logits, y):
    class Here(ByHand):
        @staticmethod
        def backward(ctx, dL):
            softmax, own, here = ctx.saved_tensors
            return ByHand.grads(softmax, own, torch.ones_like(here), dL), None, None

    return Here.apply(logits, comm, y)


@wrong("plain", "by hand: the gradient of the mean", told="1 / N times")
def gradient_of_the_mean(comm, logits, y):
    class Here(ByHand):
        @staticmethod
        def backward(ctx, dL):
            return ByHand.grads(*ctx.saved_tensors, dL / len(dL)), None, None

    return Here.apply(logits, comm, y)


@wrong("given", "y is altered in place", told=r"it changes its input y in place")
def y_in_place(comm, logits, y):
    y -= comm.rank * logits.shape[1]
    here = (y >= 0) & (y < logits.shape[1])
    return vocab_loss(comm, logits, y, place=lambda comm, logits, y: (y.clamp(0, logits.shape[1] - 1), here))


@wrong("given", "logits are shifted in place", told=r"it changes its input logits in place")
def logits_in_place(comm, logits, y):
    logits.data -= highest(comm, logits)
    return vocab_loss(comm, logits, y)


@wrong(
    "given", "a gradient is asked for in the caller's logits, whether they ask for one or not", told="requires_grad_"
)
def asks_for_gradients(comm, logits, y):
    logits.requires_grad_()
    return vocab_loss(comm, logits, y)


@wrong(
    "given",
    "a hook on the caller's logits makes the gradient: whatever else they are used for goes through it too",
    told="two losses in one graph",
)
def hooked(comm, logits, y):
    losses, softmax, own, here = forward_of(comm, logits.detach(), y)
    factor = ByHand.grads(softmax, own, here, torch.ones_like(losses))
    if logits.requires_grad:
        logits.register_hook(lambda g: g * factor)
    return losses + (logits - logits.detach()).sum(1)


class OnTheClass(torch.autograd.Function):
    saved = {}  # noqa: RUF012 (that is what is wrong with it)

    @staticmethod
    def forward(ctx, logits, comm, y):
        losses, *rest = forward_of(comm, logits, y)
        ctx.rank = comm.rank
        OnTheClass.saved[comm.rank] = rest
        return losses

    @staticmethod
    def backward(ctx, dL):
        return ByHand.grads(*OnTheClass.saved[ctx.rank], dL), None, None


@wrong(
    "again",
    "softmax is kept on the class: of two losses in a graph the second one's serves both",
    told="two losses in one graph",
)
def kept_on_the_class(comm, logits, y):
    return OnTheClass.apply(logits, comm, y)


class CommOnTheClass(torch.autograd.Function):
    comm = None

    @staticmethod
    def forward(ctx, x):
        return CommOnTheClass.comm.all_reduce(x)

    @staticmethod
    def backward(ctx, dy):
        return dy


@wrong(
    "again",
    "comm is kept on the class, where all ranks write",
    told=r"what is kept on a class or in a global name belongs to all ranks",
)
def comm_on_the_class(comm, logits, y):
    CommOnTheClass.comm = comm
    return vocab_loss(comm, logits, y, add=lambda x, comm: CommOnTheClass.apply(x))


PLACES = {}


@wrong("again", "where the targets are is kept by the sizes")
def places_kept(comm, logits, y):
    key = comm.rank, comm.size, logits.shape
    return vocab_loss(comm, logits, y, place=lambda *given: PLACES.setdefault(key, place(*given)))


TOPS = {}


@wrong(
    "again",
    "the maximum is the largest one that any call has seen",
    told=r"it keeps something from one call to the next",
)
def highest_so_far(comm, logits, y):
    def top(comm, logits):
        TOPS[comm.rank] = max(TOPS.get(comm.rank, -1e9), comm.all_reduce(logits.detach().amax(), op="max").item())
        return TOPS[comm.rank]

    return vocab_loss(comm, logits, y, top=top)


@wrong("ones", "one token has a loss without a dimension", told=r"has lost a dimension of size 1")
def squeezed(comm, logits, y):
    return vocab_loss(comm, logits, y).squeeze()


@wrong(
    "ones",
    "rows are told from columns by their size: with one logit on a rank the sum goes over tokens",
    told=r"one logit on each rank: loss on rank 0 differs in 7 of 7",
)
def the_larger_dimension(comm, logits, y):
    shifted = logits - highest(comm, logits)
    exps = shifted.exp().squeeze()
    sums = Sum.apply(exps.sum(-1).expand(len(y)), comm)
    return sums.log() - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


@wrong("far", "nothing is subtracted", true="NoMaximum")
def unshifted(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: 0.0)


@wrong("far", "op is missing: the sum of the ranks' maxima is subtracted", true="SumOfMaxima")
def sum_of_maxima(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: comm.all_reduce(logits.detach().amax(1, keepdim=True)))


@wrong("far", "one maximum for all rows", true="OneMaximum")
def one_maximum(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: comm.all_reduce(logits.detach().amax(), op="max"))


@wrong(
    "far", "rank 0's maximum serves all", told=r"one rank's logits are 300 above all others: loss on rank 0 is infinite"
)
def maximum_of_rank_zero(comm, logits, y):
    return vocab_loss(comm, logits, y, top=lambda comm, logits: comm.broadcast(logits.detach().amax(1, keepdim=True)))


@wrong("far", "each rank's logsumexp, and their exponentials as they are", true="NoMaximum")
def exponentials_of_logsumexp(comm, logits, y):
    target = Sum.apply(pick(logits, *place(comm, logits, y)), comm)
    return Sum.apply(logits.logsumexp(1).exp(), comm).log() - target


@wrong(
    "far",
    "-log of the target's softmax, which is 0 far below",
    told=r"300 above all others: loss on rank 0 is infinite",
)
def log_of_softmax(comm, logits, y):
    exps = (logits - highest(comm, logits)).exp()
    sums = Sum.apply(exps.sum(1), comm)
    return -(Sum.apply(pick(exps, *place(comm, logits, y)), comm) / sums).log()


@wrong(
    "far",
    "logits no further than 50 below the highest",
    told=r"differs in 8 of 8 entries, most at \[\d\]: 50\.\d+, expected",
)
def careful(comm, logits, y):
    shifted = (logits - highest(comm, logits)).clamp(min=-50.0)
    return Sum.apply(shifted.exp().sum(1), comm).log() - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


@wrong("far", "1e-6 in the logarithm")
def epsilon(comm, logits, y):
    shifted = logits - highest(comm, logits)
    sums = Sum.apply(shifted.exp().sum(1), comm)
    return (sums + 1e-6).log() - Sum.apply(pick(shifted, *place(comm, logits, y)), comm)


@wrong("far", "in float32, and back")
def in_float32(comm, logits, y):
    return vocab_loss(comm, logits.float(), y).to(logits.dtype)


@wrong(
    "large",
    "each rank's logsumexp comes to all: n - 1 times N numbers, too many from five ranks on",
    told=r"numbers in all, and \d+ are enough",
)
def logsumexp_of_each(comm, logits, y):
    own = logits.logsumexp(1)
    rows = comm.all_gather(own.detach())
    rows = torch.stack([own if rank == comm.rank else row for rank, row in enumerate(rows)])
    return rows.logsumexp(0) - Sum.apply(pick(logits, *place(comm, logits, y)), comm)


@wrong("large", "ids of eight bits: right to token 255", told="wrong where it is 340 or more")
def eight_bits(comm, logits, y):
    return vocab_loss(comm, logits, y.to(torch.uint8).long())


@wrong("named", "view: logits that do not lie row by row", told=r"not contiguous: (.|\n)*view size is not compatible")
def by_view(comm, logits, y):
    def pick(shifted, own, here):
        return torch.where(here, logits.view(-1)[torch.arange(len(own)) * logits.shape[1] + own], 0.0)

    top = highest(comm, logits)
    sums = Sum.apply((logits - top).exp().sum(1), comm)
    return sums.log() + top[:, 0] - Sum.apply(pick(logits, *place(comm, logits, y)), comm)


@wrong(
    "surroundings",
    "gradients are switched off for good, in the rank that calls it",
    told="gradients are switched on or off",
)
def switched_off(comm, logits, y):
    losses = vocab_loss(comm, logits, y)
    torch.set_grad_enabled(False)
    return losses


@wrong("surroundings", "float64 is torch's default dtype from then on", told=r"changes torch's default dtype")
def another_default(comm, logits, y):
    torch.set_default_dtype(torch.float64)
    return vocab_loss(comm, logits, y)


BOARD = {}


@wrong(
    "unwatched",
    "logits lie on a board that all ranks see: on machines there is no board",
    told="nobody can know the result",
)
def on_a_board(comm, logits, y):
    BOARD[comm.rank] = logits.detach()
    comm.barrier()
    rows = torch.cat([logits if rank == comm.rank else BOARD[rank] for rank in range(comm.size)], 1)
    comm.barrier()
    return F.cross_entropy(rows, y, reduction="none")


@wrong("unwatched", "all logits come together, and the list of messages is emptied", told="nobody can know the result")
def empties_the_list(comm, logits, y):
    losses = gathered(comm, logits, y)
    comm.world.messages.clear()
    return losses


@wrong(
    "named",
    "a collective too many in backward: four of N numbers",
    told=r"a rank sends \d+ numbers in all, and \d+ are enough",
)
def a_fourth(comm, logits, y):
    class Mean(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, dy):
            return comm.all_reduce(dy) / comm.size

    return Mean.apply(vocab_loss(comm, logits, y))


# Unusual, and right.


@ANSWERS.right
def past_the_graph(comm, logits, y):
    """What other ranks add is a constant: no Function at all."""

    def add(x, comm):
        return x + (comm.all_reduce(x) - x).detach()

    return vocab_loss(comm, logits, y, add=add)


class Megatron(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, comm, y):
        N, Vn = logits.shape
        logits = logits - comm.all_reduce(logits.amax(1), op="max")[:, None]
        start, end = comm.rank * Vn, (comm.rank + 1) * Vn
        elsewhere = (y < start) | (y >= end)
        own = (y - start).masked_fill(elsewhere, 0)
        predicted = logits.gather(1, own[:, None]).squeeze(1).masked_fill(elsewhere, 0.0)
        predicted = comm.all_reduce(predicted)
        exps = logits.exp_()
        sums = comm.all_reduce(exps.sum(1))
        ctx.save_for_backward(exps.div_(sums[:, None]), elsewhere, own)
        return sums.log() - predicted

    @staticmethod
    def backward(ctx, dL):
        softmax, elsewhere, own = ctx.saved_tensors
        grads = softmax.clone()
        grads[torch.arange(len(own)), own] -= 1.0 - elsewhere.to(grads.dtype)
        return grads.mul_(dL[:, None]), None, None


@ANSWERS.right
def as_megatron(comm, logits, y):
    return Megatron.apply(logits, comm, y)


@ANSWERS.right
def logsumexp_first(comm, logits, y):
    """Each rank's logsumexp, and the largest of them as the maximum."""
    mine = logits.logsumexp(1)
    top = comm.all_reduce(mine, op="max")
    log_sum = Sum.apply((mine - top).exp(), comm).log() + top
    own, here = place(comm, logits, y)
    return log_sum - Sum.apply(logits.gather(1, own[:, None])[:, 0] * here, comm)


@ANSWERS.right
def both_in_one(comm, logits, y):
    """Two sums in one message of 2 N numbers."""
    shifted = logits - highest(comm, logits)
    here = torch.arange(logits.shape[1]) + comm.rank * logits.shape[1] == y[:, None]
    both = torch.stack([shifted.exp().sum(1), (shifted * here).sum(1)])
    sums, target = Sum.apply(both, comm)
    return sums.log() - target


@ANSWERS.right
def as_a_complex_number(comm, logits, y):
    """The sum is the real part, the target the imaginary one."""
    shifted = logits - highest(comm, logits)
    both = Sum.apply(torch.complex(shifted.exp().sum(1), pick(shifted, *place(comm, logits, y))), comm)
    return both.real.log() - both.imag


@ANSWERS.right
def linear_in_logits(comm, logits, y):
    """Computed without a graph, and then a function with this value and this gradient."""
    with torch.no_grad():
        losses, softmax, own, here = forward_of(comm, logits, y)
        slope = ByHand.grads(softmax, own, here, torch.ones_like(losses))
    return losses + (slope * (logits - logits.detach())).sum(1)


@ANSWERS.right
def a_row_at_a_time(comm, logits, y):
    """The larger scale is put right after the sum: own maxima, and their distance from the highest."""
    mine = logits.detach().amax(1)
    top = comm.all_reduce(mine, op="max")
    sums = torch.stack([(row - m).exp().sum() for row, m in zip(logits, mine, strict=True)]) * (mine - top).exp()
    begin, Vn = comm.rank * logits.shape[1], logits.shape[1]
    picked = [
        row[t - begin] - m if begin <= t < begin + Vn else row.new_zeros(())
        for row, m, t in zip(logits, top, y.tolist(), strict=True)
    ]
    return Sum.apply(sums, comm).log() - Sum.apply(torch.stack(picked), comm)
