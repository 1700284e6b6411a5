"""Dropout, scaled while training: Srivastava et al. 2014, section 10. What decays: matrices, and no vectors (Radford et
al. 2018, section 4.1: "on all non bias or gain weights"). A moving average of weights: Polyak and Juditsky 1992; its
warm-up as tf.train.ExponentialMovingAverage has it, min(beta, (1 + step) / (10 + step)), with step from 0.
"""

import itertools

import torch
from torch import nn

from grader.contract import Trusted


def dropout_reference(x, p, training, g):
    if not training:
        return x
    kept = torch.rand(x.shape, generator=g, device=x.device) >= p
    return x * kept / (1 - p) if p < 1 else 0 * x


def groups_reference(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    return [p for p in trained if p.ndim >= 2], [p for p in trained if p.ndim < 2]


@torch.no_grad()
def average_reference(shadow, model, beta, step):
    b = min(beta, (1 + step) / (10 + step))
    for old, new in zip(shadow.parameters(), model.parameters(), strict=True):
        old.copy_(b * old + (1 - b) * new)
    for old, new in zip(shadow.buffers(), model.buffers(), strict=True):
        old.copy_(b * old + (1 - b) * new if old.is_floating_point() else new)


TRUSTED = Trusted(
    (dropout_reference, groups_reference, average_reference), budget="three functions of as many slips, each by itself"
)


class Dropout:
    """Dropout in steps: a mistake is written as the one in which it differs."""

    def __call__(self, x, p, training, g):
        if not self.acts(training):
            return self.at_rest(x, p)
        return self.scaled(self.hidden(x, self.kept(x, p, g)), p)

    def acts(self, training):
        return training

    def at_rest(self, x, p):
        return x

    def kept(self, x, p, g):
        return torch.rand(x.shape, generator=g, device=x.device) >= p

    def hidden(self, x, kept):
        return x * kept

    def scaled(self, y, p):
        return y / (1 - p) if p < 1 else y


def by_rules(decays=lambda name, module, p: p.ndim >= 2, names=False, chosen=lambda p: p.requires_grad):
    """decay_groups in steps: what decays, whether a parameter comes once for each of its names, who takes part."""

    def decay_groups(model):
        named = [
            (name, model.get_submodule(name.rpartition(".")[0]), p)
            for name, p in model.named_parameters(remove_duplicate=not names)
            if chosen(p)
        ]
        sides = [[p for name, module, p in named if bool(decays(name, module, p)) == side] for side in (True, False)]
        return sides[0], sides[1]

    return decay_groups


class Average:
    """The moving average in steps."""

    @torch.no_grad()
    def __call__(self, shadow, model, beta, step):
        b = self.weight(beta, step)
        for old, new in self.pairs(shadow, model):
            if old.is_floating_point():
                self.floats(old, new, b)
            else:
                self.others(old, new, b)

    def weight(self, beta, step):
        return min(beta, (1 + step) / (10 + step))

    def pairs(self, shadow, model):
        both = ((one.parameters(), one.buffers()) for one in (shadow, model))
        return list(zip(*(itertools.chain(*x) for x in both), strict=True))

    def floats(self, old, new, b):
        old.copy_(b * old + (1 - b) * new)

    def others(self, old, new, b):
        old.copy_(new)


def called(steps):
    return lambda *given: steps()(*given)


wrong_dropout, _, wrong_average = TRUSTED.one_by_one(called, called, called)


def given_dropout(x, p, training, g):
    mask = torch.rand(x.shape[-1], generator=g, device=x.device) < p
    return x * mask


def given_groups(model):
    decay, no_decay = [], []
    for name, p in model.named_parameters(remove_duplicate=False):
        (no_decay if name.endswith("bias") else decay).append(p)
    return decay, no_decay


@torch.no_grad()
def given_average(shadow, model, beta, step):
    for old, new in zip(shadow.state_dict().values(), model.state_dict().values(), strict=True):
        old.copy_(beta * old + (1 - beta) * new)


DROPOUT_GIVEN = (
    "Slips of the given dropout are still there. With what chance is an entry kept, and how many draws does the mask "
    "have? What becomes of the mean of x, and what happens when training is over?"
)
GROUPS_GIVEN = (
    "Slips of the given decay_groups are still there. Which vectors are no biases? How often is a weight with two "
    "names in a list, and where is a frozen one?"
)
AVERAGE_GIVEN = (
    "Slips of the given average_ are still there. What is the shadow after one step from random weights? How often is "
    "a weight with two names averaged, and what becomes of a count?"
)
TRUSTED.add_mistake(
    "as_given",
    "Slips of the given code are still there, in all three functions. What does the mask of dropout look like, and how "
    "large is what is kept? Which vectors decay? Where is a weight that has two names?",
    *(given_dropout, given_groups, given_average),
)
TRUSTED.add_mistake(
    "two_as_given",
    f"{GROUPS_GIVEN} And average_ is as it was given, too.",
    *(dropout_reference, given_groups, given_average),
)
TRUSTED.add_mistake("dropout_as_given", DROPOUT_GIVEN, given_dropout, groups_reference, average_reference)
TRUSTED.add_mistake("groups_as_given", GROUPS_GIVEN, dropout_reference, given_groups, average_reference)
TRUSTED.add_mistake("average_as_given", AVERAGE_GIVEN, dropout_reference, groups_reference, given_average)


@wrong_dropout("Entries are kept with the chance p: p is the chance with which one is dropped, so `rand >= p` is kept.")
class PKept(Dropout):
    def kept(self, x, p, g):
        return ~super().kept(x, p, g)


@wrong_dropout(
    "What dropout keeps is not made larger: divide by 1 - p, or the mean in training is smaller than in evaluation."
)
class NotScaled(Dropout):
    def scaled(self, y, p):
        return y


@wrong_dropout("What dropout keeps is divided by p: a share of 1 - p is left, so divide by 1 - p.")
class ScaledByP(Dropout):
    def scaled(self, y, p):
        return y / p if p else y


@wrong_dropout("Dropout acts in evaluation too: where `training` is False, x comes back as it is.")
class AlwaysActive(Dropout):
    def acts(self, training):
        return True


@wrong_dropout(
    "Dropout keeps numbers as they are in training and makes x smaller in evaluation, by 1 - p. So it was at first; "
    "here, as in libraries, what is kept is divided by 1 - p in training, and evaluation changes nothing."
)
class ScaledInEvaluation(Dropout):
    def at_rest(self, x, p):
        return x * (1 - p)

    def scaled(self, y, p):
        return y


@wrong_dropout(
    "Rows of x lose the same entries, as with a mask that has fewer draws than x has entries (x.shape[-1]): draw one "
    "number for each entry, x.shape."
)
class OneMaskForAllRows(Dropout):
    def kept(self, x, p, g):
        return super().kept(x.reshape(-1, x.shape[-1])[0], p, g).expand(x.shape)


@wrong_dropout("Whole rows of x are dropped: draw one number for each entry, x.shape.")
class WholeRows(Dropout):
    def kept(self, x, p, g):
        return super().kept(x[..., :1], p, g).expand(x.shape)


@wrong_dropout(
    "As good as the same number of entries is dropped each time: each has a chance of its own, so the number varies."
)
class FixedNumber(Dropout):
    def kept(self, x, p, g):
        order = torch.randperm(x.numel(), generator=g, device=x.device)
        return (order >= round(p * x.numel())).view(x.shape)


@wrong_dropout(
    "Dropout's numbers do not come from `g`, but from torch's global ones: hand it on, `torch.rand(..., generator=g)`."
)
class GeneratorUnused(Dropout):
    def kept(self, x, p, g):
        return torch.rand(x.shape, device=x.device) >= p


@wrong_dropout(
    "Every call drops the same entries: the generator is set back, or copied, or another one is used. Draw from `g` as "
    "it comes, so that it moves on."
)
class SeedSet(Dropout):
    def kept(self, x, p, g):
        return super().kept(x, p, torch.Generator(x.device).manual_seed(0))


@wrong_dropout(
    "Dropout writes into x itself (x *= mask, or x[...] = 0): the caller may still need it. Make a new tensor."
)
class InPlace(Dropout):
    def hidden(self, x, kept):
        if not x.requires_grad:
            x *= kept
        return x * kept


@wrong_dropout(
    "With p = 1 dropout gives NaN, as 0 / 0 and 0 times infinity are: nothing is left there, so the result is 0."
)
class ZeroOverZero(Dropout):
    def scaled(self, y, p):
        return y / torch.tensor(1 - p, dtype=y.dtype, device=y.device)


def in_norm(name, module, p):
    return "norm" in name or "ln_" in name or "rescale" in name


for name, sentence, rules in (
    (
        "VectorsDecay",
        "Weights of norms decay. A norm has a vector of scales that is called weight, so leaving out biases is not "
        "enough: what has fewer than two dimensions does not decay.",
        {"decays": lambda name, module, p: not name.endswith("bias")},
    ),
    (
        "BiasesDecay",
        "Biases of linear maps decay: norms are left out, and a bias is a vector too. What has fewer than two "
        "dimensions does not decay.",
        {"decays": lambda name, module, p: p.ndim >= 2 or (name.endswith("bias") and not in_norm(name, module, p))},
    ),
    (
        "NormsByName",
        "Norms are known by `norm` in a name, and names differ: a matrix called norm_map does not decay, and the norm "
        "`ln_1` does. Ask for the number of dimensions.",
        {"decays": lambda name, module, p: "bias" not in name and "norm" not in name},
    ),
    (
        "NormsByType",
        "Only nn.LayerNorm is known as a norm: models have norms of other types, and numbers without any dimension. "
        "What has fewer than two dimensions does not decay.",
        {"decays": lambda name, module, p: not (name.endswith("bias") or isinstance(module, nn.LayerNorm))},
    ),
    (
        "EmbeddingsSpared",
        "Embeddings do not decay: they are matrices like others here, and belong to `decay`.",
        {"decays": lambda name, module, p: p.ndim >= 2 and not isinstance(module, nn.Embedding)},
    ),
    (
        "TwoDimensionsAlone",
        "The kernel of a convolution does not decay: it has three dimensions, and decays like a matrix.",
        {"decays": lambda name, module, p: p.ndim == 2},
    ),
    (
        "TiedTwice",
        "A weight under two names is in a list twice, and a step would move it twice: `model.parameters()` gives it "
        "once.",
        {"names": True},
    ),
    (
        "FrozenToo",
        "Frozen parameters are in the lists: leave out those whose requires_grad is False. No gradient moves them.",
        {"chosen": lambda p: True},
    ),
    (
        "ListsExchanged",
        "The lists are exchanged: what decays comes first.",
        {"decays": lambda name, module, p: p.ndim < 2},
    ),
):
    TRUSTED.add_mistake(name, sentence, dropout_reference, by_rules(**rules), average_reference)


@wrong_average(
    "The average has no warm-up: with step 0 the weight of the shadow is 1 / 10, and it rises to beta by "
    "(1 + step) / (10 + step). Else what the weights were at random stays in it for long."
)
class NoWarmUp(Average):
    def weight(self, beta, step):
        return beta


@wrong_average(
    "The weight of the shadow rises above beta: beta is the most that it can be, min(beta, (1 + step) / (10 + step))."
)
class WarmUpAlone(Average):
    def weight(self, beta, step):
        return (1 + step) / (10 + step)


@wrong_average("The larger one of beta and (1 + step) / (10 + step) is taken: it is the smaller one.")
class Larger(Average):
    def weight(self, beta, step):
        return max(beta, (1 + step) / (10 + step))


@wrong_average("The warm-up is one step ahead: steps are counted from 0, and with step 0 the weight is 1 / 10.")
class OneStepAhead(Average):
    def weight(self, beta, step):
        return super().weight(beta, step + 1)


@wrong_average(
    "The weight of the shadow is beta (1 - beta^t) / (1 - beta^(t + 1)), with t = step: that corrects an average which "
    "begins at 0, as in Adam. The rule here is min(beta, (1 + step) / (10 + step))."
)
class AsAdamDoes(Average):
    def weight(self, beta, step):
        return beta * (1 - beta**step) / (1 - beta ** (step + 1))


@wrong_average("Old and new are exchanged: the shadow keeps the share b of what it was, and takes 1 - b of the model.")
class Exchanged(Average):
    def weight(self, beta, step):
        return 1 - super().weight(beta, step)


@wrong_average(
    "Whole numbers are averaged, such as a count of batches, and the result is rounded: copy what is no floating-point "
    "number."
)
class IntegersAveraged(Average):
    def others(self, old, new, b):
        old.copy_(b * old + (1 - b) * new)


@wrong_average(
    "Buffers that hold no floating-point numbers are left as they were, and count steps of long ago: copy the model's."
)
class IntegersLeft(Average):
    def others(self, old, new, b):
        pass


@wrong_average(
    "Buffers of the shadow are left as they were: a running mean that belongs to other weights. Average those of "
    "floating-point numbers, and copy the others."
)
class BuffersLeft(Average):
    def pairs(self, shadow, model):
        return list(zip(shadow.parameters(), model.parameters(), strict=True))


@wrong_average("The running mean is copied: buffers of floating-point numbers are averaged like weights.")
class BuffersCopied(Average):
    def floats(self, old, new, b):
        super().floats(old, new, b if isinstance(old, nn.Parameter) else 0.0)


@wrong_average(
    "A weight under two names is averaged twice: `state_dict()` gives it under each name, `parameters()` once."
)
class AveragedTwice(Average):
    def pairs(self, shadow, model):
        named = ([*one.named_parameters(remove_duplicate=False), *one.named_buffers()] for one in (shadow, model))
        return [(old, new) for (_, old), (_, new) in zip(*named, strict=True)]


@wrong_average(
    "The shadow gets new Parameters: change the numbers of the old ones in place, `copy_` or `lerp_`, for whoever "
    "holds them, and for weights under two names."
)
class Replaced(Average):
    def __call__(self, shadow, model, beta, step):
        super().__call__(shadow, model, beta, step)
        for module in shadow.modules():
            for name, p in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(p.detach().clone(), p.requires_grad))


@wrong_average(
    "The average is written into the model that is trained: the shadow takes it, and the model is only read."
)
class IntoTheModel(Average):
    def pairs(self, shadow, model):
        return [(new, old) for old, new in super().pairs(shadow, model)]


def by_bernoulli(x, p, training, g):
    if not training or p == 0:
        return x.clone()
    if p == 1:
        return torch.zeros_like(x)
    mask = torch.empty_like(x).bernoulli_(1 - p, generator=g)
    return x * mask.div_(1 - p)


def groups_by_module(model):
    decay, no_decay, seen = [], [], set()
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if id(p) in seen or not p.requires_grad:
                continue
            seen.add(id(p))
            spared = name == "bias" or not isinstance(module, nn.Linear | nn.Embedding | nn.Conv1d)
            (no_decay if spared else decay).append(p)
    return [decay, no_decay]


def average_by_lerp(shadow, model, beta, step):
    share = 1 - min(beta, (step + 1) / (step + 10))
    with torch.no_grad():
        theirs = dict(model.named_parameters()) | dict(model.named_buffers())
        for name, x in (dict(shadow.named_parameters()) | dict(shadow.named_buffers())).items():
            if x.dtype.is_floating_point:
                x.lerp_(theirs[name], share)
            else:
                x.copy_(theirs[name])


def by_where(x, p, training, g):
    """Draws in float64, and no product."""
    if training:
        u = torch.rand(x.shape, generator=g, dtype=torch.float64, device=x.device)
        return torch.where(u < p, torch.zeros_like(x), x / max(1 - p, 1e-9))
    return x


def groups_by_dictionary(model):
    unique = {id(p): p for p in model.parameters() if p.requires_grad}
    matrices = {key: p for key, p in unique.items() if p.dim() > 1}
    return tuple(matrices.values()), tuple(p for key, p in unique.items() if key not in matrices)


def average_by_state(shadow, model, beta, step):
    """A new state by name, for what is saved and what is not."""
    b = beta if (1 + step) > beta * (10 + step) else (1 + step) / (10 + step)
    theirs = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    mine = {**dict(shadow.named_parameters()), **dict(shadow.named_buffers())}
    for name, x in theirs.items():
        mine[name].data.copy_(mine[name].data * b + x.detach() * (1 - b) if x.is_floating_point() else x)


TRUSTED.add_alternative("by_bernoulli", by_bernoulli, groups_by_module, average_by_lerp)
TRUSTED.add_alternative("by_where", by_where, groups_by_dictionary, average_by_state)
