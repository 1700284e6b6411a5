"""Answers to core.regularise."""

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers("core.regularise")
wrong = ANSWERS.wrong


def kept_of(x, p, g):
    return torch.rand(x.shape, generator=g, device=x.device) >= p


def dropped(x, p, training, g, *, kept=kept_of):
    """A right dropout, of which a part is replaced."""
    if not training:
        return x
    return x * kept(x, p, g) / (1 - p) if p < 1 else x * 0


def warm(beta, step):
    return min(beta, (1 + step) / (10 + step))


@torch.no_grad()
def averaged(shadow, model, b, *, buffers=True, those=lambda theta: True):
    """A right average with weight b, of which a part is left out."""
    for s, theta in zip(shadow.parameters(), model.parameters(), strict=True):
        if those(theta):
            s.copy_(b * s + (1 - b) * theta)
    for s, theta in zip(shadow.buffers(), model.buffers(), strict=True):
        if buffers:
            s.copy_(b * s + (1 - b) * theta if s.is_floating_point() else theta)


@wrong("plain", "the given code", true="dropout_as_given")
def given_dropout(x, p, training, g):
    mask = torch.rand(x.shape[-1], generator=g, device=x.device) < p
    return x * mask


@wrong("plain", "half mended: one mask for all rows", true="OneMaskForAllRows")
def one_row(x, p, training, g):
    return dropped(x, p, training, g, kept=lambda x, p, g: torch.rand(x.shape[-1], generator=g) >= p)


@wrong("unwatched", "torch's own, which draws from the global generator", true="GeneratorUnused")
def torchs(x, p, training, g):
    return F.dropout(x, p, training)


@wrong("named", "p = 1 divides 0 by 0", true="ZeroOverZero")
def nothing_left(x, p, training, g):
    return x * kept_of(x, p, g) / (1 - p) if training else x


@wrong("given", "in place", told=r"changes its input x")
def in_place(x, p, training, g):
    if training:
        x.data.mul_(kept_of(x, p, g)).div_(1 - p if p < 1 else 1)
    return x


@ANSWERS.right
def float_mask(x, p, training, g):
    """A mask of float32, whatever x is."""
    return dropped(x, p, training, g, kept=lambda *given: kept_of(*given).float())


@wrong("dependence", "exactly a share of p is dropped", true="FixedNumber")
def exactly(x, p, training, g):
    def kept(x, p, g):
        return (torch.randperm(x.numel(), generator=g) >= round(p * x.numel())).view(x.shape)

    return dropped(x, p, training, g, kept=kept)


@wrong("again", "seeded in each call", true="SeedSet")
def seeded(x, p, training, g):
    return dropped(x, p, training, g.manual_seed(0))


@wrong(
    "plain",
    "the gradient goes past the mask",
    advice=r"dx is the input dy,",
    told=r"gradient of x are not those of what is returned",
)
def straight_through(x, p, training, g):
    return x + (dropped(x, p, training, g) - x).detach()


@wrong("plain", "the given code", at=1, true="groups_as_given")
def given_groups(model):
    decay, no_decay = [], []
    for name, p in model.named_parameters(remove_duplicate=False):
        (no_decay if name.endswith("bias") else decay).append(p)
    return decay, no_decay


def grouped(model, decays=lambda name, p: p.ndim >= 2, spared=lambda name, p: p.ndim < 2, frozen=False):
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad or frozen]
    return tuple([p for name, p in named if test(name, p)] for test in (decays, spared))


@wrong("named", "by names: bias, norm or ln in it", at=1, told=r"matrices: one is 0 times in `decay`")
def by_names(model):
    def light(name, p):
        return any(word in name for word in ("bias", "norm", "ln_"))

    return grouped(model, lambda name, p: not light(name, p), light)


@wrong("plain", "half mended: what is frozen decays too", at=1, true="FrozenToo")
def frozen_too(model):
    return grouped(model, frozen=True)


@wrong("ones", "a matrix of one row is a vector", at=1, told=r"matrices: one is 0 times in `decay`")
def squeezes(model):
    return grouped(model, lambda name, p: p.squeeze().ndim >= 2, lambda name, p: p.squeeze().ndim < 2)


@wrong("surroundings", "the model is in evaluation mode afterwards", at=1)
def switches_the_mode(model):
    return grouped(model.eval())


@wrong("plain", "the given code", at=2, true="average_as_given")
@torch.no_grad()
def given_average(shadow, model, beta, step):
    for old, new in zip(shadow.state_dict().values(), model.state_dict().values(), strict=True):
        old.copy_(beta * old + (1 - beta) * new)


@wrong("plain", "half mended: no warm-up of beta", at=2, true="NoWarmUp")
def no_warm_up(shadow, model, beta, step):
    averaged(shadow, model, beta)


@wrong("onward", "steps from 1", at=2, true="OneStepAhead")
def from_one(shadow, model, beta, step):
    averaged(shadow, model, warm(beta, step + 1))


@wrong(
    "plain",
    "half mended: the warm-up is there, and a weight under two names is averaged twice",
    at=2,
    true="AveragedTwice",
)
@torch.no_grad()
def by_state_dict(shadow, model, beta, step):
    b = warm(beta, step)
    for s, theta in zip(shadow.state_dict().values(), model.state_dict().values(), strict=True):
        s.copy_(b * s + (1 - b) * theta if s.is_floating_point() else theta)


@wrong("plain", "parameters alone", at=2, true="BuffersLeft")
def no_buffers(shadow, model, beta, step):
    averaged(shadow, model, warm(beta, step), buffers=False)


@wrong("given", "counts are the model's own tensors", at=2, told=r"is the model's own tensor")
def shares(shadow, model, beta, step):
    averaged(shadow, model, warm(beta, step))
    for s, theta in zip(shadow.buffers(), model.buffers(), strict=True):
        s.data = s.data if s.is_floating_point() else theta.data


@ANSWERS.right_at(2)
def not_in_place(shadow, model, beta, step):
    """The Parameters stay, and get other tensors of numbers."""
    b = warm(beta, step)
    numbers = [
        b * s.data + (1 - b) * theta.data for s, theta in zip(shadow.parameters(), model.parameters(), strict=True)
    ]
    averaged(shadow, model, b, those=lambda theta: False)
    for s, x in zip(shadow.parameters(), numbers, strict=True):
        s.data = x


@wrong("named", "what is frozen in the model is left as it was", at=2)
def trained_alone(shadow, model, beta, step):
    averaged(shadow, model, warm(beta, step), those=lambda theta: theta.requires_grad)


@wrong("surroundings", "the model is frozen meanwhile, and afterwards all of it is trained", at=2)
def thaws(shadow, model, beta, step):
    averaged(shadow, model.requires_grad_(False), warm(beta, step))
    model.requires_grad_(True)


@wrong("named", "of the state_dict: a buffer that is not saved is forgotten", at=2)
@torch.no_grad()
def saved_alone(shadow, model, beta, step):
    b, theirs = warm(beta, step), model.state_dict()
    mixed = {
        n: b * x + (1 - b) * theirs[n] if x.is_floating_point() else theirs[n] for n, x in shadow.state_dict().items()
    }
    shadow.load_state_dict(mixed)


@wrong("far", "the difference of both, in half precision", at=2, advice=r"a ")
def in_half(shadow, model, beta, step):
    b = warm(beta, step)
    numbers = [
        s + (1 - b) * (theta - s).half() for s, theta in zip(shadow.parameters(), model.parameters(), strict=True)
    ]
    averaged(shadow, model, b)
    for s, x in zip(shadow.parameters(), numbers, strict=True):
        s.data.copy_(x.detach())


@wrong("large", "a step counts to 50", at=2, told=r"steps 20000 and 20001")
def short_run(shadow, model, beta, step):
    averaged(shadow, model, warm(beta, min(step, 50)))


@ANSWERS.right
def with_bernoulli(x, p, training, g):
    if not training or p == 0:
        return x.clone()
    kept = torch.full(x.shape, 1 - p, device=x.device, dtype=torch.float64).bernoulli(generator=g)
    return (x * kept.to(x.dtype)) * (1 / (1 - p)) if p < 1 else x - x


@ANSWERS.right
def with_masked_fill(x, p, training, g):
    scale = 1 / (1 - p) if p != 1 else 1
    return (x * scale).masked_fill(~kept_of(x.double(), p, g), 0) if training else x


@ANSWERS.right_at(1)
def by_modules(model):
    groups = {True: {}, False: {}}
    for p in (p for m in model.modules() for p in m.parameters(recurse=False) if p.requires_grad):
        groups[p.dim() > 1][p] = None
    return [*groups[True]], [*groups[False]]


@ANSWERS.right_at(2)
@torch.no_grad()
def with_foreach(shadow, model, beta, step):
    pairs = list(zip((*shadow.parameters(), *shadow.buffers()), (*model.parameters(), *model.buffers()), strict=True))
    for floating in (True, False):
        mine, theirs = ([pair[i] for pair in pairs if pair[0].is_floating_point() == floating] for i in (0, 1))
        torch._foreach_lerp_(mine, theirs, 1 - warm(beta, step)) if floating else torch._foreach_copy_(mine, theirs)
