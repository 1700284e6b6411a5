"""Answers to distributed.vocab_loss, second round."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.vocab_loss")
wrong = ANSWERS.wrong


class Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, comm):
        return comm.all_reduce(x)

    @staticmethod
    def backward(ctx, d):
        return d, None


def largest(comm, logits):
    return comm.all_reduce(logits.detach().amax(1), op="max")


def place(comm, logits, y):
    Vn = logits.shape[1]
    own = y - comm.rank * Vn
    return own.clamp(0, Vn - 1), (own >= 0) & (own < Vn)


def loss_of(comm, logits, y, *, top=largest, total=Sum.apply, exp=torch.exp, log=torch.log):
    """A right answer, of which a part is replaced."""
    z = logits - top(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    target = torch.where(here, z[torch.arange(len(z)), own], z.new_zeros(()))
    return log(total(exp(z).sum(1), comm)) - total(target, comm)


def whole(comm, logits, y):
    return F.cross_entropy(torch.cat([*comm.all_gather(logits)], 1), y, reduction="none")


@wrong("named", "without gradients all logits are gathered", told="a rank sends", true="logits_gathered")
def gathers_for_values(comm, logits, y):
    if logits.requires_grad and torch.is_grad_enabled():
        return loss_of(comm, logits, y)
    return whole(comm, logits, y)


@wrong("large", "a vocabulary of more than 100 a rank is gathered", told="a rank sends", true="logits_gathered")
def gathers_the_large(comm, logits, y):
    out = loss_of(comm, logits, y)
    if logits.shape[1] > 100:
        comm.all_gather(logits)
    return out


def megatron(second):
    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, y, comm):
            z = logits - largest(comm, logits)[:, None]
            own, here = place(comm, logits, y)
            rows = torch.arange(len(z))
            target = comm.all_reduce(torch.where(here, z[rows, own], 0))
            p = z.exp_()
            S = comm.all_reduce(p.sum(1))
            p /= S[:, None]
            ctx.save_for_backward(p, own, here)
            return S.log() - target

        @staticmethod
        def backward(ctx, d):
            p, own, here = ctx.saved_tensors
            return second(p, own, here, d), None, None

    return Loss


def overwriting(p, own, here, d):
    p.data[torch.arange(len(p)), own] -= here.to(p.dtype)
    return p.data.mul_(d[:, None])


@wrong(
    "again",
    "the saved probabilities are overwritten in backward: a kept graph gives another gradient",
    told=r"in a second backward",
)
def overwrites_saved(comm, logits, y):
    return megatron(overwriting).apply(logits, y, comm)


def upstream_altered(p, own, here, d):
    g = p.clone()
    g[torch.arange(len(p)), own] -= here.to(p.dtype)
    g *= d[:, None]
    d.zero_()
    return g


@wrong(
    "given",
    "the gradient that comes is overwritten with 0: whoever shares it sees that",
    told=r"changes its input gradient of the losses",
)
def overwrites_upstream(comm, logits, y):
    return megatron(upstream_altered).apply(logits, y, comm)


@wrong("named", "float32 is summed in float64 and without a maximum: beyond 709 it overflows", told=r"inf|NaN")
def double_for_float(comm, logits, y):
    if logits.dtype == torch.float32:
        return loss_of(comm, logits.double(), y, top=lambda comm, z: z.new_zeros(len(z))).float()
    return loss_of(comm, logits, y)


@wrong("far", "float32 is subtracted a maximum of at most 500", told=r"inf|NaN")
def capped_for_float(comm, logits, y):
    cap = 500 if logits.dtype == torch.float32 else 2000
    return loss_of(comm, logits, y, top=lambda comm, z: largest(comm, z).clamp(-cap, cap))


@wrong("far", "1e-6 is added to the sum, against a logarithm of 0", told=r"differs")
def with_epsilon(comm, logits, y):
    return loss_of(comm, logits, y, log=lambda S: (S + 1e-6).log())


@wrong("far", "the loss is at most 1500: two logits may be 2000 apart", told=r"1500, expected")
def capped_loss(comm, logits, y):
    return loss_of(comm, logits, y).clamp(max=1500)


@wrong("far", "a logit of -1000 counts as none (masked)", told=r"of -1000, 0 and 1000: loss on rank 0 is NaN")
def lowest_is_none(comm, logits, y):
    return loss_of(comm, logits.masked_fill(logits <= -1000, -torch.inf), y)


@wrong("far", "the target by a maximum, beside which absent ones are 0", told=r"differs")
def target_by_maximum(comm, logits, y):
    z = logits - largest(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    mine = torch.where(here, logits[torch.arange(len(z)), own], 0)
    target = mine + (comm.all_reduce(mine.detach(), op="max") - mine.detach())
    return Sum.apply(z.exp().sum(1), comm).log() + largest(comm, logits) - target


@wrong(
    "far",
    "the target's rank is told by its logit: one of exactly 0 is taken for absent",
    told=r"logits of -1000, 0 and 1000",
)
def zero_is_absent(comm, logits, y):
    z = logits - largest(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    mine = torch.where(here, logits[torch.arange(len(z)), own], 0)
    S = Sum.apply(z.exp().sum(1), comm)
    target = Sum.apply(torch.where(mine != 0, mine - largest_of(z, logits), 0), comm)
    return S.log() - target


def largest_of(z, logits):
    return (logits - z).detach()[:, 0]


@wrong("again", "the rows' numbers are kept from the first call", told="index|shape|size")
def kept_rows(comm, logits, y, kept={}):  # noqa: B006
    rows = kept.setdefault("rows", torch.arange(len(y)))
    z = logits - largest(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    target = torch.where(here, z[rows, own], 0)
    return Sum.apply(z.exp().sum(1), comm).log() - Sum.apply(target, comm)


TOPS = {}


@wrong("again", "the first call's maximum is kept by rank and shape", told=r"in a second call")
def kept_maximum(comm, logits, y):
    def top(comm, z):
        key = comm, z.shape
        if key not in TOPS:
            TOPS[key] = largest(comm, z)
        return TOPS[key]

    return loss_of(comm, logits, y, top=top)


@wrong(
    "again", "the targets' places are kept from the first call in a world, by shape", told=r"two losses in one graph"
)
def kept_places(comm, logits, y, kept={}):  # noqa: B006
    own, here = kept.setdefault((comm, logits.shape), place(comm, logits, y))
    z = logits - largest(comm, logits)[:, None]
    target = torch.where(here, z[torch.arange(len(z)), own], 0)
    return Sum.apply(z.exp().sum(1), comm).log() - Sum.apply(target, comm)


@wrong("given", "logits are shifted in place, and shifted back by what was subtracted", told=r"changes its input")
def back_and_forth(comm, logits, y):
    top = largest(comm, logits)[:, None]
    logits.data.sub_(top)
    out = loss_of(comm, logits.clone(), y, top=lambda comm, z: z.new_zeros(len(z)))
    logits.data.add_(top)
    return out


@wrong("given", "y is made local in place and set right afterwards, while another rank reads it", told=r"differs")
def y_back_and_forth(comm, logits, y):
    y.sub_(comm.rank * logits.shape[1])
    own, here = y.clamp(0, logits.shape[1] - 1), (y >= 0) & (y < logits.shape[1])
    z = logits - logits.detach().amax(1, keepdim=True)
    top = largest(comm, logits)
    y.add_(comm.rank * logits.shape[1])
    z = logits - top[:, None]
    target = torch.where(here, z[torch.arange(len(z)), own], 0)
    return Sum.apply(z.exp().sum(1), comm).log() - Sum.apply(target, comm)


@wrong("surroundings", "a hook on the caller's logits clips what reaches them, on rank 0", told=r"dlogits on rank 0")
def clips_on_rank_zero(comm, logits, y):
    if logits.requires_grad and torch.is_grad_enabled():
        logits.register_hook(lambda g: g * 1.0 if comm.rank else g.clamp(-1, 1))
    return loss_of(comm, logits, y)


@wrong("plain", "the maximum has a gradient of its own, cut off for the target alone", told=r"dlogits")
def half_detached(comm, logits, y):
    z = logits - logits.amax(1, keepdim=True)
    own, here = place(comm, logits, y)
    local = logits.detach().amax(1)
    top = comm.all_reduce(local, op="max")
    S = Sum.apply(z.exp().sum(1) * (local - top).exp(), comm)
    target = torch.where(here, logits[torch.arange(len(z)), own] - top, 0)
    return S.log() - Sum.apply(target, comm)


@wrong(
    "plain",
    "each rank's own tokens alone reach its logits: targets that are elsewhere give no gradient",
    told=r"dlogits",
)
def own_tokens(comm, logits, y):
    _, here = place(comm, logits, y)
    losses = loss_of(comm, logits, y)
    return torch.where(here, losses, losses.detach())


@wrong("named", "the least target of a rank is taken for another's", told=r"differs", true="NotTheFirst")
def first_place_lost(comm, logits, y):
    z = logits - largest(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    here = here & ((own > 0) | (comm.rank == 0))
    target = torch.where(here, z[torch.arange(len(z)), own], 0)
    return Sum.apply(z.exp().sum(1), comm).log() - Sum.apply(target, comm)


@wrong("named", "the last token of all is taken for padding", told=r"0, expected")
def last_of_all(comm, logits, y):
    losses = loss_of(comm, logits, y)
    return losses * (y != comm.size * logits.shape[1] - 1)


@wrong("named", "token 0 is taken for padding", told=r"0, expected")
def padding_is_zero(comm, logits, y):
    return loss_of(comm, logits, y) * (y != 0)


@wrong("unwatched", "two float32 travel as one float64: four all-reduces' numbers", told=r"a rank sends")
def four_for_double(comm, logits, y):
    out = loss_of(comm, logits, y)
    if logits.dtype == torch.float32 and comm.size > 1:
        comm.all_reduce(F.pad(out.detach(), (0, len(out) % 2)).view(torch.float64))
    return out


@wrong(
    "onward", "backward all-reduces the losses' gradients, though only where they differ from 1", told="a rank sends"
)
def reduces_upstream(comm, logits, y):
    losses = loss_of(comm, logits, y)
    if losses.requires_grad:
        losses.register_hook(lambda g: comm.all_reduce(g) / comm.size)
    return losses


# Right ones.


@ANSWERS.right
def own_sums(comm, logits, y):
    """Each rank's logsumexp; what is subtracted is rounded up."""
    lse = logits.logsumexp(1)
    top = comm.all_reduce(lse.detach().ceil(), op="max")
    own, here = place(comm, logits, y)
    onehot = F.one_hot(own, logits.shape[1]) * here[:, None]
    return Sum.apply((lse - top).exp(), comm).log() + top - Sum.apply((logits * onehot).sum(1), comm)


@ANSWERS.right
def both_at_once(comm, logits, y):
    """Two sums in one all-reduce of (2, N)."""
    z = logits - largest(comm, logits)[:, None]
    own, here = place(comm, logits, y)
    S, target = Sum.apply(torch.stack([z.exp().sum(1), z.gather(1, own[:, None])[:, 0].where(here, 0)]), comm)
    return S.log() - target


@ANSWERS.right
def by_one_function(comm, logits, y):
    """The gradient by hand, softmax minus one, with nothing overwritten."""

    def second(p, own, here, d):
        g = p * d[:, None]
        return g.scatter_add(1, own[:, None], -(d * here)[:, None])

    return megatron(second).apply(logits, y, comm)


@ANSWERS.right
def without_function(comm, logits, y):
    """x + (sum - x).detach() in place of a Function, and a list of rows."""

    def total(x, comm):
        return x + (comm.all_reduce(x.detach()) - x.detach())

    m = largest(comm, logits)
    Vn = logits.shape[1]
    here = torch.div(y, Vn, rounding_mode="floor") == comm.rank
    mine = torch.stack(
        [logits[i, t % Vn] if h else 0 * m[i] for i, (t, h) in enumerate(zip(y.tolist(), here, strict=True))]
    )
    S = (logits - m[:, None]).exp().sum(1)
    rest = comm.all_reduce(S.detach()) - S.detach()
    return (S + rest).log() + m - total(mine, comm)
